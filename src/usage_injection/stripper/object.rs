//! Scans the JSON object of a chunk (RFC 8259) as it arrives, and removes its `"usage":null`.

use memchr::memchr2;

/// The kind of a chunk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ChunkKind {
    /// Not known yet.
    Unknown,
    /// The object is whole. It has no choices, and a usage.
    Usage,
    /// Any other chunk.
    Other,
}

/// The part of the object that comes next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// A member, after the opening brace or a comma. True if no member has come before it.
    Member(bool),
    /// The rest of a key.
    Key,
    /// The colon after a key.
    Colon,
    /// The rest of a value.
    Value,
    /// Nothing: the object has ended.
    End,
}

/// The members that matter.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Member {
    Choices,
    Usage,
    Other,
}

/// The kind of the value of `choices`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Choices {
    /// The member has not come, or only its opening bracket.
    Unknown,
    /// An empty array.
    Empty,
    /// An array with an element, or another value, or there are two such members.
    Other,
}

/// The state of the scan of an object whose opening brace was read. Positions are those in the buffer of [`ObjectScan::read`].
#[derive(Debug)]
pub struct ObjectScan {
    place: Place,
    member: Member,
    /// Number of open arrays and objects in the current value.
    depth: u32,
    is_in_string: bool,
    is_after_backslash: bool,
    /// Where the current member begins: at the comma before it, or at its first quote. None if that was passed on.
    begin: Option<usize>,
    /// Where the current key begins, at its quote.
    key: usize,
    /// Where the current value begins, with the blanks before it.
    value: usize,
    /// True if the first member was removed, so that the blanks before the second must be too.
    removes_blanks: bool,
    choices: Choices,
    has_usage: bool,
}

impl Default for ObjectScan {
    fn default() -> Self {
        ObjectScan {
            place: Place::Member(true),
            member: Member::Other,
            depth: 0,
            is_in_string: false,
            is_after_backslash: false,
            begin: None,
            key: 0,
            value: 0,
            removes_blanks: false,
            choices: Choices::Unknown,
            has_usage: false,
        }
    }
}

impl ObjectScan {
    /// Reads the bytes of `buffer` from `at` on, and removes a member `"usage":null` from the buffer. Returns false if the
    /// bytes do not continue an object: nothing more can be said of it then.
    pub fn read(&mut self, buffer: &mut Vec<u8>, mut at: usize) -> bool {
        while let Some(&byte) = buffer.get(at) {
            if self.is_in_string {
                at = self.read_string(buffer, at);
                continue;
            }
            let is_blank = matches!(byte, b' ' | b'\t');
            match (self.place, byte) {
                (Place::Member(_), _) if is_blank => {
                    if self.removes_blanks {
                        buffer.remove(at);
                        continue;
                    }
                }
                (Place::Member(is_first), b'"') => {
                    if is_first {
                        self.begin = Some(at);
                    }
                    (self.place, self.key, self.removes_blanks) = (Place::Key, at, false);
                    self.is_in_string = true;
                }
                (Place::Member(true), b'}') => self.place = Place::End,
                (Place::Colon | Place::End, _) if is_blank => {}
                (Place::Colon, b':') => (self.place, self.value, self.depth) = (Place::Value, at + 1, 0),
                (Place::Value, b',' | b'}') if self.depth == 0 => {
                    let is_first = self.end_value(buffer, &mut at);
                    let (next, begin) = if byte == b'}' {
                        (Place::End, None)
                    } else if is_first {
                        // The comma goes with the removed first member.
                        buffer.remove(at);
                        (self.removes_blanks, self.begin) = (true, None);
                        self.place = Place::Member(true);
                        continue;
                    } else {
                        (Place::Member(false), Some(at))
                    };
                    (self.place, self.begin) = (next, begin);
                }
                (Place::Value, _) => self.read_value(byte),
                _ => return false,
            }
            at += 1;
        }
        if !self.may_be_null(buffer) {
            self.begin = None;
        }
        true
    }

