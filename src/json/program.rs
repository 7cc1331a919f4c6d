//! Which values of a document are wanted and what to do with each: rules compiled to a tree of keys.

/// "No rule asks for this value."
pub(super) const NONE: u16 = u16::MAX;
/// Deepest level a rule may ask for. Documents may nest deeper: what lies below is skipped by counting brackets.
pub(super) const DEPTH: usize = 20;

/// A value that is not an object or array, as a rule receives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as written.
    Number(&'a str),
    /// A string, unescaped; bytes that are not UTF-8 are replaced.
    Text(&'a str),
    /// What a scalar rule cannot use: an object, an array, a string longer than [`super::LIMIT`], a word that is not JSON.
    Other,
}

/// What happens at a path.
pub enum On<T> {
    /// The value, unless it is a string and the path has an [`On::Text`] rule too.
    Scalar(fn(&mut T, Scalar<'_>)),
    /// A string in unescaped pieces; the first call of each string has an empty piece.
    Text(fn(&mut T, &[u8])),
    /// The same, which may come late: behind what follows it in the input, and not at all once an [`On::Supersedes`] came. Most of
    /// what a conversation repeats is passed over so.
    Deferred(fn() -> Deferred<T>),
    /// An object or array as it is written, in pieces; the first call of each has an empty piece.
    Raw(fn(&mut T, &[u8])),
    /// An object begins; the number is its position where it is an array's element, else 0.
    Open(fn(&mut T, u32)),
    /// The same, and of the texts before it none is wanted any more that did not come yet.
    Supersedes(fn(&mut T, u32)),
    /// That object ended.
    Close(fn(&mut T)),
}

/// What happens with a string that may come late.
pub struct Deferred<T> {
    /// Whether somebody waits for it.
    pub is_awaited: fn(&T) -> bool,
    /// It comes at once, in pieces.
    pub now: fn(&mut T, &[u8]),
    /// It will come late, or not at all: all of it, as it is written, up to its last quote.
    pub preview: Option<fn(&mut T, &[u8])>,
    /// It comes late, in pieces.
    pub later: fn(&mut T, &[u8]),
}

impl<T> Clone for Deferred<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Deferred<T> {}

/// One path of interest and what to do there.
pub struct Rule<T> {
    /// Keys joined by dots; `[]` stands for every element of an array, `*` for every key no other rule names.
    pub path: &'static str,
    /// What to do.
    pub on: On<T>,
}

/// Rules below a common path.
pub type Group<T> = (&'static str, &'static [Rule<T>]);

/// How a document ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ended {
    /// With its last bracket.
    Whole,
    /// With something that is not JSON, or before its last bracket although more was sent.
    Malformed,
    /// With the end of the body.
    Cut,
}

/// A rule for a scalar.
pub const fn scalar<T>(path: &'static str, apply: fn(&mut T, Scalar<'_>)) -> Rule<T> {
    Rule { path, on: On::Scalar(apply) }
}
/// A rule for a string in pieces.
pub const fn text<T>(path: &'static str, apply: fn(&mut T, &[u8])) -> Rule<T> {
    Rule { path, on: On::Text(apply) }
}
/// A rule for a string in pieces that may come late.
pub const fn deferred<T>(path: &'static str, how: fn() -> Deferred<T>) -> Rule<T> {
    Rule { path, on: On::Deferred(how) }
}
/// A rule for an object or array as it is written.
pub const fn raw<T>(path: &'static str, apply: fn(&mut T, &[u8])) -> Rule<T> {
    Rule { path, on: On::Raw(apply) }
}
/// A rule for the beginning of an object.
pub const fn open<T>(path: &'static str, apply: fn(&mut T, u32)) -> Rule<T> {
    Rule { path, on: On::Open(apply) }
}
/// A rule for the beginning of an object that ends the wait for late texts before it.
pub const fn supersedes<T>(path: &'static str, apply: fn(&mut T, u32)) -> Rule<T> {
    Rule { path, on: On::Supersedes(apply) }
}
/// A rule for the end of an object.
pub const fn close<T>(path: &'static str, apply: fn(&mut T)) -> Rule<T> {
    Rule { path, on: On::Close(apply) }
}

pub(super) struct Node<T> {
    /// Tags of the keys with rules below them. They lie apart from `keys` because most searches read nothing else.
    tags: Vec<Tag>,
    /// Keys in the order of `tags`, and the node of each.
    keys: Vec<(&'static [u8], u16)>,
    pub any: u16,
    pub element: u16,
    pub scalar: Option<fn(&mut T, Scalar<'_>)>,
    pub text: Option<fn(&mut T, &[u8])>,
    pub deferred: Option<Deferred<T>>,
    pub raw: Option<fn(&mut T, &[u8])>,
    pub open: Option<fn(&mut T, u32)>,
    pub supersedes: bool,
    pub close: Option<fn(&mut T)>,
}

impl<T> Node<T> {
    const fn new() -> Self {
        Node {
            tags: Vec::new(),
            keys: Vec::new(),
            any: NONE,
            element: NONE,
            scalar: None,
            text: None,
            deferred: None,
            raw: None,
            open: None,
            supersedes: false,
            close: None,
        }
    }

    pub fn child(&self, key: &[u8]) -> u16 {
        let tag = tag(key);
        let mut from = 0;
        while let Some(found) = self.tags.get(from..).and_then(|tags| tags.iter().position(|known| *known == tag)) {
            from += found;
            match self.keys.get(from) {
                Some((name, node)) if key.len() < size_of::<Tag>() || *name == key => return *node,
                _ => from += 1,
            }
        }
        self.any
    }

    pub const fn wants_string(&self) -> bool {
        self.scalar.is_some() || self.text.is_some()
    }

    pub const fn wants_object(&self) -> bool {
        !self.tags.is_empty() || self.any != NONE || self.open.is_some() || self.close.is_some()
    }
}

/// The first seven bytes of a key and its length, which is taken modulo 256. Keys of up to seven bytes are equal if their tags
/// are.
type Tag = u64;

fn tag(key: &[u8]) -> Tag {
    let begin = match (key.first_chunk::<8>(), key.first_chunk::<4>(), key.last_chunk::<4>()) {
        (Some(bytes), _, _) => u64::from_le_bytes(*bytes) & (u64::MAX >> 8),
        // Four to seven bytes: the two words overlap.
        (None, Some(first), Some(last)) => {
            let behind = 8 * (key.len() - last.len());
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << behind
        }
        _ => key.iter().rev().fold(0, |tag, byte| tag << 8 | Tag::from(*byte)),
    };
    begin | Tag::from(key.len() as u8) << 56
}

/// Rules compiled once and shared by every scanner that reads such documents.
pub struct Program<T> {
    nodes: Vec<Node<T>>,
    pub(super) begin: fn(&mut T),
    pub(super) end: fn(&mut T, Ended),
}

impl<T> Program<T> {
    /// Compiles groups of rules, each group below its own prefix (`""` for the document itself). A later rule for the
    /// same path replaces an earlier one, and [`On::Raw`] all those below it. `begin` is called when a document starts, `end` when it is over.
    pub fn new(groups: &[Group<T>], begin: fn(&mut T), end: fn(&mut T, Ended)) -> Self {
        let mut program = Program { nodes: vec![Node::new()], begin, end };
        for (prefix, rules) in groups {
            let root = program.reach(0, prefix);
            for rule in *rules {
                let at = program.reach(root, rule.path);
                let Some(node) = program.nodes.get_mut(usize::from(at)) else { continue };
                match rule.on {
                    On::Scalar(apply) => node.scalar = Some(apply),
                    On::Text(apply) => (node.text, node.deferred) = (Some(apply), None),
                    On::Deferred(how) => {
                        let deferred = how();
                        (node.text, node.deferred) = (Some(deferred.now), Some(deferred));
                    }
                    On::Raw(apply) => node.raw = Some(apply),
                    On::Open(apply) => (node.open, node.supersedes) = (Some(apply), false),
                    On::Supersedes(apply) => (node.open, node.supersedes) = (Some(apply), true),
                    On::Close(apply) => node.close = Some(apply),
                }
            }
        }
        // What is taken as it is written is not looked into as well.
        for node in program.nodes.iter_mut().filter(|node| node.raw.is_some()) {
            *node =
                Node { scalar: node.scalar, text: node.text, deferred: node.deferred, raw: node.raw, ..Node::new() };
        }
        program
    }

    fn reach(&mut self, mut at: u16, path: &'static str) -> u16 {
        for segment in path.split('.').filter(|s| !s.is_empty()) {
            let key = segment.trim_end_matches("[]");
            if !key.is_empty() {
                at = self.step(at, key);
            }
            for _ in 0..(segment.len() - key.len()) / 2 {
                at = self.step(at, "[]");
            }
        }
        at
    }

    fn step(&mut self, at: u16, key: &'static str) -> u16 {
        let fresh = u16::try_from(self.nodes.len()).unwrap_or(NONE);
        let Some(node) = self.nodes.get_mut(usize::from(at)) else { return NONE };
        let slot = match key {
            "[]" => &mut node.element,
            "*" => &mut node.any,
            _ => {
                if let Some((_, known)) = node.keys.iter().find(|(name, _)| *name == key.as_bytes()) {
                    return *known;
                }
                node.tags.push(tag(key.as_bytes()));
                node.keys.push((key.as_bytes(), fresh));
                self.nodes.push(Node::new());
                return fresh;
            }
        };
        if *slot == NONE {
            *slot = fresh;
            self.nodes.push(Node::new());
            return fresh;
        }
        *slot
    }

    pub(super) fn node(&self, at: u16) -> Option<&Node<T>> {
        self.nodes.get(usize::from(at))
    }
}
