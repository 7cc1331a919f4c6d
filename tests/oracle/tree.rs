//! A JSON tree that keeps the order of keys, repeated keys and the spelling of scalars, so that it can be rewritten.

#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Scalar(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

type Members = Vec<(String, Tree)>;

/// A member of an object: the steps to the object, then the member's index in it.
#[derive(Clone, Debug)]
pub struct Place {
    steps: Vec<usize>,
    member: usize,
}

impl Tree {
    /// Returns `None` unless the text is one well-formed JSON value.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<serde_json::Value>(text).ok()?;
        let mut reader = Reader { text, at: 0 };
        Some(reader.value())
    }

    pub fn write(&self, spaced: bool) -> String {
        let mut out = String::new();
        self.put(spaced, &mut out);
        out
    }

    fn put(&self, spaced: bool, out: &mut String) {
        let gap = if spaced { " " } else { "" };
        match self {
            Self::Scalar(text) => out.push_str(text),
            Self::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    out.push_str(gap);
                    item.put(spaced, out);
                }
                out.push_str(gap);
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    out.push_str(gap);
                    out.push_str(key);
                    out.push_str(gap);
                    out.push(':');
                    out.push_str(gap);
                    value.put(spaced, out);
                }
                out.push_str(gap);
                out.push('}');
            }
        }
    }

    /// Every member of every object, at every depth.
    pub fn places(&self) -> Vec<Place> {
        fn walk(tree: &Tree, steps: &mut Vec<usize>, out: &mut Vec<Place>) {
            for (at, child) in tree.children().enumerate() {
                if matches!(tree, Tree::Object(_)) {
                    out.push(Place { steps: steps.clone(), member: at });
                }
                steps.push(at);
                walk(child, steps, out);
                steps.pop();
            }
        }
        let mut out = Vec::new();
        walk(self, &mut Vec::new(), &mut out);
        out
    }

    pub fn children(&self) -> Box<dyn Iterator<Item = &Tree> + '_> {
        match self {
            Self::Scalar(_) => Box::new(std::iter::empty()),
            Self::Array(items) => Box::new(items.iter()),
            Self::Object(members) => Box::new(members.iter().map(|(_, value)| value)),
        }
    }

    /// The members of the object at `place`.
    pub fn members(&mut self, place: &Place) -> &mut Vec<(String, Tree)> {
        let mut tree = self;
        for &step in &place.steps {
            tree = match tree {
                Self::Array(items) => &mut items[step],
                Self::Object(members) => &mut members[step].1,
                Self::Scalar(_) => unreachable!("a place leads through containers"),
            };
        }
        match tree {
            Self::Object(members) => members,
            _ => unreachable!("a place ends in an object"),
        }
    }

    /// Visits every object, including nested ones.
    pub fn objects(&mut self, visit: &mut dyn FnMut(&mut Members)) {
        match self {
            Self::Scalar(_) => {}
            Self::Array(items) => items.iter_mut().for_each(|item| item.objects(visit)),
            Self::Object(members) => {
                visit(members);
                members.iter_mut().for_each(|(_, value)| value.objects(visit));
            }
        }
    }
}

impl Place {
    pub fn member(&self) -> usize {
        self.member
    }
}

/// Reads text that is known to be valid.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self) -> Tree {
        match self.peek() {
            b'{' => {
                let mut members = Vec::new();
                while self.more(b'}') {
                    let key = self.scalar();
                    self.peek();
                    self.at += 1;
                    members.push((key, self.value()));
                }
                Tree::Object(members)
            }
            b'[' => {
                let mut items = Vec::new();
                while self.more(b']') {
                    items.push(self.value());
                }
                Tree::Array(items)
            }
            _ => Tree::Scalar(self.scalar()),
        }
    }

    /// Skips the opening bracket or a comma. Returns false after the closing bracket.
    fn more(&mut self, close: u8) -> bool {
        let here = self.peek();
        self.at += 1;
        if here == close {
            return false;
        }
        if self.peek() == close && here != b',' {
            self.at += 1;
            return false;
        }
        true
    }

    fn scalar(&mut self) -> String {
        self.peek();
        let start = self.at;
        let bytes = self.text.as_bytes();
        if bytes[start] == b'"' {
            self.at += 1;
            while bytes[self.at] != b'"' {
                self.at += if bytes[self.at] == b'\\' { 2 } else { 1 };
            }
            self.at += 1;
        } else {
            while bytes.get(self.at).is_some_and(|b| !matches!(b, b',' | b'}' | b']') && !b.is_ascii_whitespace()) {
                self.at += 1;
            }
        }
        self.text[start..self.at].to_owned()
    }

    fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while bytes[self.at].is_ascii_whitespace() {
            self.at += 1;
        }
        bytes[self.at]
    }
}
