//! Reads what a drawing shows. The pictures are written so that each element is on one line, and no group of those read here
//! contains another one.

use std::fs;
use std::path::Path;

/// The files in `envoy/pictures`.
pub const PICTURES: [&str; 3] = ["dashboard.svg", "overview.svg", "trace.svg"];

pub struct Drawing {
    pub source: String,
}

/// A part of a drawing, from its opening tag to its end.
pub struct Element<'d> {
    pub source: &'d str,
}

impl Drawing {
    pub fn open(name: &str) -> Self {
        Drawing { source: read(&format!("envoy/pictures/{name}")) }
    }

    /// The groups that begin with these characters.
    pub fn groups<'d>(&'d self, start: &'d str) -> impl Iterator<Item = Element<'d>> {
        Element { source: &self.source }.parts(start, "</g>")
    }

    /// The elements that begin with these characters.
    pub fn elements<'d>(&'d self, start: &'d str) -> impl Iterator<Item = Element<'d>> {
        Element { source: &self.source }.elements(start)
    }
}

impl<'d> Element<'d> {
    pub fn elements(&self, start: &'d str) -> impl Iterator<Item = Element<'d>> + use<'d> {
        self.parts(start, "</text>")
    }

    fn parts(&self, start: &'d str, end: &'d str) -> impl Iterator<Item = Element<'d>> + use<'d> {
        let source = self.source;
        source.match_indices(start).map(move |(at, _)| {
            let rest = &source[at..];
            Element { source: rest.split_once(end).map_or(rest, |(part, _)| part) }
        })
    }

    /// The text of an element without other elements.
    pub fn text(&self) -> &'d str {
        self.source.split_once('>').unwrap_or_else(|| panic!("{} has no end", self.source)).1
    }

    /// The place to which its `transform` moves it.
    pub fn place(&self) -> [f64; 2] {
        let place = self.source.split_once("translate(").and_then(|(_, rest)| rest.split_once(')')).unwrap().0;
        let (x, y) = place.split_once(' ').unwrap();
        [x, y].map(|number| number.parse().unwrap())
    }

    pub fn number(&self, attribute: &str) -> f64 {
        let tag = self.source.split('>').next().unwrap();
        let value = tag.split_once(&format!(" {attribute}=\"")).and_then(|(_, rest)| rest.split_once('"'));
        value.and_then(|(value, _)| value.parse().ok()).unwrap_or_else(|| panic!("{tag} has no number {attribute}"))
    }
}

/// The manuals that show pictures.
pub fn manuals() -> impl Iterator<Item = String> {
    ["README.md", "envoy/README.md"].into_iter().map(read)
}

/// Fails if the numbers differ by more than half a pixel.
pub fn close(drawn: f64, expected: f64, what: &str) {
    assert!((drawn - expected).abs() <= 0.5, "{what} is drawn at {drawn} instead of {expected}");
}

pub fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}
