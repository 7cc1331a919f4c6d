//! The providers of the demo, and the calls that suit each of them.

use std::env;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Map, Value, json};

use gaugeway_demo::client;
use gaugeway_demo::fixtures::Fixture;
use gaugeway_demo::local_model::LocalModel;
use gaugeway_demo::replay::Replay;
use gaugeway_demo::upstream::Upstream;

pub enum Provider {
    Recorded { upstream: Upstream, fixtures: Vec<Fixture> },
    Local(LocalModel),
    Remote { tls: bool, host: String, port: u16, key: Option<String>, model: String },
}

#[derive(Clone)]
pub struct Call {
    pub id: String,
    /// The title in the terminal.
    pub title: String,
    /// The title of the page's button.
    label: String,
    /// The expected values of the access log, without those that depend on the clock.
    pub expected: Option<Map<String, Value>>,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Provider {
    pub async fn from_environment() -> Result<Self, String> {
        match env::var("UPSTREAM").as_deref() {
            Err(_) | Ok("") => {
                let fixtures = Fixture::all();
                Ok(Self::Recorded { upstream: Upstream::start(fixtures.clone()).await, fixtures })
            }
            Ok("local") => LocalModel::start().await.map(Self::Local),
            Ok(url) => remote(url),
        }
    }

    pub fn name(&self) -> String {
        match self {
            Self::Recorded { upstream, .. } => format!("recorded exchanges on {}", upstream.addr),
            Self::Local(local) => format!("{} on {}", local.model, local.addr),
            Self::Remote { host, port, .. } => format!("{host}:{port}"),
        }
    }

    pub fn addr(&self) -> SocketAddr {
        match self {
            Self::Recorded { upstream, .. } => upstream.addr,
            Self::Local(local) => local.addr,
            Self::Remote { port, .. } => SocketAddr::from((Ipv4Addr::LOCALHOST, *port)),
        }
    }

    /// The edits of envoy.yaml that a remote provider needs, other than its port.
    pub fn changes(&self) -> Vec<(String, String)> {
        let Self::Remote { tls, host, port, .. } = self else { return Vec::new() };
        let mut changes = vec![
            (format!("address: 127.0.0.1, port_value: {port}}}"), format!("address: {host}, port_value: {port}}}")),
            ("timeout: 0s}".to_owned(), format!("timeout: 0s, host_rewrite_literal: {host}}}")),
        ];
        let dns = "    # dns_lookup_family: V4_PREFERRED\n";
        let mut cluster = dns.replace("# ", "");
        if *tls {
            cluster.push_str(&format!(
                "    transport_socket: {{name: envoy.transport_sockets.tls, typed_config: {{\"@type\": \
                 type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: {host}, \
                 common_tls_context: {{validation_context: {{trusted_ca: {{filename: /etc/ssl/certs/ca-certificates.crt}}}}}}}}}}\n"
            ));
        }
        changes.push((dns.to_owned(), cluster));
        changes
    }

    pub fn calls(&self) -> Vec<Call> {
        match self {
            Self::Recorded { fixtures, .. } => recorded(fixtures),
            Self::Local(LocalModel { model, .. }) => {
                [chat(model, false), chat(model, true), messages(model), responses(model, false)]
                    .map(|(title, path, body)| Call::new(title, path, &[("host", "127.0.0.1:8080")], &body))
                    .into()
            }
            Self::Remote { host, key, model, .. } => {
                let mut headers = vec![("host", host.as_str())];
                let key = key.as_ref().map(|key| format!("Bearer {key}"));
                headers.extend(key.iter().map(|key| ("authorization", key.as_str())));
                [chat(model, false), chat(model, true), responses(model, true)]
                    .map(|(title, path, body)| Call::new(title, path, &headers, &body))
                    .into()
            }
        }
    }

    /// The buttons of the live page. Only the upstream of recorded exchanges has a model for the agent.
    pub fn replays(&self, calls: &[Call]) -> Vec<Replay> {
        let agent = matches!(self, Self::Recorded { .. })
            .then(|| Replay::of_agent("A coding agent whose sub-agent has a failing tool"));
        agent.into_iter().chain(calls.iter().map(Call::replay)).collect()
    }

    /// A command to send a call by hand.
    pub fn by_hand(&self) -> String {
        let (model, key) = match self {
            Self::Recorded { .. } => ("gpt-4o", ""),
            Self::Local(LocalModel { model, .. }) => (model.as_str(), ""),
            Self::Remote { model, .. } => (model.as_str(), " \\\n    -H \"authorization: Bearer $OPENAI_API_KEY\""),
        };
        let body = json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]});
        format!(
            "curl -s 127.0.0.1:10000/v1/chat/completions -H 'content-type: application/json'{key} \\\n    -d '{body}'"
        )
    }
}

