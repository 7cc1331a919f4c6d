//! Multipart forms (RFC 7578; RFC 2046, section 5.1): reads short text fields and skips files.
//!
//! Reads line by line, because a boundary is always at the start of a line.
//!
//! Memory: one line and one value of at most 256 bytes each, the field's name and the boundary.

use memchr::memchr;

/// Longest line, field and boundary that are read, in bytes. A longer field is ignored.
const MAX_LINE: usize = 256;

/// What the current line belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum MultipartState {
    /// Before the first boundary, or in a part that is ignored.
    Skipped,
    /// In the headers of a part.
    Headers,
    /// In the value of a text field.
    Value,
    /// After the last boundary.
    Ended,
}

/// Reads a form.
pub struct Multipart {
    /// The boundary of the content type, with the two hyphens before it.
    boundary: Vec<u8>,
    state: MultipartState,
    /// The first [`MAX_LINE`] bytes of the current line.
    line: Vec<u8>,
    is_line_too_long: bool,
    /// Name of the current field. Empty if the part is ignored.
    name: String,
    value: Vec<u8>,
    /// True if `value` is complete, that is, not too long.
    has_value: bool,
}

impl Multipart {
    /// Maximum memory of a form, in bytes. Line, name and value may each have twice the room that they need.
    pub const BOUND: usize = size_of::<Multipart>() + 7 * MAX_LINE;

    /// Creates a reader. Returns None if the content type is not `multipart/form-data` with a boundary.
    pub fn new(content_type: &str) -> Option<Self> {
        let (kind, parameters) = content_type.split_once(';')?;
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let value = parameters.split(';').find_map(|p| p.trim().strip_prefix("boundary="))?.trim_matches('"');
        let is_valid = !value.is_empty() && value.len() < MAX_LINE - 4;
        is_valid.then(|| Multipart {
            boundary: format!("--{value}").into_bytes(),
            state: MultipartState::Skipped,
            line: Vec::new(),
            is_line_too_long: false,
            name: String::new(),
            value: Vec::new(),
            has_value: false,
        })
    }

    /// Reads the next bytes and passes the name and value of each complete text field to `out`.
    pub fn feed(&mut self, mut bytes: &[u8], mut out: impl FnMut(&str, &str)) {
        while !bytes.is_empty() && self.state != MultipartState::Ended {
            let end = memchr(b'\n', bytes);
            let (piece, rest) = bytes.split_at_checked(end.map_or(bytes.len(), |at| at + 1)).unwrap_or((bytes, &[]));
            bytes = rest;
            let room = MAX_LINE.saturating_sub(self.line.len());
            self.is_line_too_long |= piece.len() > room;
            self.line.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if end.is_some() {
                self.line_ended(&mut out);
                self.line.clear();
                self.is_line_too_long = false;
            }
        }
    }

    /// Ends the form. The last boundary needs no line end.
    pub fn finish(&mut self, mut out: impl FnMut(&str, &str)) {
        self.line_ended(&mut out);
        self.state = MultipartState::Ended;
    }

    /// Reads a complete line.
    fn line_ended(&mut self, out: &mut impl FnMut(&str, &str)) {
        if let Some(rest) = self.line.strip_prefix(self.boundary.as_slice()) {
            let is_last = rest.starts_with(b"--");
            if self.state == MultipartState::Value && self.has_value {
                // The line end before a boundary belongs to the boundary (RFC 2046, section 5.1.1).
                let value = self.value.strip_suffix(b"\n").unwrap_or(&self.value);
                let value = value.strip_suffix(b"\r").unwrap_or(value);
                if let Ok(value) = core::str::from_utf8(value) {
                    out(&self.name, value);
                }
            }
            self.name.clear();
            self.value.clear();
            self.has_value = true;
            self.state = if is_last { MultipartState::Ended } else { MultipartState::Headers };
            return;
        }
        match self.state {
            MultipartState::Headers if self.line.trim_ascii().is_empty() => {
                self.state = if self.name.is_empty() { MultipartState::Skipped } else { MultipartState::Value };
            }
            MultipartState::Headers => self.read_header(),
            MultipartState::Value if self.is_line_too_long || self.value.len() + self.line.len() > MAX_LINE => {
                self.state = MultipartState::Skipped;
                self.has_value = false;
            }
            MultipartState::Value => self.value.extend_from_slice(&self.line),
            MultipartState::Skipped | MultipartState::Ended => {}
        }
    }

    /// Reads the name of a text field from its Content-Disposition header. Ignores files.
    fn read_header(&mut self) {
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
    fn text_fields_are_read_at_any_cut_and_files_are_ignored() {
        for size in 1..FORM.len() {
            let seen = fields(FORM.as_bytes(), size);
            let expected = [("model".to_owned(), "whisper-1".to_owned()), ("stream".to_owned(), "true".to_owned())];
            assert_eq!(seen, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_ignored() {
        let long =
            format!("--b1\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{}\r\n--b1--\r\n", "x".repeat(300));
        assert_eq!(fields(long.as_bytes(), 7), []);
    }
}
