//! The header `sec-websocket-extensions` of the answer to an upgrade (RFC 6455, section 9.1).

/// permessage-deflate (RFC 7692), for one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compression {
    /// The window of the sender has `1 << window_bits` bytes: 8 to 15.
    pub window_bits: u8,
    /// True if a message may refer back to the messages before it.
    pub keeps_context: bool,
}

/// The connection uses an extension that is not supported, or parameters that RFC 7692 does not define.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unsupported;

/// Largest window, in bits. It is the default.
const MOST_BITS: u8 = 15;

impl Compression {
    /// Parses the `sec-websocket-extensions` of the answer: client to server, then server to client. Returns None if it
    /// names no extension.
    ///
    /// # Errors
    /// It names another extension than permessage-deflate, or is malformed. Builds without the feature `encodings`
    /// support no extension.
    pub fn agreed(extensions: &str) -> Result<Option<[Compression; 2]>, Unsupported> {
        let mut extensions = extensions.split(',').map(str::trim).filter(|extension| !extension.is_empty());
        let Some(extension) = extensions.next() else { return Ok(None) };
        let mut parts = extension.split(';').map(str::trim);
        let is_deflate = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("permessage-deflate"));
        if !cfg!(feature = "encodings") || !is_deflate || extensions.next().is_some() {
            return Err(Unsupported);
        }
        let [mut client, mut server] = [DirectionParameters::default(); 2];
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
            match (name.trim().to_ascii_lowercase().as_str(), value) {
                ("client_no_context_takeover", None) => client.add_no_context()?,
                ("server_no_context_takeover", None) => server.add_no_context()?,
                ("client_max_window_bits", value) => client.add_window(value)?,
                ("server_max_window_bits", value) => server.add_window(value)?,
                _ => return Err(Unsupported),
            }
        }
        Ok(Some([client.compression(), server.compression()]))
    }
}

/// Parameters of one direction.
#[derive(Clone, Copy, Default)]
struct DirectionParameters {
    window_bits: Option<u8>,
    has_no_context: bool,
}

impl DirectionParameters {
    /// Adds `no_context_takeover`. A parameter must not come twice.
    fn add_no_context(&mut self) -> Result<(), Unsupported> {
        if std::mem::replace(&mut self.has_no_context, true) { Err(Unsupported) } else { Ok(()) }
    }

    /// Adds `max_window_bits`, which may be a quoted string.
    fn add_window(&mut self, value: Option<&str>) -> Result<(), Unsupported> {
        let bits = value.map_or(Ok(MOST_BITS), |value| value.trim().trim_matches('"').parse());
        match (bits, self.window_bits) {
            (Ok(bits @ 8..=MOST_BITS), None) => self.window_bits = Some(bits),
            _ => return Err(Unsupported),
        }
        Ok(())
    }

    fn compression(self) -> Compression {
        Compression { window_bits: self.window_bits.unwrap_or(MOST_BITS), keeps_context: !self.has_no_context }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_extension_means_plain_frames() {
        for nothing in ["", " ", ",", " , "] {
            assert_eq!(Compression::agreed(nothing), Ok(None));
        }
    }

    #[cfg(feature = "encodings")]
    #[test]
    fn each_direction_has_its_own_parameters() {
        let agreed = |extensions: &str| {
            let [client, server] = Compression::agreed(extensions).unwrap().unwrap();
            (client.window_bits, client.keeps_context, server.window_bits, server.keeps_context)
        };
        assert_eq!(agreed("permessage-deflate"), (15, true, 15, true));
        assert_eq!(agreed("Permessage-Deflate; client_no_context_takeover"), (15, false, 15, true));
        assert_eq!(agreed("permessage-deflate;server_no_context_takeover ;"), (15, true, 15, false));
        assert_eq!(agreed("permessage-deflate; client_max_window_bits"), (15, true, 15, true));
        let both = "permessage-deflate; server_max_window_bits=8; client_max_window_bits = \"12\"";
        assert_eq!(agreed(both), (12, true, 8, true));
    }

    #[test]
    fn other_extensions_and_wrong_parameters_are_not_supported() {
        for wrong in [
            "x-webkit-deflate-frame",
            "permessage-deflate, permessage-deflate",
            "permessage-deflate, x-other",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; client_no_context_takeover=1",
            "permessage-deflate; mode=fast",
        ] {
            assert_eq!(Compression::agreed(wrong), Err(Unsupported), "{wrong}");
        }
    }
}
