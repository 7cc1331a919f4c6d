//! Rules: which values of a document are selected and what to do with each. A [`Program`] compiles them to a tree of
//! keys.

/// Node index of a value that no rule selects.
pub(super) const NO_NODE: u16 = u16::MAX;
/// Deepest level that a rule may select. Documents may nest deeper; the scanner skips what is below this level.
pub(super) const MAX_DEPTH: usize = 20;

/// A value that is not an object or array, as a rule receives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as written in the document (RFC 8259, section 6).
    Number(&'a str),
    /// A string, unescaped. Bytes that are not UTF-8 are replaced by U+FFFD; before that, at most
    /// [`super::LIMIT`] bytes.
    Text(&'a str),
    /// A value that a scalar rule cannot use: an object, an array, a string longer than [`super::LIMIT`], a word that
    /// is not JSON.
    Other,
}

/// What a rule selects at its path, and the function to call.
pub enum On<T> {
    /// A scalar. Not called for a string if the path has an [`On::Text`] or [`On::Deferred`] rule too.
    Scalar(fn(&mut T, Scalar<'_>)),
    /// A string in unescaped pieces. The first call for each string has an empty piece.
    Text(fn(&mut T, &[u8])),
    /// A string that may be passed on after other values that follow it in the document, or not at all if an
    /// [`On::Supersedes`] rule applies before that. This saves the work for most of a conversation that a request
    /// repeats.
    Deferred(fn() -> Deferred<T>),
    /// A hash of a string's bytes as written in the document, see [`crate::bytes::TextDigest`], after the string's last piece and beside other rules of its path.
    /// A deferred string has its hash even if it is never passed on. Only for requests: documents of a stream that repeat each
    /// other do not report it.
    Digest(fn(&mut T, u64)),
    /// An object or array as written in the document, in pieces. The first call for each has an empty piece.
    Raw(fn(&mut T, &[u8])),
    /// The begin of an object. The number is its position in the array, or 0 if it is not in an array.
    Open(fn(&mut T, u32)),
    /// Like [`On::Open`]. In addition, drops the deferred texts that were not passed on yet.
    Supersedes(fn(&mut T, u32)),
    /// The end of an object.
    Close(fn(&mut T)),
}

/// What to do with a string that may be deferred.
pub struct Deferred<T> {
    /// Returns true if the string must be passed on now.
    pub is_awaited: fn(&T) -> bool,
    /// Receives a string that is passed on now, in unescaped pieces. The first piece is empty.
    pub now: fn(&mut T, &[u8]),
    /// Receives a string when it is deferred, as written in the document, including its closing quote.
    pub preview: Option<fn(&mut T, &[u8])>,
    /// Receives a deferred string, in unescaped pieces. The first piece is empty.
    pub later: fn(&mut T, &[u8]),
    /// Receives the hash of the string, deferred or not, as an [`On::Digest`] rule.
    pub digest: Option<fn(&mut T, u64)>,
}

impl<T> Clone for Deferred<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Deferred<T> {}

/// A path and what to do with the value there.
pub struct Rule<T> {
    /// Keys joined by dots. `[]` selects every element of an array, `*` every key that no other rule names.
    pub path: &'static str,
    /// What to do.
    pub on: On<T>,
}

/// Rules below a common path.
pub type Group<T> = (&'static str, &'static [Rule<T>]);

/// How a document ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ended {
    /// The document is complete.
    Whole,
    /// The document is not JSON, or it is incomplete although more data followed.
    Malformed,
    /// The body ended before the document.
    Cut,
}

/// An [`On::Scalar`] rule.
pub const fn scalar<T>(path: &'static str, apply: fn(&mut T, Scalar<'_>)) -> Rule<T> {
    Rule { path, on: On::Scalar(apply) }
}

/// An [`On::Text`] rule.
pub const fn text<T>(path: &'static str, apply: fn(&mut T, &[u8])) -> Rule<T> {
    Rule { path, on: On::Text(apply) }
}

/// An [`On::Deferred`] rule.
pub const fn deferred<T>(path: &'static str, how: fn() -> Deferred<T>) -> Rule<T> {
    Rule { path, on: On::Deferred(how) }
}

/// An [`On::Digest`] rule.
pub const fn digest<T>(path: &'static str, apply: fn(&mut T, u64)) -> Rule<T> {
    Rule { path, on: On::Digest(apply) }
}

/// An [`On::Raw`] rule.
pub const fn raw<T>(path: &'static str, apply: fn(&mut T, &[u8])) -> Rule<T> {
    Rule { path, on: On::Raw(apply) }
}

/// An [`On::Open`] rule.
pub const fn open<T>(path: &'static str, apply: fn(&mut T, u32)) -> Rule<T> {
    Rule { path, on: On::Open(apply) }
}

/// An [`On::Supersedes`] rule.
pub const fn supersedes<T>(path: &'static str, apply: fn(&mut T, u32)) -> Rule<T> {
    Rule { path, on: On::Supersedes(apply) }
}

/// An [`On::Close`] rule.
pub const fn close<T>(path: &'static str, apply: fn(&mut T)) -> Rule<T> {
    Rule { path, on: On::Close(apply) }
}

/// A value in the tree of rules: the functions to call for it and the nodes of its members.
pub(super) struct Node<T> {
    /// Tags of the keys that rules name. They are separate from `keys` because most searches read only the tags.
    tags: Vec<KeyTag>,
    /// Keys in the order of `tags`, and the node of each.
    keys: Vec<(&'static [u8], u16)>,
    /// Node of the members that `keys` does not have.
    pub any: u16,
    /// Node of the array's elements.
    pub element: u16,
    pub scalar: Option<fn(&mut T, Scalar<'_>)>,
    pub text: Option<fn(&mut T, &[u8])>,
    pub deferred: Option<Deferred<T>>,
    pub digest: Option<fn(&mut T, u64)>,
    pub raw: Option<fn(&mut T, &[u8])>,
    pub open: Option<fn(&mut T, u32)>,
    /// True if `open` is of an [`On::Supersedes`] rule.
    pub supersedes: bool,
    pub close: Option<fn(&mut T)>,
}

impl<T> Node<T> {
    const fn new() -> Self {
        Node {
            tags: Vec::new(),
            keys: Vec::new(),
            any: NO_NODE,
            element: NO_NODE,
            scalar: None,
            text: None,
            deferred: None,
            digest: None,
            raw: None,
            open: None,
            supersedes: false,
            close: None,
        }
    }

    /// The node of the member with this key, or [`NO_NODE`].
    pub fn child(&self, key: &[u8]) -> u16 {
        let tag = tag(key);
        let mut from = 0;
        while let Some(found) = self.tags.get(from..).and_then(|tags| tags.iter().position(|known| *known == tag)) {
            from += found;
            match self.keys.get(from) {
                Some((name, node)) if key.len() < size_of::<KeyTag>() || *name == key => return *node,
                _ => from += 1,
            }
        }
        self.any
    }

    /// Returns true if a rule selects a string here.
    pub const fn selects_string(&self) -> bool {
        self.scalar.is_some() || self.text.is_some() || self.digest.is_some()
    }

    /// Returns true if a rule selects an object here or a member of it.
    pub const fn selects_object(&self) -> bool {
        !self.tags.is_empty() || self.any != NO_NODE || self.open.is_some() || self.close.is_some()
    }
}

/// The first seven bytes of a key, and its length modulo 256. Keys of up to seven bytes are equal if their tags are
/// equal.
type KeyTag = u64;

fn tag(key: &[u8]) -> KeyTag {
    let begin = match (key.first_chunk::<8>(), key.first_chunk::<4>(), key.last_chunk::<4>()) {
        (Some(bytes), _, _) => u64::from_le_bytes(*bytes) & (u64::MAX >> 8),
        // Four to seven bytes: the two chunks overlap.
        (None, Some(first), Some(last)) => {
            let offset = 8 * (key.len() - last.len());
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << offset
        }
        _ => key.iter().rev().fold(0, |tag, byte| tag << 8 | KeyTag::from(*byte)),
    };
    begin | KeyTag::from(key.len() as u8) << 56
}

/// Compiled rules. One program serves any number of scanners.
pub struct Program<T> {
    nodes: Vec<Node<T>>,
    /// Node of the members that [`Program::otherwise`] selects, or [`NO_NODE`].
    rest: u16,
    /// Keys that it does not select.
    ignored: &'static [&'static str],
    pub(super) begin: fn(&mut T),
    pub(super) end: fn(&mut T, Ended),
}

impl<T> Program<T> {
    /// Compiles groups of rules, each group below its own prefix (`""` is the document itself). A later rule replaces
    /// an earlier rule of the same kind and path. An [`On::Raw`] rule disables all rules below its path. `begin` is
    /// called at the begin of each document, `end` at its end.
    pub fn new(groups: &[Group<T>], begin: fn(&mut T), end: fn(&mut T, Ended)) -> Self {
        let mut program = Program { nodes: vec![Node::new()], rest: NO_NODE, ignored: &[], begin, end };
        for (prefix, rules) in groups {
            let root = program.node_at_path(0, prefix);
            for rule in *rules {
                let at = program.node_at_path(root, rule.path);
                let Some(node) = program.nodes.get_mut(usize::from(at)) else { continue };
                match rule.on {
                    On::Scalar(apply) => node.scalar = Some(apply),
                    On::Text(apply) => (node.text, node.deferred) = (Some(apply), None),
                    On::Deferred(how) => {
                        let deferred = how();
                        (node.text, node.deferred) = (Some(deferred.now), Some(deferred));
                        node.digest = deferred.digest.or(node.digest);
                    }
                    On::Digest(apply) => node.digest = Some(apply),
                    On::Raw(apply) => node.raw = Some(apply),
                    On::Open(apply) => (node.open, node.supersedes) = (Some(apply), false),
                    On::Supersedes(apply) => (node.open, node.supersedes) = (Some(apply), true),
                    On::Close(apply) => node.close = Some(apply),
                }
            }
        }
        // The scanner cannot pass an object on as written and look into it at the same time.
        for node in program.nodes.iter_mut().filter(|node| node.raw.is_some()) {
            let Node { scalar, text, deferred, digest, raw, .. } = *node;
            *node = Node { scalar, text, deferred, digest, raw, ..Node::new() };
        }
        program
    }

    /// Calls `apply` for each scalar that no rule selects in the objects with one of these keys, at any depth. It is not called
    /// for members with an ignored key, nor below them.
    pub fn otherwise(&mut self, keys: &[&str], ignored: &'static [&'static str], apply: fn(&mut T, Scalar<'_>)) {
        let is_one = |key: &[u8]| keys.iter().any(|known| known.as_bytes() == key);
        let named = self.nodes.iter().flat_map(|node| &node.keys).filter(|(key, _)| is_one(key));
        let mut open: Vec<u16> = named.map(|(_, node)| *node).collect();
        let rest = u16::try_from(self.nodes.len()).unwrap_or(NO_NODE);
        let mut is_used = false;
        while let Some(at) = open.pop() {
            let Some(node) = self.nodes.get_mut(usize::from(at)) else { continue };
            let is_object = node.selects_object() && node.any != rest;
            if node.raw.is_none() && is_object {
                open.extend(node.keys.iter().map(|(_, node)| *node));
                is_used = true;
                match node.any {
                    NO_NODE => node.any = rest,
                    any => open.push(any),
                }
            }
            if node.element != NO_NODE && node.element != rest {
                open.push(node.element);
            }
        }
        if is_used {
            self.nodes.push(Node { any: rest, element: rest, scalar: Some(apply), ..Node::new() });
            (self.rest, self.ignored) = (rest, ignored);
        }
    }

    /// The node at this path below node `at`. Creates the nodes that do not exist.
    fn node_at_path(&mut self, mut at: u16, path: &'static str) -> u16 {
        for segment in path.split('.').filter(|s| !s.is_empty()) {
            let key = segment.trim_end_matches("[]");
            if !key.is_empty() {
                at = self.child_or_new(at, key);
            }
            for _ in 0..(segment.len() - key.len()) / 2 {
                at = self.child_or_new(at, "[]");
            }
        }
        at
    }

    /// The node of one key, `[]` or `*` below node `at`. Creates it if it does not exist.
    fn child_or_new(&mut self, at: u16, key: &'static str) -> u16 {
        let new = u16::try_from(self.nodes.len()).unwrap_or(NO_NODE);
        let Some(node) = self.nodes.get_mut(usize::from(at)) else { return NO_NODE };
        let slot = match key {
            "[]" => &mut node.element,
            "*" => &mut node.any,
            _ => {
                if let Some((_, known)) = node.keys.iter().find(|(name, _)| *name == key.as_bytes()) {
                    return *known;
                }
                node.tags.push(tag(key.as_bytes()));
                node.keys.push((key.as_bytes(), new));
                self.nodes.push(Node::new());
                return new;
            }
        };
        if *slot == NO_NODE {
            *slot = new;
            self.nodes.push(Node::new());
            return new;
        }
        *slot
    }

    /// The node of the member of `parent` with this key, or [`NO_NODE`].
    pub(super) fn member(&self, parent: &Node<T>, key: &[u8]) -> u16 {
        let node = parent.child(key);
        let is_ignored = node == self.rest && self.ignored.iter().any(|ignored| ignored.as_bytes() == key);
        if is_ignored { NO_NODE } else { node }
    }

    /// The node with this index, or None for [`NO_NODE`].
    pub(super) fn node(&self, at: u16) -> Option<&Node<T>> {
        self.nodes.get(usize::from(at))
    }
}
