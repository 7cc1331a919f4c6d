//! Prints the demo's results for people: at most 100 columns, with colours only on a terminal.

use std::collections::BTreeMap;
use std::env;
use std::io::{IsTerminal, Write, stdout};
use std::net::SocketAddr;

use serde_json::Value;

use gaugeway_demo::envoy::Envoy;
use gaugeway_demo::otlp::Span;
use gaugeway_demo::prometheus::Sample;

/// Prints a line. Write errors are ignored, because the reader may stop early (`| head`).
macro_rules! say {
    ($($argument:tt)*) => {
        drop(writeln!(stdout(), $($argument)*))
    };
}

pub struct Report {
    colour: bool,
}

const WIDTH: usize = 100;
const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";

impl Report {
    pub fn on_stdout() -> Self {
        let colour = stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour }
    }

    pub fn title(&self, text: &str) {
        say!("{}", self.paint(BOLD, text));
    }

    pub fn note(&self, text: &str) {
        say!("\n{}", self.paint(DIM, text));
    }

    /// Prints one access log line as a block.
    pub fn call(&self, number: usize, title: &str, entry: &Value) {
        let text = |key: &str| entry[key].as_str().unwrap_or_default();
        let plain = |key: &str| entry[key].as_str().map_or_else(|| entry[key].to_string(), str::to_owned);
        let (operation, asked, answered) =
            (text("gen_ai.operation.name"), text("gen_ai.request.model"), text("gen_ai.response.model"));
        let mut what = if operation.is_empty() { "not LLM traffic".to_owned() } else { format!("{operation} {asked}") };
        if !answered.is_empty() && answered != asked {
            what += &format!(" -> {answered}");
        }
        let outcome = match (text("gaugeway.outcome"), text("error.type")) {
            (outcome, "") => outcome.to_owned(),
            (outcome, error) => format!("{outcome} ({error})"),
        };
        let right = format!("{}  {}  {outcome}", text("gen_ai.provider.name"), plain("response_code"));
        let right = right.trim_end().to_owned();
        let good = text("gaugeway.outcome") == "completed" || operation.is_empty();
        let room = WIDTH.saturating_sub(4 + right.chars().count() + 2);
        let right = self.paint(if good { GREEN } else { RED }, &right);
        say!("\n{number:>2}  {}  {right}", self.paint(BOLD, &format!("{:<room$}", cut(&what, room))));
        let path = format!("{}{}", text("authority"), text("path"));
        self.row("call", &[path, if title.is_empty() { String::new() } else { format!("({title})") }]);

        let with = |label: &str, key: &str| {
            if text(key).is_empty() { String::new() } else { format!("{label}{}", thousands(text(key))) }
        };
        let list = |parts: &[String]| {
            let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
            if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
        };
        let cached = list(&[
            with("cached ", "gen_ai.usage.cache_read.input_tokens"),
            with("written ", "gen_ai.usage.cache_creation.input_tokens"),
        ]);
        let reasoning = list(&[with("reasoning ", "gen_ai.usage.reasoning.output_tokens")]);
        let cost = match (text("gaugeway.cost.usd").parse::<f64>(), text("gaugeway.cost.status")) {
            (Ok(usd), _) => format!("cost ${usd:.6}"),
            (Err(_), "") => String::new(),
            (Err(_), status) => format!("cost {status}"),
        };
        let (input, output) = (with("in ", "gen_ai.usage.input_tokens"), with("out ", "gen_ai.usage.output_tokens"));
        self.row("tokens", &[input + &cached, output + &reasoning, cost]);
        let seconds = |label: &str, key: &str| {
            text(key).parse().map_or(String::new(), |s: f64| format!("{label} {}", duration(s)))
        };
        let whole = entry["duration_ms"].as_f64().map_or(String::new(), |ms| format!("whole {}", duration(ms / 1e3)));
        let first = seconds("first chunk", "gen_ai.response.time_to_first_chunk");
        self.row("time", &[first, seconds("first token", "gaugeway.time_to_first_token"), whole]);
        let finish = words(text("gen_ai.response.finish_reasons"));
        let tools = words(text("gaugeway.tool_call.names"));
        self.row("finish", &[finish, if tools.is_empty() { tools } else { format!("tools {tools}") }]);
        let hashed = |label: &str, hash: &str, count: &str, unit: &str| match (text(hash), text(count)) {
            ("", _) => String::new(),
            (hash, "") => format!("{label} {hash}"),
            (hash, "1") => format!("{label} {hash} (1 {unit})"),
            (hash, count) => format!("{label} {hash} ({} {unit}s)", thousands(count)),
        };
        let prompt = hashed("prompt", "gaugeway.prompt.hash", "gaugeway.message_count", "message");
        self.row(
            "hashes",
            &[prompt, hashed("answer", "gaugeway.response.hash", "gaugeway.response.characters", "character")],
        );
        let agent = with("iteration ", "gaugeway.agent.iteration");
        self.row("agent", &[agent, with("loop ", "gaugeway.agent.loop")]);
        self.row("parse_error", &[text("gaugeway.parse_error").to_owned()]);
    }

    /// Prints an exported span: the plugin's attributes with types, and the names of Envoy's own attributes.
    pub fn span(&self, span: &Span) {
        self.heading("A span as exported (OTLP)");
        let field = |name: &str, value: &str| say!("  {} {value}", self.paint(DIM, &format!("{name:<9}")));
        field("name", &span.name);
        field("kind", &format!("{}    {} {}", span.kind, self.paint(DIM, "status"), span.status));
        field("trace", &format!("{}    {} {}", span.trace_id, self.paint(DIM, "span"), span.span_id));
        field("duration", &duration(span.duration.as_secs_f64()));
        let ours = |name: &str| ["gen_ai.", "gaugeway.", "error."].iter().any(|start| name.starts_with(start));
        for (name, value) in span.attributes.iter().filter(|(name, _)| ours(name)) {
            say!(
                "  {name:<42} {} {}",
                self.paint(DIM, &format!("{:<7}", value.kind())),
                cut(&value.to_string(), WIDTH - 53)
            );
        }
        let rest: Vec<&str> = span.attributes.keys().filter(|name| !ours(name)).map(String::as_str).collect();
        for (index, line) in wrapped(&format!("and Envoy's own: {}", rest.join(", ")), WIDTH - 4).iter().enumerate() {
            say!("  {}{}", if index == 0 { "" } else { "  " }, self.paint(DIM, line));
        }
    }

    /// Prints counters by operation, provider, model and own labels, and one line per histogram.
    pub fn series(&self, samples: &[Sample]) {
        self.heading("Prometheus series");
        say!(
            "  {}",
            self.paint(
                DIM,
                "counters: operation, provider, request model, own labels; summed over route and response model"
            )
        );
        let mut counters: BTreeMap<&str, BTreeMap<[String; 4], f64>> = BTreeMap::new();
        for sample in samples.iter().filter(|one| one.name.starts_with("gaugeway_") && one.name.ends_with("_total")) {
            let own = sample.labels.iter().filter(|(name, value)| !is_common(name) && !value.is_empty());
            let own: Vec<&str> = own.map(|(_, value)| value.as_str()).rev().collect();
            let model = sample.label("gen_ai_request_model");
            let row =
                [sample.label("gen_ai_operation_name"), sample.label("gen_ai_provider_name"), model, &own.join(" ")];
            *counters.entry(&sample.name).or_default().entry(row.map(str::to_owned)).or_default() += sample.value;
        }
        for (name, rows) in &counters {
            say!("  {name}");
            for ([operation, provider, model, own], value) in rows.iter().filter(|(_, value)| **value > 0.0) {
                let who = format!("{:<16} {:<12} {:<24}", cut(operation, 16), cut(provider, 12), cut(model, 24));
                say!("  {:>12}  {}", thousands(&value.to_string()), cut(format!("{who} {own}").trim_end(), WIDTH - 14));
            }
        }
        say!("  {}", self.paint(DIM, "histograms, all series together"));
        let is_ours = |name: &str| name.starts_with("gen_ai_") || name.starts_with("gaugeway_");
        let counts = samples.iter().filter(|one| is_ours(&one.name) && one.name.ends_with("_count"));
        let mut seen: BTreeMap<&str, f64> = BTreeMap::new();
        for sample in counts {
            *seen.entry(sample.name.trim_end_matches("_count")).or_default() += sample.value;
        }
        for (name, count) in seen {
            let middle =
                median(samples, name).map_or(String::new(), |value| match name.strip_suffix("_microseconds") {
                    Some(_) => duration(value / 1e6),
                    None => thousands(&format!("{value:.0}")),
                });
            say!("  {name:<58} count {count:<6} p50 ~{middle}");
        }
    }

    pub fn places(&self, envoy: &Envoy, live: Option<SocketAddr>, by_hand: &str) {
        self.heading("Where to look");
        if let Some(live) = live {
            say!("  live page    http://{live}/");
        }
        say!("  metrics      http://{}/stats/prometheus", envoy.admin);
        say!("  Envoy        http://{}/", envoy.admin);
        say!("  by hand      {by_hand}");
    }

    fn heading(&self, text: &str) {
        say!("\n{}", self.paint(BOLD, text));
    }

    fn row(&self, name: &str, parts: &[String]) {
        let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        if !parts.is_empty() {
            say!("    {} {}", self.paint(DIM, &format!("{name:<8}")), cut(&parts.join("   "), WIDTH - 13));
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn is_common(label: &str) -> bool {
    matches!(
        label,
        "gen_ai_operation_name" | "gen_ai_provider_name" | "gen_ai_request_model" | "gen_ai_response_model" | "route"
    )
}

/// The median of a histogram, by linear interpolation in its bucket.
fn median(samples: &[Sample], name: &str) -> Option<f64> {
    let bucket = format!("{name}_bucket");
    let mut below: Vec<(f64, f64)> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.name == bucket) {
        let bound: f64 = sample.label("le").parse().ok()?;
        match below.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, count)) => *count += sample.value,
            None => below.push((bound, sample.value)),
        }
    }
    below.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = below.last()?.1 / 2.0;
    let mut lower = (0.0, 0.0);
    for (bound, count) in below {
        if count >= half && count > lower.1 {
            return Some(if bound.is_finite() {
                lower.0 + (bound - lower.0) * (half - lower.1) / (count - lower.1)
            } else {
                lower.0
            });
        }
        lower = (bound, count);
    }
    None
}

/// A JSON array of strings as a list. Other text is returned unchanged.
fn words(text: &str) -> String {
    serde_json::from_str::<Vec<String>>(text).map_or_else(|_| text.to_owned(), |words| words.join(", "))
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 0.001 => format!("{:.0} us", s * 1e6),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

fn thousands(text: &str) -> String {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.to_owned();
    }
    let mut out = String::new();
    for (index, digit) in text.chars().enumerate() {
        if index > 0 && (text.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
