//! The server that a request names.

use super::Text;

/// The server that a request names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Server {
    /// Name or IP address, without brackets.
    pub address: Text,
    /// TCP port; None if neither the authority nor the scheme shows it.
    pub port: Option<u16>,
}

impl Server {
    /// The server in an authority such as `api.example.com:8443`. Without a port it is that of the scheme. Returns None if the
    /// authority is empty.
    ///
    /// Specification: RFC 9110, 4.2 and 7.2; RFC 3986, 3.2.
    pub fn of(authority: &str, scheme: &str) -> Option<Self> {
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (address, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, rest)) => (address, rest.strip_prefix(':').unwrap_or_default()),
            None => host.split_once(':').unwrap_or((host, "")),
        };
        let usual = match scheme {
            "https" => Some(443),
            "http" => Some(80),
            _ => None,
        };
        let port = port.parse().ok().or(usual.filter(|_| port.is_empty()));
        Some(Server { address: address.into(), port }).filter(|server| !server.address.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_has_an_address_and_perhaps_a_port() {
        for (authority, scheme, address, port) in [
            ("api.example.com", "https", "api.example.com", Some(443)),
            ("api.example.com", "http", "api.example.com", Some(80)),
            ("api.example.com", "", "api.example.com", None),
            ("api.example.com:8443", "https", "api.example.com", Some(8443)),
            ("api.example.com:", "https", "api.example.com", Some(443)),
            ("api.example.com:x", "https", "api.example.com", None),
            ("api.example.com:65536", "", "api.example.com", None),
            ("user:secret@api.example.com:81", "http", "api.example.com", Some(81)),
            ("[2001:db8::1]:8443", "http", "2001:db8::1", Some(8443)),
            ("[2001:db8::1]", "http", "2001:db8::1", Some(80)),
            ("127.0.0.1:9", "", "127.0.0.1", Some(9)),
        ] {
            let server = Server { address: address.into(), port };
            assert_eq!(Server::of(authority, scheme), Some(server), "{authority} {scheme}");
        }
        assert_eq!((Server::of("", "https"), Server::of(":80", "http"), Server::of("[]", "")), (None, None, None));
    }
}
