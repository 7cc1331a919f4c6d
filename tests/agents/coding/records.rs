//! The records of Claude Code 2.1 and Codex 0.171 about the agents of a session, in their own folders.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::{AddAssign, SubAssign};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

const DAY: Duration = Duration::from_secs(86_400);

/// Tokens as the semantic conventions of OpenTelemetry count them: the input includes what a cache had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub input: i64,
    pub cache_read: i64,
    pub cache_write: i64,
    pub output: i64,
}

/// One agent of a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agent {
    pub tokens: Tokens,
    /// In the order of the turns.
    pub tools: Vec<Tool>,
}

/// A tool call with a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    pub name: String,
    /// The time until the last result of its turn.
    pub took: Duration,
    pub failed: bool,
}

impl SubAssign for Tokens {
    fn sub_assign(&mut self, other: Self) {
        self.input -= other.input;
        self.cache_read -= other.cache_read;
        self.cache_write -= other.cache_write;
        self.output -= other.output;
    }
}

impl AddAssign for Tokens {
    fn add_assign(&mut self, other: Self) {
        self.input += other.input;
        self.cache_read += other.cache_read;
        self.cache_write += other.cache_write;
        self.output += other.output;
    }
}

/// Reads the agents of a session by identifier from a folder of one of the programs. That of the main agent is empty.
pub fn agents(folder: &Path, session: &str) -> BTreeMap<String, Agent> {
    let mut files = Vec::new();
    list(folder, &mut files);
    files.retain(|file| file.extension().is_some_and(|end| end == "jsonl"));
    let mut agents = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        agents.extend(codex(&lines, session).or_else(|| claude_code(&lines, session)));
    }
    agents
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// Calls of tools, and their results as they come.
#[derive(Default)]
struct Tools(Vec<Called>);

struct Called {
    turn: String,
    id: String,
    name: String,
    /// The time of the call since midnight.
    at: Duration,
    /// The time of the result since midnight, and its failure.
    result: Option<(Duration, bool)>,
}

impl Tools {
    fn call(&mut self, turn: &str, id: &Value, name: &Value, line: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (turn, at) = (turn.to_owned(), time_of_day(line));
        self.0.push(Called { turn, id: text(id), name: text(name), at, result: None });
    }

    fn result(&mut self, id: &Value, failed: bool, line: &Value) {
        let call = self.0.iter_mut().rfind(|call| *id == *call.id).expect("a result without a call");
        call.result = Some((time_of_day(line), failed));
    }

    /// The calls with results, in the order of the turns and of their names.
    fn finish(self) -> Vec<Tool> {
        let since = |start: Duration, end: Duration| if end < start { end + DAY - start } else { end - start };
        let mut tools = Vec::new();
        for turn in self.0.chunk_by(|a, b| a.turn == b.turn) {
            let results = turn.iter().filter_map(|call| Some(since(turn[0].at, call.result?.0)));
            let Some(took) = results.max() else { continue };
            let tool = |call: &Called| Some(Tool { name: call.name.clone(), took, failed: call.result?.1 });
            let mut of_turn: Vec<_> = turn.iter().filter_map(tool).collect();
            of_turn.sort_by(|a, b| a.name.cmp(&b.name));
            tools.extend(of_turn);
        }
        tools
    }
}

/// Reads a transcript of Claude Code. A message has one line per content block, each with the message's usage.
fn claude_code(lines: &[Value], session: &str) -> Option<(String, Agent)> {
    let mut agent = Agent::default();
    let (mut tools, mut seen) = (Tools::default(), BTreeSet::new());
    let is_message =
        |line: &&Value| line["sessionId"] == session && (line["type"] == "user" || line["type"] == "assistant");
    let messages: Vec<_> = lines.iter().filter(is_message).collect();
    for line in &messages {
        let message = &line["message"];
        let usage = &message["usage"];
        let id = message["id"].as_str().unwrap_or_default();
        if usage.is_object() && seen.insert(id) {
            let count = |key: &str| usage[key].as_i64().unwrap();
            let (cache_read, cache_write) = (count("cache_read_input_tokens"), count("cache_creation_input_tokens"));
            let input = count("input_tokens") + cache_read + cache_write;
            agent.tokens += Tokens { input, cache_read, cache_write, output: count("output_tokens") };
        }
        for block in message["content"].as_array().into_iter().flatten() {
            match block["type"].as_str() {
                Some("tool_use") => tools.call(id, &block["id"], &block["name"], line),
                Some("tool_result") => tools.result(&block["tool_use_id"], block["is_error"] == true, line),
                _ => {}
            }
        }
    }
    agent.tools = tools.finish();
    let name = messages.first()?["agentId"].as_str().unwrap_or_default().to_owned();
    Some((name, agent))
}

/// Reads a rollout of Codex. A fork begins with a copy of its parent's history.
fn codex(lines: &[Value], session: &str) -> Option<(String, Agent)> {
    let meta = &lines.first()?["payload"];
    if meta["session_id"] != session {
        return None;
    }
    let start = meta["subagent_history_start_ordinal"].as_i64().unwrap_or(0);
    let mut agent = Agent::default();
    let (mut tools, mut turn) = (Tools::default(), 0);
    for line in lines.iter().filter(|line| line["ordinal"].as_i64().is_some_and(|ordinal| ordinal >= start)) {
        let payload = &line["payload"];
        match payload["type"].as_str().unwrap_or_default() {
            "function_call" | "custom_tool_call" => {
                tools.call(&format!("{turn}"), &payload["call_id"], &payload["name"], line);
            }
            "function_call_output" | "custom_tool_call_output" => tools.result(&payload["call_id"], false, line),
            "token_count" if payload["info"].is_object() => {
                turn += 1;
                agent.tokens += of_thread(&payload["info"]["last_token_usage"]);
            }
            _ => {}
        }
    }
    agent.tools = tools.finish();
    let id = meta["id"].as_str().unwrap();
    Some((if id == session { String::new() } else { id.to_owned() }, agent))
}

/// Reads a usage of Codex.
pub fn of_thread(usage: &Value) -> Tokens {
    let count = |key: &str| usage[key].as_i64().unwrap();
    Tokens {
        input: count("input_tokens"),
        cache_read: count("cached_input_tokens"),
        cache_write: count("cache_write_input_tokens"),
        output: count("output_tokens"),
    }
}

/// The time of a line since midnight: `2026-11-29T07:37:04.265Z`.
fn time_of_day(line: &Value) -> Duration {
    let time = line["timestamp"].as_str().and_then(|stamp| stamp.split_once('T')).expect("a line without a time").1;
    let parts: Vec<f64> = time.trim_end_matches('Z').split(':').map(|part| part.parse().unwrap()).collect();
    Duration::from_secs_f64(parts[0] * 3600.0 + parts[1] * 60.0 + parts[2])
}
