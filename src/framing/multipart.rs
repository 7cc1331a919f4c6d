//! Multipart forms: the short text fields, by name; files pass by. Bound: one line of at most 256 bytes and the boundary.
//!
//! Spec: RFC 7578 and RFC 2046. Read line by line: a boundary stands at the beginning of a line.

use memchr::memchr;

/// Longest line looked at, and so longest field and boundary.
const LINE: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Before the first boundary, or in a part nobody asked for.
    Passing,
    Headers,
    Value,
    Over,
}

/// A form being read.
pub struct Multipart {
    boundary: Vec<u8>,
    state: State,
    line: Vec<u8>,
    overlong: bool,
    name: String,
    value: Vec<u8>,
    has_value: bool,
}

impl Multipart {
    /// A form of this content type; None where it is no form, or names no boundary.
    pub fn new(content_type: &str) -> Option<Self> {
        let (kind, parameters) = content_type.split_once(';')?;
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let value = parameters.split(';').find_map(|p| p.trim().strip_prefix("boundary="))?.trim_matches('"');
        let sound = !value.is_empty() && value.len() < LINE - 4;
        sound.then(|| Multipart {
            boundary: format!("--{value}").into_bytes(),
            state: State::Passing,
            line: Vec::new(),
            overlong: false,
            name: String::new(),
            value: Vec::new(),
            has_value: false,
        })
    }

    /// Reads bytes, cut anywhere, and passes each short text field to `out`.
    pub fn feed(&mut self, mut bytes: &[u8], mut out: impl FnMut(&str, &str)) {
        while !bytes.is_empty() && self.state != State::Over {
            let end = memchr(b'\n', bytes);
            let (piece, rest) = bytes.split_at_checked(end.map_or(bytes.len(), |at| at + 1)).unwrap_or((bytes, &[]));
            bytes = rest;
            let room = LINE.saturating_sub(self.line.len());
            self.overlong |= piece.len() > room;
            self.line.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if end.is_some() {
                self.line_ended(&mut out);
                self.line.clear();
                self.overlong = false;
            }
        }
    }

    /// The form is over, perhaps without a line end behind its last boundary.
    pub fn finish(&mut self, mut out: impl FnMut(&str, &str)) {
        self.line_ended(&mut out);
        self.state = State::Over;
    }

    fn line_ended(&mut self, out: &mut impl FnMut(&str, &str)) {
        if let Some(rest) = self.line.strip_prefix(self.boundary.as_slice()) {
            let last = rest.starts_with(b"--");
            if self.state == State::Value && self.has_value {
                // The line end before a boundary belongs to the boundary.
                let value = self.value.strip_suffix(b"\n").unwrap_or(&self.value);
                let value = value.strip_suffix(b"\r").unwrap_or(value);
                if let Ok(value) = core::str::from_utf8(value) {
                    out(&self.name, value);
                }
            }
            self.name.clear();
            self.value.clear();
            self.has_value = true;
            self.state = if last { State::Over } else { State::Headers };
            return;
        }
        match self.state {
            State::Headers if self.line.trim_ascii().is_empty() => {
                self.state = if self.name.is_empty() { State::Passing } else { State::Value };
            }
            State::Headers => self.header(),
            State::Value if self.overlong || self.value.len() + self.line.len() > LINE => {
                self.state = State::Passing;
                self.has_value = false;
            }
            State::Value => self.value.extend_from_slice(&self.line),
            State::Passing | State::Over => {}
        }
    }

    /// Takes the name from a Content-Disposition that names no file.
    fn header(&mut self) {
        let Ok(line) = core::str::from_utf8(self.line.trim_ascii()) else { return };
        let Some((header, value)) = line.split_once(':') else { return };
        if !header.eq_ignore_ascii_case("content-disposition") || value.contains("filename") {
            return;
        }
        let name = value.split(';').find_map(|p| p.trim().strip_prefix("name=")).unwrap_or_default();
        name.trim_matches('"').clone_into(&mut self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "preamble\r\n--b1\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
        Content-Type: audio/wav\r\n\r\nRIFF\r\n-- not a boundary\n\u{0}\r\n--b1\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n\
        whisper-1\r\n--b1\r\ncontent-disposition: form-data; name=stream\r\n\r\ntrue\r\n--b1--\r\n--b1\r\n";

    fn fields(form: &[u8], size: usize) -> Vec<(String, String)> {
        let mut reader = Multipart::new("multipart/form-data; boundary=\"b1\"").unwrap();
        let mut out = Vec::new();
        for piece in form.chunks(size) {
            reader.feed(piece, |name, value| out.push((name.to_owned(), value.to_owned())));
        }
        reader.finish(|name, value| out.push((name.to_owned(), value.to_owned())));
        out
    }

    #[test]
    fn text_fields_are_read_in_any_cutting_and_files_are_not() {
        for size in 1..FORM.len() {
            let seen = fields(FORM.as_bytes(), size);
            let expected = [("model".to_owned(), "whisper-1".to_owned()), ("stream".to_owned(), "true".to_owned())];
            assert_eq!(seen, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_value_longer_than_any_name_is_left_out() {
        let long =
            format!("--b1\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{}\r\n--b1--\r\n", "x".repeat(300));
        assert_eq!(fields(long.as_bytes(), 7), []);
    }
}
