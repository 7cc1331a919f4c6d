//! The provider, a real Envoy with the plugin before it, and relays before both.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::envoy::{Envoy, Options};
use crate::support::otlp::{Attribute, Receiver, Span};
use crate::support::prometheus::{Sample, total};
use crate::tap::Tap;

const PATIENCE: Duration = Duration::from_secs(10);

/// What one response used. The cost is in billionths of a US dollar.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Used {
    pub model: String,
    /// True if there is a time to the first token.
    pub speaks: bool,
    pub input: i64,
    pub cached: i64,
    pub output: i64,
    pub reasoning: i64,
    pub audio_input: i64,
    pub audio_cached: i64,
    pub audio_output: i64,
    pub nano_dollars: i64,
}

pub struct Site {
    pub envoy: Envoy,
    pub client_side: Tap,
    pub server_side: Tap,
    spans: Receiver,
    records: Arc<Mutex<Vec<Used>>>,
    _upstream: Child,
}

impl Site {
    /// Starts the provider, with permessage-deflate or without, and the gateway.
    pub async fn start(deflate: bool) -> Self {
        Self::with(deflate, json!({})).await
    }

    /// The same with a configuration of the plugin.
    pub async fn with(deflate: bool, mut config: Value) -> Self {
        config["otlp"] = json!({"cluster": "otlp"});
        let mut upstream = Command::new(python())
            .arg("-B")
            .arg(scripts().join("upstream.py"))
            .args(deflate.then_some("deflate"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(upstream.stdout.take().unwrap()).lines();
        let port: u16 = lines.next_line().await.unwrap().expect("the provider did not start").parse().unwrap();
        let records = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&records);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().unwrap().push(Used::recorded(&serde_json::from_str(&line).unwrap()));
            }
        });
        let server_side = Tap::before(SocketAddr::from(([127, 0, 0, 1], port))).await;
        let spans = Receiver::start().await;
        let route = "{name: sockets, match: {prefix: /}, route: {cluster: llm, timeout: 0s, upgrade_configs: [{upgrade_type: websocket}]}}";
        let options = Options { config, otlp: Some(spans.addr), ..Options::to(server_side.addr) };
        let mut options = options.with(&[route], &[]);
        let prefix = "          stat_prefix: llm\n";
        let with_http2 = format!("{prefix}          http2_protocol_options: {{allow_connect: true}}\n");
        options.replace.push((prefix.to_owned(), with_http2));
        let envoy = Envoy::start(&options).await;
        let client_side = Tap::before(envoy.addr).await;
        Self { envoy, client_side, server_side, spans, records, _upstream: upstream }
    }

    /// Runs a client, and returns the input and output tokens that it printed.
    pub async fn run(&self, client: &mut Command) -> Vec<(i64, i64)> {
        let tokens = |line: &str| {
            let (input, output) = line.strip_prefix("tokens ")?.split_once(' ')?;
            Some((input.parse().ok()?, output.parse().ok()?))
        };
        self.output(client).await.lines().filter_map(tokens).collect()
    }

    /// Runs a client, and returns what it printed.
    pub async fn output(&self, client: &mut Command) -> String {
        let run = client.stdin(Stdio::null()).kill_on_drop(true).output();
        let run = tokio::time::timeout(Duration::from_secs(120), run).await.expect("the client did not end in time");
        let run = run.unwrap();
        let out = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(run.status.success(), "{client:?}:\n{out}\n{}", String::from_utf8_lossy(&run.stderr));
        out
    }

    /// The spans of the plugin.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.spans().into_iter().filter(|span| span.service != "llm-gateway").collect()
    }

    /// The plugin's span that fits.
    pub async fn span(&self, fits: impl Fn(&Span) -> bool) -> Span {
        let is_it = |span: &Span| span.service != "llm-gateway" && fits(span);
        self.spans.wait_for(is_it, PATIENCE).await.expect("there is no such span")
    }

    /// Everything that the provider recorded, sorted.
    pub fn recorded(&self) -> Vec<Used> {
        let mut records = self.records.lock().unwrap().clone();
        records.sort();
        records
    }

    /// Checks that the plugin's spans, its metrics and the access log have what the provider recorded. Other spans and
    /// requests, `failed` of them, are those of calls that failed.
    pub async fn assert_reported(&self, failed: usize) {
        let recorded = self.recorded();
        let is_call = |span: &Span| {
            let operation = span.text("gen_ai.operation.name").unwrap_or_default();
            ["chat", "generate_content", "transcription"].contains(&operation)
        };
        let calls = || self.spans().into_iter().filter(is_call);
        let end = Instant::now() + PATIENCE;
        while calls().count() < recorded.len() + failed && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (mut reported, failures): (Vec<_>, Vec<_>) =
            calls().map(|span| Used::reported(&span)).partition(|used| used.input > 0);
        reported.sort();
        assert_eq!((&reported, failures.len()), (&recorded, failed));

        let requests = (recorded.len() + failed) as f64;
        let counted = |samples: &[Sample]| total(samples, "gaugeway_requests_total", &[]) >= requests;
        let samples = self.envoy.samples_when(counted, PATIENCE).await;
        let sum = |part: fn(&Used) -> i64| recorded.iter().map(part).sum::<i64>() as f64;
        let audio = |kind| [("gen_ai_token_type", kind), ("gen_ai_token_modality", "audio")];
        for (name, labels, expected) in [
            ("gaugeway_requests_total", &[][..], requests),
            ("gaugeway_input_tokens_total", &[], sum(|used| used.input)),
            ("gaugeway_cache_read_tokens_total", &[], sum(|used| used.cached)),
            ("gaugeway_output_tokens_total", &[], sum(|used| used.output)),
            ("gaugeway_reasoning_tokens_total", &[], sum(|used| used.reasoning)),
            ("gaugeway_modality_tokens_total", &audio("input"), sum(|used| used.audio_input)),
            ("gaugeway_modality_tokens_total", &audio("output"), sum(|used| used.audio_output)),
            ("gaugeway_cost_nanousd_total", &[], sum(|used| used.nano_dollars)),
            ("gaugeway_websocket_sessions", &[], 0.0),
            ("gaugeway_unread_requests_total", &[], 0.0),
        ] {
            assert_eq!(total(&samples, name, labels), expected, "{name} {labels:?}");
        }
        let logged = |name: &str| -> f64 {
            let numbers =
                self.envoy.entries().into_iter().filter_map(|entry| entry[name].as_str()?.parse::<f64>().ok());
            numbers.sum()
        };
        assert_eq!(logged("gen_ai.usage.input_tokens"), sum(|used| used.input));
        assert_eq!(logged("gen_ai.usage.output_tokens"), sum(|used| used.output));
        assert_eq!((logged("gaugeway.cost.usd") * 1e9).round(), sum(|used| used.nano_dollars));
    }

    /// Checks that the gateway passed every byte on, in both directions.
    pub async fn assert_same_bytes(&self, sockets: usize) {
        // The last bytes are those of the closing handshakes.
        let ended = |entries: &[Value]| entries.iter().filter(|entry| entry["response_code"] == 101).count();
        let entries = self.envoy.entries_of(sockets, PATIENCE).await;
        assert_eq!(ended(&entries), sockets, "{entries:?}");
        let (own, passed) = (self.client_side.sockets(), self.server_side.sockets());
        assert_eq!((own.len(), passed.len()), (sockets, sockets));
        assert!(own == passed, "the bytes before and behind the gateway differ");
        assert_eq!(self.client_side.answers().len(), sockets);
    }
}

