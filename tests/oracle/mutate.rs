//! Rewrites an exchange, or removes a part of it, in ways that servers, gateways and clients do.
//!
//! The first word of a label says what may change in the result. `same`: nothing. `twice`: nothing, if the last of two
//! equal keys is used (JSON leaves this open, and a reader that appends text as it arrives counts it twice). `less`:
//! only what the removed key said.

use super::dice::Dice;
use super::framing::{essence, without_bom};
use super::tree::Tree;
use super::{Exchange, frames};
use serde_json::Value;

pub fn mutations(exchange: &Exchange, seed: u64) -> Vec<(String, Exchange)> {
    let mut dice = Dice::new(seed);
    let mut out = Vec::new();
    let request = essence(&exchange.request_headers);
    if request.is_empty() || request.ends_with("json") {
        let mut push = |label, body| out.push((label, Exchange { request_body: body, ..exchange.clone() }));
        text_documents(&exchange.request_body, Shape::Json, "request", &mut dice, &mut push);
    }
    let mut push = |label, body| out.push((label, Exchange { response_body: body, ..exchange.clone() }));
    let shape = match essence(&exchange.response_headers).as_str() {
        "text/event-stream" => Shape::Events,
        "application/x-ndjson" | "application/stream+json" => Shape::Lines,
        "application/vnd.amazon.eventstream" => {
            framed(&exchange.response_body, &mut dice, &mut push);
            return out;
        }
        kind if kind.ends_with("json") => Shape::Json,
        _ => return out,
    };
    text_documents(&exchange.response_body, shape, "response", &mut dice, &mut push);
    match shape {
        Shape::Json => {}
        Shape::Events => events(&exchange.response_body, &mut dice, &mut push),
        Shape::Lines => lines(&exchange.response_body, &mut push),
    }
    out
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Json,
    Lines,
    Events,
}

fn text_documents(body: &[u8], shape: Shape, side: &str, dice: &mut Dice, push: &mut Push<'_>) {
    let Ok(text) = std::str::from_utf8(without_bom(body)) else { return };
    documents(&pieces(text, shape), &write, side, dice, push);
    if shape == Shape::Json {
        push(format!("same: {side} after a byte order mark"), [b"\xEF\xBB\xBF", text.as_bytes()].concat());
        push(format!("same: {side} after blank lines"), [b"\n\r\n  \n", text.as_bytes()].concat());
    }
}

/// Rewrites the payloads of frames; in Invoke frames the JSON inside the payload.
fn framed(body: &[u8], dice: &mut Dice, push: &mut Push<'_>) {
    let Some(found) = frames::split(body) else { return };
    let (mut wrapped, mut pieces) = (Vec::new(), Vec::new());
    for (_, payload) in &found {
        let value: Value = serde_json::from_slice(payload).unwrap_or_default();
        let inner = value["bytes"].as_str().map(frames::from_base64);
        wrapped.push(inner.is_some());
        pieces.push(piece(&String::from_utf8_lossy(&inner.unwrap_or(payload.clone()))));
    }
    let render = |pieces: &[Piece], spaced: bool| -> Vec<u8> {
        let framed = found.iter().zip(&wrapped).zip(pieces).map(|(((headers, _), wrapped), piece)| {
            let payload = write(std::slice::from_ref(piece), spaced);
            match wrapped {
                true => frames::frame(headers, format!("{{\"bytes\":\"{}\"}}", frames::to_base64(&payload)).as_bytes()),
                false => frames::frame(headers, &payload),
            }
        });
        framed.flatten().collect()
    };
    documents(&pieces, &render, "response", dice, push);
}

type Push<'a> = dyn FnMut(String, Vec<u8>) + 'a;
type Render<'a> = dyn Fn(&[Piece], bool) -> Vec<u8> + 'a;

/// Removes, repeats and moves keys, in one JSON document of the body at a time or in all of them.
fn documents(pieces: &[Piece], render: &Render<'_>, side: &str, dice: &mut Dice, push: &mut Push<'_>) {
    let found: Vec<usize> = (0..pieces.len()).filter(|at| matches!(pieces[*at], Piece::Document(_))).collect();
    if found.is_empty() {
        return;
    }
    let with = |at: usize, tree: Tree| {
        let mut pieces = pieces.to_vec();
        pieces[at] = Piece::Document(tree);
        render(&pieces, false)
    };
    for round in 0..12 {
        let at = found[dice.below(found.len())];
        let Piece::Document(tree) = &pieces[at] else { continue };
        let places = tree.places();
        if places.is_empty() {
            continue;
        }
        let place = &places[dice.below(places.len())];
        let mut tree = tree.clone();
        let members = tree.members(place);
        let label = |what: &str, key: &str| format!("{what} {key} in {side} document {at}");
        if round % 2 == 0 {
            let (key, _) = members.remove(place.member());
            push(label("less:", &key), with(at, tree));
        } else {
            let copy = members[place.member()].clone();
            let label = label("twice:", &copy.0);
            let to = place.member() + 1 + dice.below(members.len() - place.member());
            members.insert(to, copy);
            push(label, with(at, tree));
        }
    }
    for order in ["shuffled", "reversed"] {
        let mut moved = pieces.to_vec();
        for piece in &mut moved {
            if let Piece::Document(tree) = piece {
                tree.objects(&mut |members| {
                    if order == "reversed" { members.reverse() } else { dice.shuffle(members) }
                });
            }
        }
        push(format!("same: keys {order} in the {side}"), render(&moved, false));
    }
    push(format!("same: {side} with spaces"), render(pieces, true));
}