impl Call {
    fn new(title: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Self {
        let own = headers.iter().copied().chain([("content-type", "application/json")]);
        Self {
            id: client::request_id(),
            title: title.to_owned(),
            label: label(title),
            expected: None,
            path: path.to_owned(),
            headers: own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: body.to_string().into(),
        }
    }

    fn of_fixture(fixture: &Fixture, label: &str) -> Self {
        let mut headers = fixture.request.headers.clone();
        headers.push(("x-fixture".to_owned(), fixture.id.clone()));
        if fixture.is_stream() {
            headers.push(("x-upstream".to_owned(), "gap=20".to_owned()));
        }
        Self {
            id: client::request_id(),
            title: fixture.id.clone(),
            label: label.to_owned(),
            expected: Some(fixture.observation.clone()),
            path: fixture.request.path.clone(),
            headers,
            body: fixture.request.body.clone(),
        }
    }

    pub fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::post(&self.path).header("x-request-id", &self.id);
        let own = self.headers.iter().filter(|(name, _)| name != "x-request-id" && name != "content-length");
        for (name, value) in own {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body.clone())).expect("a call has an invalid header")
    }

    /// The same call for a button of the live page. Each request has a new id.
    pub fn replay(&self) -> Replay {
        let call = self.clone();
        Replay::of_call(&self.label, move || Self { id: client::request_id(), ..call.clone() }.request())
    }

    /// The differences between the access log line and the fixture. Without a fixture, the missing values that every
    /// call must have.
    pub fn differences(&self, entry: &Value) -> Vec<String> {
        let Some(expected) = &self.expected else {
            let needed = ["gen_ai.operation.name", "gen_ai.usage.output_tokens", "gaugeway.outcome"];
            return needed.iter().filter(|key| entry[**key].is_null()).map(|key| format!("{key} is missing")).collect();
        };
        let differs = |key: &str, value: &Value| match entry[key].as_str() {
            Some(seen) if same(value, seen) => None,
            Some(seen) => Some(format!("{key} is {seen} instead of {value}")),
            None => Some(format!("{key} is missing, but must be {value}")),
        };
        expected.iter().filter_map(|(key, value)| differs(key, value)).collect()
    }
}

/// Returns true if a filter state text represents the typed value.
fn same(value: &Value, seen: &str) -> bool {
    match value {
        Value::String(text) => text == seen,
        Value::Number(number) => {
            let (number, seen) = (number.as_f64(), seen.parse::<f64>().ok());
            number.zip(seen).is_some_and(|(number, seen)| (number - seen).abs() <= 1e-9 * number.abs().max(1e-3))
        }
        value => serde_json::from_str::<Value>(seen).is_ok_and(|seen| seen == *value),
    }
}

/// One recorded exchange of each important kind, if the fixtures have one.
fn recorded(fixtures: &[Fixture]) -> Vec<Call> {
    type Wanted = (&'static str, &'static str, &'static str, fn(&Fixture) -> bool);
    let wanted: [Wanted; 6] = [
        ("A prompt from the cache (OpenAI)", "openai-chat", "unary-tool-result-cached-prompt", |one| {
            !one.is_stream() && saw(one, "gaugeway.response.hash")
        }),
        ("A stream (OpenAI)", "openai-chat", "stream-include-usage", |one| {
            one.is_stream() && saw(one, "gaugeway.response.hash")
        }),
        ("A tool call (OpenAI Responses)", "openai-responses", "", |one| {
            one.is_stream() && saw(one, "gaugeway.tool_call.names")
        }),
        ("Thinking and a tool call (Claude)", "anthropic-messages", "", |one| {
            one.is_stream() && saw(one, "gen_ai.usage.output_tokens")
        }),
        ("A stream (Gemini)", "gemini-generate", "stream-crlf-growing-usage", |one| {
            one.is_stream() && saw(one, "gen_ai.usage.output_tokens")
        }),
        ("A refusal: rate limit (OpenAI)", "openai-chat", "", |one| one.response.status == 429),
    ];
    wanted
        .iter()
        .filter_map(|(label, api, case, fits)| {
            let fitting = fixtures.iter().filter(|one| one.api().starts_with(api) && fits(one));
            let best = fitting.max_by_key(|one| (one.id == format!("{api}/{case}"), one.observation.len()))?;
            Some(Call::of_fixture(best, label))
        })
        .collect()
}

/// A title that begins a line.
fn label(title: &str) -> String {
    let mut letters = title.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn saw(fixture: &Fixture, key: &str) -> bool {
    fixture.observation.contains_key(key) && fixture.observation["gaugeway.outcome"] == "completed"
}

type Sketch = (&'static str, &'static str, Value);

fn chat(model: &str, stream: bool) -> Sketch {
    let mut body = json!({
        "model": model,
        "max_tokens": 48,
        "messages": [{"role": "system", "content": "Answer in one sentence."}, {"role": "user", "content": "What is a proxy?"}],
    });
    if stream {
        body["stream"] = true.into();
        body["stream_options"] = json!({"include_usage": true});
        return ("chat, streamed", "/v1/chat/completions", body);
    }
    ("chat", "/v1/chat/completions", body)
}

fn messages(model: &str) -> Sketch {
    let question = json!([{"role": "user", "content": "Name three colours."}]);
    (
        "messages, streamed",
        "/v1/messages",
        json!({"model": model, "max_tokens": 48, "stream": true, "messages": question}),
    )
}

fn responses(model: &str, tool: bool) -> Sketch {
    let mut body =
        json!({"model": model, "max_output_tokens": 64, "stream": true, "input": "What is the weather in Bern now?"});
    if tool {
        let place = json!({"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]});
        body["tools"] = json!([{"type": "function", "name": "weather", "parameters": place}]);
        body["tool_choice"] = "required".into();
    }
    ("responses, streamed", "/v1/responses", body)
}

fn remote(url: &str) -> Result<Provider, String> {
    let wrong = || format!("UPSTREAM must be `local` or a URL such as https://api.openai.com, not {url:?}");
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let tls = match scheme {
        "https" => true,
        "http" => false,
        _ => return Err(wrong()),
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
        None => (authority, if tls { 443 } else { 80 }),
    };
    if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)) {
        return Err(wrong());
    }
    let key = env::var("OPENAI_API_KEY").ok();
    if tls && key.is_none() {
        return Err(format!("calls to {host} need a key: set OPENAI_API_KEY"));
    }
    let model = env::var("MODEL").unwrap_or_else(|_| "gpt-4o-mini".to_owned());
    Ok(Provider::Remote { tls, host: host.to_owned(), port, key, model })
}