impl Used {
    /// What a span of the plugin says.
    fn reported(span: &Span) -> Self {
        let text = |key: &str| span.text(key).map(str::to_owned);
        let count = |key: &str| match span.attributes.get(key) {
            Some(Attribute::Int(number)) => *number,
            None => 0,
            Some(other) => panic!("{key} is {other:?}"),
        };
        let usd = match span.attributes.get("gaugeway.cost.usd") {
            Some(Attribute::Double(usd)) => *usd,
            _ => 0.0,
        };
        Used {
            model: text("gen_ai.response.model").or_else(|| text("gen_ai.request.model")).unwrap_or_default(),
            speaks: span.attributes.contains_key("gaugeway.time_to_first_token"),
            input: count("gen_ai.usage.input_tokens"),
            cached: count("gen_ai.usage.cache_read.input_tokens"),
            output: count("gen_ai.usage.output_tokens"),
            reasoning: count("gen_ai.usage.reasoning.output_tokens"),
            audio_input: count("gen_ai.usage.audio.input_tokens"),
            audio_cached: count("gen_ai.usage.audio.cache_read.input_tokens"),
            audio_output: count("gen_ai.usage.audio.output_tokens"),
            nano_dollars: (usd * 1e9).round() as i64,
        }
    }

    /// What the provider says.
    fn recorded(record: &Value) -> Self {
        let count = |key: &str| record[key].as_i64().unwrap_or(0);
        Used {
            model: record["model"].as_str().unwrap().to_owned(),
            speaks: record["speaks"] == true,
            input: count("input"),
            cached: count("cached"),
            output: count("output"),
            reasoning: count("reasoning"),
            audio_input: count("audio_input"),
            audio_cached: count("audio_cached"),
            audio_output: count("audio_output"),
            nano_dollars: record["nano_dollars"].as_i64().unwrap(),
        }
    }
}

/// The Python in which the clients are installed.
pub fn python() -> PathBuf {
    installed().join("bin/python")
}

/// The folder of the clients, as build.sh installs them.
pub fn installed() -> PathBuf {
    std::env::var("GAUGEWAY_SOCKETS").expect("GAUGEWAY_SOCKETS is not set: run ./build.sh test sockets").into()
}

/// The folder of the scripts.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sockets")
}