#[derive(Clone)]
enum Piece {
    Verbatim(String),
    Document(Tree),
}

fn piece(text: &str) -> Piece {
    Tree::parse(text).map_or_else(|| Piece::Verbatim(text.to_owned()), Piece::Document)
}

/// Splits the body into documents and the text around them. Text that is not valid JSON is kept.
fn pieces(text: &str, shape: Shape) -> Vec<Piece> {
    if shape == Shape::Json {
        return vec![piece(text)];
    }
    let mut out = Vec::new();
    for line in text.split_inclusive(['\n', '\r']) {
        let content = line.trim_end_matches(['\n', '\r']);
        let start = if shape == Shape::Events {
            content.strip_prefix("data:").map(|rest| content.len() - rest.len())
        } else {
            Some(0)
        };
        let Some(start) = start else {
            out.push(Piece::Verbatim(line.to_owned()));
            continue;
        };
        out.push(Piece::Verbatim(line[..start].to_owned()));
        out.push(piece(&content[start..]));
        out.push(Piece::Verbatim(line[content.len()..].to_owned()));
    }
    out
}

fn write(pieces: &[Piece], spaced: bool) -> Vec<u8> {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Verbatim(text) => out.push_str(text),
            Piece::Document(tree) => out.push_str(&tree.write(spaced)),
        }
    }
    out.into_bytes()
}

/// Rewrites the framing of server-sent events.
fn events(body: &[u8], dice: &mut Dice, push: &mut Push<'_>) {
    let Ok(text) = std::str::from_utf8(without_bom(body)) else { return };
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    for (name, end) in [("LF", "\n"), ("CR", "\r"), ("CRLF", "\r\n")] {
        push(format!("same: line ends {name}"), text.replace('\n', end).into_bytes());
    }
    push("same: after a byte order mark".into(), format!("\u{FEFF}{text}").into_bytes());
    push("same: comments".into(), text.replace("\n\n", "\n\n: keep-alive\n\n").into_bytes());
    push("same: comments inside events".into(), text.replace("data:", ":\n: data: {\"usage\":1}\ndata:").into_bytes());
    push("same: unknown fields".into(), text.replace("data:", "id: 7\nretry: 3000\nusage\ndata:").into_bytes());
    push("same: no space after the colon".into(), text.replace("\ndata: ", "\ndata:").into_bytes());
    push("same: no blank line at the end".into(), text.trim_end_matches('\n').into());
    let split: String = text.split_inclusive('\n').map(|line| two_lines(line, dice)).collect();
    push("same: data on two lines".into(), split.into_bytes());
    let done = "data: [DONE]\n\n";
    if text.contains(done) {
        push("same: done twice".into(), format!("{}\n\n{done}", text.trim_end_matches('\n')).into_bytes());
        push("less: done missing".into(), text.replace(done, "").into_bytes());
    }
}

/// Splits a JSON payload where JSON permits a line end: after a comma or colon outside of strings.
fn two_lines(line: &str, dice: &mut Dice) -> String {
    let Some(payload) = line.strip_prefix("data:") else { return line.to_owned() };
    if Tree::parse(payload).is_none() {
        return line.to_owned();
    }
    let (mut quoted, mut escaped) = (false, false);
    let mut cuts = Vec::new();
    for (at, byte) in payload.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b',' | b':' | b'{' | b'[' if !quoted => cuts.push(at + 1),
            _ => {}
        }
    }
    if cuts.is_empty() {
        return line.to_owned();
    }
    let (before, after) = payload.split_at(cuts[dice.below(cuts.len())]);
    format!("data:{before}\ndata: {after}")
}

fn lines(body: &[u8], push: &mut Push<'_>) {
    let Ok(text) = std::str::from_utf8(body) else { return };
    push("same: line ends CRLF".into(), text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes());
    push("same: blank lines".into(), text.replace('\n', "\n\n").into_bytes());
    push("same: no line end at the end".into(), text.trim_end().into());
}
