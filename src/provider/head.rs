//! The head of a message: the headers that a host gives of a request or response.

use crate::json::LIMIT;
use crate::observation::clipped;

/// The headers of a message, as pairs of name and value. Names are in lower case. As in HTTP/2, `:method`, `:authority`,
/// `:path` and `:status` are headers.
#[derive(Clone, Copy, Default)]
pub struct Head<'a>(pub &'a [(&'a [u8], &'a [u8])]);

impl<'a> Head<'a> {
    /// The first value of a header, as bytes. `name` is in lower case.
    pub fn bytes(self, name: &str) -> Option<&'a [u8]> {
        self.0.iter().find(|(n, _)| *n == name.as_bytes()).map(|(_, value)| *value)
    }

    /// The first value of a header, cut to [`LIMIT`] bytes; empty if it is missing or not UTF-8.
    pub fn text(self, name: &str) -> &'a str {
        clipped(self.whole(name), LIMIT)
    }

    /// As [`Head::text`], without a limit. Only for values that are parsed, because they are not reported as they are.
    pub fn whole(self, name: &str) -> &'a str {
        self.bytes(name).and_then(|value| core::str::from_utf8(value).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_two_characters_and_whole_is_not_cut() {
        let long = format!("x{}", "é".repeat(30_000));
        let pairs = [(b"x-long".as_slice(), long.as_bytes()), (b"x-bin", b"\xff"), (b"x-short", b"yes")];
        let head = Head(&pairs);
        assert_eq!(head.text("x-long"), format!("x{}", "é".repeat(127)));
        assert_eq!(head.whole("x-long"), long);
        assert_eq!((head.text("x-bin"), head.text("x-short"), head.text("x-none")), ("", "yes", ""));
    }
}
