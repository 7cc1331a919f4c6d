//! Rules for paths in a JSON document: the callbacks of the scanner, and a search for the same paths in the whole tree.

use super::dice::Dice;
use super::documents::Document;
use super::tree::Tree;
use gaugeway::json::{Documents, Ended, LIMIT, On, Program, Rule, Scalar, Scanner};

/// The callbacks of the scanner, in order. The numbers identify the rules.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Begin,
    End(Ended),
    Null(usize),
    Bool(usize, bool),
    Number(usize, f64),
    Text(usize, Vec<u8>),
    Other(usize),
    Open(usize, u32),
    Close(usize),
}

pub type Log = Vec<Told>;

type Hooks = (fn(&mut Log, Scalar<'_>), fn(&mut Log, &[u8]), fn(&mut Log, u32), fn(&mut Log));

/// Rules are plain functions, so there is one set of functions for each rule number.
struct Slot<const SLOT: usize>;

impl<const SLOT: usize> Slot<SLOT> {
    const ON: Hooks = (
        |log, value| {
            log.push(match value {
                Scalar::Null => Told::Null(SLOT),
                Scalar::Bool(value) => Told::Bool(SLOT, value),
                Scalar::Number(number) => Told::Number(SLOT, number.parse().unwrap()),
                Scalar::Text(text) => Told::Text(SLOT, text.into()),
                Scalar::Other => Told::Other(SLOT),
            });
        },
        |log, piece| match log.last_mut() {
            _ if piece.is_empty() => log.push(Told::Text(SLOT, Vec::new())),
            Some(Told::Text(slot, heard)) if *slot == SLOT => heard.extend(piece),
            last => panic!("a piece of a string without its beginning, after {last:?}"),
        },
        |log, position| log.push(Told::Open(SLOT, position)),
        |log| log.push(Told::Close(SLOT)),
    );
}

const SLOTS: [Hooks; 8] = [
    Slot::<0>::ON,
    Slot::<1>::ON,
    Slot::<2>::ON,
    Slot::<3>::ON,
    Slot::<4>::ON,
    Slot::<5>::ON,
    Slot::<6>::ON,
    Slot::<7>::ON,
];

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Key(String),
    Any,
    Element,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Scalar,
    Text,
    Open,
    Close,
}

pub type Wish = (Vec<Step>, Kind);

/// Some rules, as a program for the scanner and as paths for the search in a tree.
pub struct Wanted {
    pub wishes: Vec<Wish>,
    pub program: Program<Log>,
}

impl Wanted {
    fn new(wishes: Vec<Wish>) -> Self {
        let rule = |(slot, (steps, kind)): (usize, &Wish)| {
            let (scalar, text, open, close) = SLOTS[slot];
            let on = match kind {
                Kind::Scalar => On::Scalar(scalar),
                Kind::Text => On::Text(text),
                Kind::Open => On::Open(open),
                Kind::Close => On::Close(close),
            };
            // A program needs rules with a static lifetime. Tests leak only a few.
            Rule { path: String::leak(path(steps)), on }
        };
        let rules: &'static [Rule<Log>] = Vec::leak(wishes.iter().enumerate().map(rule).collect());
        let program =
            Program::new(&[("", rules)], |log| log.push(Told::Begin), |log, ended| log.push(Told::End(ended)));
        Self { wishes, program }
    }

    /// Scalars at these paths of keys and `[]`.
    pub fn all(paths: &[&str]) -> Self {
        let step = |key: &str| if key.is_empty() { Step::Element } else { Step::Key(key.to_owned()) };
        let steps = |path: &&str| path.replace("[]", ".").split('.').map(step).collect();
        Self::new(paths.iter().map(|path| (steps(path), Kind::Scalar)).collect())
    }

    /// Random rules for places in this document, at most as many as there are slots.
    pub fn some_of(made: &Document, dice: &mut Dice) -> Self {
        let mut places = Vec::new();
        walk(&Tree::parse(&made.twin).unwrap(), &mut Vec::new(), &mut places);
        let mut wishes = Vec::<Wish>::new();
        for _ in 0..SLOTS.len() {
            let mut steps = places[dice.below(places.len())].clone();
            let kind = [Kind::Scalar, Kind::Text, Kind::Text, Kind::Scalar, Kind::Open, Kind::Close][dice.below(6)];
            for step in &mut steps {
                if matches!(step, Step::Key(_)) && dice.rarely(8) {
                    *step = Step::Any;
                }
            }
            let deepest = if matches!(kind, Kind::Open | Kind::Close) { 19 } else { 20 };
            if steps.len() <= deepest && !wishes.contains(&(steps.clone(), kind)) {
                wishes.push((steps, kind));
            }
        }
        Self::new(wishes)
    }

    pub fn in_document(&self, made: &Document) -> Log {
        self.in_tree(&Tree::parse(&made.twin).unwrap())
    }

    pub fn in_tree(&self, tree: &Tree) -> Log {
        let active: Vec<_> =
            self.wishes.iter().enumerate().map(|(slot, (steps, kind))| (slot, &steps[..], *kind)).collect();
        let mut log = vec![Told::Begin];
        find(tree, &active, 0, &mut log);
        log.push(Told::End(Ended::Whole));
        log
    }

    pub fn assert(&self, documents: Documents, pieces: &[&[u8]], expected: &Log, wire: &str) {
        let told = scan(&self.program, documents, pieces);
        assert_eq!(&told, expected, "{:?} in {} pieces of {wire}", self.wishes, pieces.len());
    }
}

pub fn scan(program: &Program<Log>, documents: Documents, pieces: &[&[u8]]) -> Log {
    let (mut scanner, mut log) = (Scanner::new(documents), Log::new());
    for piece in pieces {
        scanner.feed(program, &mut log, piece);
    }
    scanner.finish(program, &mut log, Ended::Cut);
    log
}

fn path(steps: &[Step]) -> String {
    let mut out = String::new();
    for step in steps {
        match step {
            Step::Element => out.push_str("[]"),
            Step::Any => out.push_str(".*"),
            Step::Key(key) => {
                out.push('.');
                out.push_str(key);
            }
        }
    }
    out
}

/// Every place of a tree that a path can name.
fn walk(tree: &Tree, steps: &mut Vec<Step>, out: &mut Vec<Vec<Step>>) {
    out.push(steps.clone());
    let children: Vec<(Step, &Tree)> = match tree {
        Tree::Scalar(_) => Vec::new(),
        Tree::Array(items) => items.iter().map(|item| (Step::Element, item)).collect(),
        Tree::Object(members) => members.iter().map(|(key, value)| (Step::Key(string(key)), value)).collect(),
    };
    for (step, child) in children {
        if !matches!(&step, Step::Key(key) if key.is_empty() || key.len() > LIMIT || key.contains(['.', '*', '['])) {
            steps.push(step);
            walk(child, steps, out);
            steps.pop();
        }
    }
}

type Active<'w> = (usize, &'w [Step], Kind);