    /// What the chunk is, as far as it was read.
    pub fn kind(&self) -> ChunkKind {
        match (self.choices, self.place) {
            (Choices::Other, _) => ChunkKind::Other,
            (Choices::Empty, Place::End) if self.has_usage => ChunkKind::Usage,
            (_, Place::End) => ChunkKind::Other,
            _ => ChunkKind::Unknown,
        }
    }

    /// The position from which on the buffer may still have to change. None if nothing may.
    pub fn undecided(&self) -> Option<usize> {
        self.begin
    }

    /// The first `size` bytes of the buffer were removed from it.
    pub fn passed(&mut self, size: usize) {
        self.begin = self.begin.and_then(|begin| begin.checked_sub(size));
        // No key begins there: one that was passed on in part is none that matters.
        self.key = self.key.checked_sub(size).unwrap_or(usize::MAX);
        self.value = self.value.saturating_sub(size);
    }

    /// Reads a string from `at` on. Returns the position after what was read.
    fn read_string(&mut self, buffer: &[u8], at: usize) -> usize {
        if core::mem::take(&mut self.is_after_backslash) {
            return at + 1;
        }
        let rest = buffer.get(at..).unwrap_or_default();
        let Some(found) = memchr2(b'"', b'\\', rest) else { return buffer.len() };
        let at = at + found;
        if rest.get(found) == Some(&b'\\') {
            self.is_after_backslash = true;
        } else {
            self.is_in_string = false;
            if self.place == Place::Key {
                self.place = Place::Colon;
                self.end_key(buffer.get(self.key..=at).unwrap_or_default());
            }
        }
        at + 1
    }

    /// Reads a key with its quotes.
    fn end_key(&mut self, key: &[u8]) {
        self.member = match key {
            b"\"choices\"" => Member::Choices,
            b"\"usage\"" => Member::Usage,
            _ => Member::Other,
        };
        if self.member == Member::Choices && self.choices != Choices::Unknown {
            self.choices = Choices::Other;
        }
    }

    /// Reads a byte of a value that is not in a string.
    fn read_value(&mut self, byte: u8) {
        let is_blank = matches!(byte, b' ' | b'\t');
        if self.member == Member::Choices && self.choices == Choices::Unknown && !is_blank {
            match (self.depth, byte) {
                (0, b'[') => {}
                (1, b']') => self.choices = Choices::Empty,
                _ => self.choices = Choices::Other,
            }
        }
        if self.member == Member::Usage && self.depth == 0 && byte == b'{' {
            self.has_usage = true;
        }
        match byte {
            b'"' => self.is_in_string = true,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    /// Ends the value before `at`, and removes its member if it is `"usage":null`. Returns true if that was the first member.
    fn end_value(&mut self, buffer: &mut Vec<u8>, at: &mut usize) -> bool {
        let value = buffer.get(self.value..*at).unwrap_or_default();
        let is_null = self.member == Member::Usage && value.trim_ascii() == b"null";
        let Some(begin) = self.begin.filter(|begin| is_null && *begin < *at) else { return false };
        let is_first = buffer.get(begin) == Some(&b'"');
        let end = if is_first { *at } else { self.value + value.trim_ascii_end().len() };
        buffer.drain(begin..end);
        *at -= end - begin;
        is_first
    }

    /// Returns true if the current member may be `"usage":null`.
    fn may_be_null(&self, buffer: &[u8]) -> bool {
        match self.place {
            Place::Member(_) => true,
            Place::Key => b"\"usage\"".starts_with(buffer.get(self.key..).unwrap_or_default()),
            Place::Colon => self.member == Member::Usage,
            Place::Value => {
                let value = buffer.get(self.value..).unwrap_or_default().trim_ascii();
                self.member == Member::Usage && b"null".starts_with(value)
            }
            Place::End => false,
        }
    }
}