/// Logs what the rules must report for this value. `position` is its index in its array.
fn find(tree: &Tree, active: &[Active<'_>], position: u32, log: &mut Log) {
    let here = |wanted: Kind| active.iter().find(|(_, steps, kind)| steps.is_empty() && *kind == wanted).map(|a| a.0);
    let below = |step: &Step| -> Vec<Active<'_>> {
        let next = active.iter().filter(|(_, steps, _)| steps.first() == Some(step));
        next.map(|(slot, steps, kind)| (*slot, &steps[1..], *kind)).collect()
    };
    let (scalar, text, open, close) = (here(Kind::Scalar), here(Kind::Text), here(Kind::Open), here(Kind::Close));
    let keys = active.iter().any(|(_, steps, _)| matches!(steps.first(), Some(Step::Key(_) | Step::Any)));
    match tree {
        Tree::Object(members) if keys || open.is_some() || close.is_some() => {
            log.extend(open.map(|slot| Told::Open(slot, position)));
            for (key, value) in members {
                let named = below(&Step::Key(string(key)));
                let active = if named.is_empty() { below(&Step::Any) } else { named };
                find(value, &active, 0, log);
            }
            log.extend(close.map(Told::Close));
        }
        Tree::Array(items) if active.iter().any(|(_, steps, _)| steps.first() == Some(&Step::Element)) => {
            for (position, item) in items.iter().enumerate() {
                find(item, &below(&Step::Element), position as u32, log);
            }
        }
        Tree::Scalar(spelt) if spelt.starts_with('"') => {
            let value = string(spelt).into_bytes();
            match (text, scalar) {
                (Some(slot), _) => log.push(Told::Text(slot, value)),
                (None, Some(slot)) if value.len() > LIMIT => log.push(Told::Other(slot)),
                (None, Some(slot)) => log.push(Told::Text(slot, value)),
                (None, None) => {}
            }
        }
        Tree::Scalar(spelt) => log.extend(scalar.map(|slot| match spelt.as_str() {
            "null" => Told::Null(slot),
            "true" | "false" => Told::Bool(slot, spelt == "true"),
            number if number.len() > LIMIT => Told::Other(slot),
            number => Told::Number(slot, number.parse().unwrap()),
        })),
        Tree::Object(_) | Tree::Array(_) => log.extend(scalar.map(Told::Other)),
    }
}

/// Decodes a string with `serde_json`.
fn string(spelt: &str) -> String {
    serde_json::from_str(spelt).unwrap()
}
