//! The plugin's configuration: JSON, read once at start. What is wrong is told with its path; traffic never meets it.

mod privacy;
pub mod value;

use std::collections::HashSet;

use serde_json::Value;

use crate::budget;
use crate::labels::LABELS;
use crate::provider::{self, Override};
use crate::signal::cost::PriceTable;
use crate::signal::feedback;
pub use privacy::{Capture, Privacy};
pub use value::ConfigError;
use value::{object, one_of, text, whole};

/// Everything that can be set; `envoy/config.json` shows every key at its default.
#[derive(Clone, Debug)]
pub struct Config {
    /// `prices`: added to the bundled table, in USD per million tokens.
    pub prices: PriceTable,
    /// `agent`: how agents' runs are judged.
    pub agent: Agent,
    /// `apis`: what hosts and paths speak that do not tell by themselves; the first that fits counts.
    pub apis: Vec<Override>,
    /// `labels`: what becomes a metric's label.
    pub labels: Labels,
    /// `limits`: bounds on memory.
    pub limits: Limits,
    /// `otlp`: where spans of agents' runs are sent.
    pub otlp: Otlp,
    /// `privacy`: what becomes of words.
    pub privacy: Privacy,
    /// `conversation.header`: the request's header that names its conversation; empty for none.
    pub conversation_header: String,
    /// `feedback`: whether and where feedback is taken.
    pub feedback: feedback::Settings,
    /// `compat`: what backends need that know other names.
    pub compat: Compat,
    /// `role`: where in Envoy the plugin stands.
    pub role: Role,
    /// `stream_usage`: whether streams are asked for their usage where the client did not.
    pub stream_usage: StreamUsage,
}

/// Whether streams are asked for their usage where the client did not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StreamUsage {
    /// `stream_usage.inject`: changes requests; needs `allow_on_headers_stop_iteration: true` in the plugin's Envoy configuration.
    pub inject: bool,
    /// `stream_usage.max_request_bytes`: larger requests are left alone; must be less than the listener's buffer limit.
    pub max_request_bytes: u64,
}

/// What backends need that know other names.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Compat {
    /// `compat.cache_attribute`: `cache_creation`, `cache_write` or `both`.
    pub cache_attribute: CacheAttribute,
}

/// The names under which the number of input tokens written to a cache is reported. OpenTelemetry renamed the attribute, and a
/// backend may know only one of the names.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum CacheAttribute {
    /// `gen_ai.usage.cache_creation.input_tokens`
    #[default]
    Creation,
    /// `gen_ai.usage.cache_write.input_tokens`
    Write,
    /// Both names.
    Both,
}

/// Where in Envoy the plugin stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Role {
    /// Among a listener's filters: it sees each exchange once.
    #[default]
    Listener,
    /// Among a cluster's filters: it sees each attempt, and keeps silent where a listener's plugin reports the exchange.
    Upstream,
}

/// What is the same on all routes: what the VM or the metrics' form depends on.
const FOR_ALL_ROUTES: &[&str] = &[
    "/agent/slots",
    "/feedback",
    "/labels/headers",
    "/labels/max_series",
    "/limits",
    "/otlp",
    "/privacy/hash",
    "/role",
];

/// Where spans of agents' runs are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// `otlp.cluster`: Envoy's cluster of the collector; empty for none, and no spans.
    pub cluster: String,
    /// `otlp.path`: where it takes OTLP over HTTP.
    pub path: String,
    /// `otlp.service`: the spans' `service.name`.
    pub service: String,
}

/// Bounds on memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// `limits.stream_memory_bytes`: memory that the decoders of one worker share; 1 MiB to 512 MiB.
    pub stream_memory_bytes: u64,
}

/// How agents' runs are judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// `agent.max_iterations`: a run that asks for more tools in this iteration counts as ended there; 1 to 1,000.
    pub max_iterations: u64,
    /// `agent.abandoned_after`: seconds until a run whose tools' results nobody brings counts as abandoned; 1 to 86,400.
    pub abandoned_after: u64,
    /// `agent.slots`: tool calls remembered until their results come, by all workers together; 64 to 65,536.
    pub slots: u64,
}

/// What becomes a metric's label.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    /// `labels.max_series`: most series each worker's plugin creates before models are called `other`; 1 to 100,000.
    pub max_series: usize,
    /// `labels.headers`: request headers that become labels, as (header, label); at most four.
    pub headers: Vec<(String, String)>,
    /// `labels.models`: models that may be labels although neither the price table nor an upstream knows them.
    pub models: HashSet<String>,
}

impl Config {
    /// Reads a configuration; an empty text is the default.
    ///
    /// # Errors
    /// Text that is not JSON, an unknown key, a value of the wrong type or out of its range: with the key's path.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut config = Config {
            agent: Agent { max_iterations: 10, abandoned_after: 600, slots: 4096 },
            apis: Vec::new(),
            prices: PriceTable::bundled()?,
            otlp: Otlp { cluster: String::new(), path: "/v1/traces".into(), service: "gaugeway".into() },
            privacy: Privacy::default(),
            feedback: feedback::Settings::default(),
            conversation_header: String::new(),
            labels: Labels { max_series: 1000, headers: Vec::new(), models: HashSet::new() },
            limits: Limits { stream_memory_bytes: budget::DEFAULT as u64 },
            compat: Compat::default(),
            role: Role::default(),
            stream_usage: StreamUsage { inject: false, max_request_bytes: 262_144 },
        };
        if !text.trim().is_empty() {
            config.read(&json(text)?)?;
        }
        Ok(config)
    }

    /// This configuration with what a route says differently: the same keys, but for those that hold for all routes. A route's
    /// rows of `apis` come first; its `prices` and `labels.models` are added.
    ///
    /// # Errors
    /// As [`Config::parse`], and a key that no route may set.
    pub fn on_route(&self, text: &str) -> Result<Self, ConfigError> {
        let value = json(text)?;
        if let Some(key) = FOR_ALL_ROUTES.iter().find(|key| value.pointer(key).is_some()) {
            let path = key.trim_start_matches('/').replace('/', ".");
            return Err(ConfigError::new(&path, "is the same for all routes; set it in the plugin's configuration"));
        }
        let mut config = self.clone();
        config.read(&value)?;
        Ok(config)
    }

    fn read(&mut self, value: &Value) -> Result<(), ConfigError> {
        for (key, value) in object("", value)? {
            match key.as_str() {
                "agent" => self.agent.read(value)?,
                "apis" => drop(self.apis.splice(0..0, overrides(value)?)),
                "compat" => self.compat.read(value)?,
                "conversation" => self.conversation_header = conversation(value)?,
                "prices" => self.prices.add("prices", value)?,
                "feedback" => self.feedback.read(value)?,
                "labels" => self.labels.read(value)?,
                "limits" => self.limits.read(value)?,
                "otlp" => self.otlp.read(value)?,
                "privacy" => self.privacy.read(value)?,
                "role" => {
                    self.role = one_of("role", value, &[("listener", Role::Listener), ("upstream", Role::Upstream)])?;
                }
                "stream_usage" => self.stream_usage.read(value)?,
                _ => return Err(ConfigError::unknown("", key, KEYS)),
            }
        }
        Ok(())
    }
}

fn json(text: &str) -> Result<Value, ConfigError> {
    serde_json::from_str(text).map_err(|error| ConfigError::new("", format!("configuration is not JSON: {error}")))
}

impl Compat {
    fn read(&mut self, value: &Value) -> Result<(), ConfigError> {
        for (key, value) in object("compat", value)? {
            match key.as_str() {
                "cache_attribute" => {
                    let words = [
                        ("cache_creation", CacheAttribute::Creation),
                        ("cache_write", CacheAttribute::Write),
                        ("both", CacheAttribute::Both),
                    ];
                    self.cache_attribute = one_of("compat.cache_attribute", value, &words)?;
                }
                _ => return Err(ConfigError::unknown("compat", key, &["cache_attribute"])),
            }
        }
        Ok(())
    }
}

/// The outermost keys.
const KEYS: &[&str] = &[
    "agent",
    "apis",
    "compat",
    "conversation",
    "feedback",
    "labels",
    "limits",
    "otlp",
    "prices",
    "privacy",
    "role",
    "stream_usage",
];

fn conversation(value: &Value) -> Result<String, ConfigError> {
    let mut header = String::new();
    for (key, value) in object("conversation", value)? {
        match key.as_str() {
            "header" => header = text("conversation.header", value)?.to_ascii_lowercase(),
            _ => return Err(ConfigError::unknown("conversation", key, &["header"])),
        }
    }
    match SECRET.contains(&header.as_str()) {
        true => Err(ConfigError::new("conversation.header", "carries a secret, which must not be reported")),
        false => Ok(header),
    }
}

fn overrides(value: &Value) -> Result<Vec<Override>, ConfigError> {
    let rows = value.as_array().ok_or_else(|| ConfigError::new("apis", "must be an array of objects"))?;
    rows.iter().enumerate().map(|(at, row)| one_override(&format!("apis[{at}]"), row)).collect()
}

fn one_override(path: &str, value: &Value) -> Result<Override, ConfigError> {
    let mut row = Override::default();
    for (key, value) in object(path, value)? {
        let at = format!("{path}.{key}");
        let text = || value.as_str().ok_or_else(|| ConfigError::new(&at, "must be a string"));
        match key.as_str() {
            "host" => row.host = text()?.to_owned(),
            "path" => row.path = text()?.to_owned(),
            "provider" => row.provider = text()?.to_owned(),
            "api" => {
                let name = text()?;
                let mut known: Vec<_> = provider::endpoints().map(|e| e.api.name).collect();
                known.dedup();
                row.api = known.iter().copied().find(|n| *n == name).ok_or_else(|| {
                    ConfigError::new(&at, format!("there is no API '{name}'; there are: {}", known.join(", ")))
                })?;
            }
            _ => return Err(ConfigError::unknown(path, key, &["api", "host", "path", "provider"])),
        }
    }
    if row.api.is_empty() || row.host.is_empty() && row.path.is_empty() {
        return Err(ConfigError::new(path, "must name an `api`, and a `host` or a `path` it is served at"));
    }
    Ok(row)
}

impl Agent {
    fn read(&mut self, value: &Value) -> Result<(), ConfigError> {
        for (key, value) in object("agent", value)? {
            let (slot, range) = match key.as_str() {
                "abandoned_after" => (&mut self.abandoned_after, 1..=86_400),
                "max_iterations" => (&mut self.max_iterations, 1..=1000),
                "slots" => (&mut self.slots, 64..=65_536),
                _ => return Err(ConfigError::unknown("agent", key, &["abandoned_after", "max_iterations", "slots"])),
            };
            *slot = whole(&format!("agent.{key}"), value, range)?;
        }
        Ok(())
    }
}

impl StreamUsage {
    fn read(&mut self, value: &Value) -> Result<(), ConfigError> {
        for (key, value) in object("stream_usage", value)? {
            match key.as_str() {
                "inject" => {
                    let wrong = || ConfigError::new("stream_usage.inject", "must be true or false");
                    self.inject = value.as_bool().ok_or_else(wrong)?;
                }
                "max_request_bytes" => {
                    self.max_request_bytes = whole("stream_usage.max_request_bytes", value, 1024..=16_777_216)?;
                }
                _ => return Err(ConfigError::unknown("stream_usage", key, &["inject", "max_request_bytes"])),
            }
        }
        Ok(())
    }
}

impl Limits {
    fn read(&mut self, value: &Value) -> Result<(), ConfigError> {
        for (key, value) in object("limits", value)? {
            match key.as_str() {
                "stream_memory_bytes" => {
                    self.stream_memory_bytes = whole("limits.stream_memory_bytes", value, 1 << 20..=512 << 20)?;
                }
                _ => return Err(ConfigError::unknown("limits", key, &["stream_memory_bytes"])),
            }
        }
        Ok(())
    }
}

impl Otlp {
    fn read(&mut self, value: &Value) -> Result<(), ConfigError> {
        for (key, value) in object("otlp", value)? {
            let slot = match key.as_str() {
                "cluster" => &mut self.cluster,
                "path" => &mut self.path,
                "service" => &mut self.service,
                _ => return Err(ConfigError::unknown("otlp", key, &["cluster", "path", "service"])),
            };
            *slot = text(&format!("otlp.{key}"), value)?.to_owned();
        }
        if !self.path.starts_with('/') {
            return Err(ConfigError::new("otlp.path", "must begin with /"));
        }
        Ok(())
    }
}

impl Labels {
    fn read(&mut self, value: &Value) -> Result<(), ConfigError> {
        for (key, value) in object("labels", value)? {
            match key.as_str() {
                "max_series" => {
                    self.max_series = whole("labels.max_series", value, 1..=100_000)? as usize;
                }
                "headers" => self.headers = headers(value)?,
                "models" => {
                    let wrong = || ConfigError::new("labels.models", "must be an array of strings");
                    for model in value.as_array().ok_or_else(wrong)? {
                        self.models.insert(model.as_str().ok_or_else(wrong)?.to_owned());
                    }
                }
                _ => return Err(ConfigError::unknown("labels", key, &["headers", "max_series", "models"])),
            }
        }
        Ok(())
    }
}

/// Most request headers that may become labels.
const HEADERS: usize = 4;

fn headers(value: &Value) -> Result<Vec<(String, String)>, ConfigError> {
    let rows = object("labels.headers", value)?;
    if rows.len() > HEADERS {
        return Err(ConfigError::new("labels.headers", format!("at most {HEADERS} headers may become labels")));
    }
    let mut taken: Vec<&str> = LABELS.to_vec();
    let mut read = Vec::new();
    for (header, label) in rows {
        let path = format!("labels.headers.{header}");
        let header = header.to_ascii_lowercase();
        let label = label.as_str().unwrap_or_default();
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !label.starts_with(|c: char| c.is_ascii_lowercase()) || !label.bytes().all(word) {
            return Err(ConfigError::new(
                &path,
                "must be a label's name: a small letter, then small letters, digits and `_`",
            ));
        }
        if SECRET.contains(&header.as_str()) {
            return Err(ConfigError::new(&path, "carries a secret, which must not become a label"));
        }
        // A tag's regular expression finds `key=`: no key may end in another.
        if let Some(known) = taken.iter().find(|known| known.ends_with(label) || label.ends_with(**known)) {
            return Err(ConfigError::new(&path, format!("'{label}' is, or ends like, the label '{known}'")));
        }
        taken.push(label);
        read.push((header, label.to_owned()));
    }
    Ok(read)
}

/// Headers whose values are credentials.
const SECRET: &[&str] = &["authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-goog-api-key"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_the_default_configuration() {
        assert_eq!(Config::parse("").unwrap().labels, Config::parse("{}").unwrap().labels);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_path() {
        for (text, error) in [
            ("[", "configuration is not JSON: EOF while parsing a list at line 1 column 1"),
            ("[]", "must be an object"),
            (
                r#"{"label": {}}"#,
                "label: unknown key; known here: agent, apis, compat, conversation, feedback, labels, limits, otlp, prices, privacy, role, stream_usage",
            ),
            (r#"{"labels": {"max": 1}}"#, "labels.max: unknown key; known here: headers, max_series, models"),
            (r#"{"labels": {"max_series": 0}}"#, "labels.max_series: must be a whole number from 1 to 100000"),
            (r#"{"labels": {"max_series": "1"}}"#, "labels.max_series: must be a whole number from 1 to 100000"),
            (
                r#"{"labels": {"headers": {"x-a": "outcome"}}}"#,
                "labels.headers.x-a: 'outcome' is, or ends like, the label 'outcome'",
            ),
            (
                r#"{"labels": {"headers": {"x-a": "Team"}}}"#,
                "labels.headers.x-a: must be a label's name: a small letter, then",
            ),
            (r#"{"labels": {"headers": {"X-Api-Key": "k"}}}"#, "labels.headers.X-Api-Key: carries a secret"),
            (
                r#"{"labels": {"headers": {"a": "team", "b": "my_team"}}}"#,
                "labels.headers.b: 'my_team' is, or ends like, the label 'team'",
            ),
            (r#"{"agent": {"max_iterations": 0}}"#, "agent.max_iterations: must be a whole number from 1 to 1000"),
            (r#"{"apis": [{"host": "h", "api": "x"}]}"#, "apis[0].api: there is no API 'x'; there are: "),
            (
                r#"{"apis": [{"api": "detect"}]}"#,
                "apis[0]: must name an `api`, and a `host` or a `path` it is served at",
            ),
            (r#"{"labels": {"models": [1]}}"#, "labels.models: must be an array of strings"),
            (r#"{"labels": 1}"#, "labels: must be an object"),
        ] {
            let found = Config::parse(text).unwrap_err().to_string();
            assert!(found.starts_with(error), "{text}: {found}");
        }
    }

    #[test]
    fn a_route_changes_what_may_differ_and_nothing_else() {
        let base = r#"{"agent": {"max_iterations": 5}, "labels": {"models": ["ours"], "headers": {"x-team": "team"}},
            "apis": [{"host": "h", "api": "detect"}], "prices": {"m": {"input": 1}}}"#;
        let base = Config::parse(base).unwrap();
        let route = r#"{"agent": {"max_iterations": 3}, "labels": {"models": ["theirs"]}, "prices": {"n": {"input": 1}},
            "apis": [{"path": "/x", "api": "openai-chat"}], "compat": {"cache_attribute": "both"}}"#;
        let route = base.on_route(route).unwrap();
        assert_eq!(route.agent, Agent { max_iterations: 3, ..base.agent.clone() });
        assert_eq!(route.labels.headers, base.labels.headers);
        assert_eq!(route.labels.models.len(), 2);
        assert_eq!(route.apis.iter().map(|row| row.api).collect::<Vec<_>>(), ["openai-chat", "detect"]);
        assert!(["m", "n"].iter().all(|model| route.prices.find("openai", model).is_some()));
        assert_eq!(route.compat.cache_attribute, CacheAttribute::Both);
        assert_eq!(base.on_route("{}").unwrap().apis, base.apis);
        for (text, error) in [
            ("", "configuration is not JSON: "),
            ("{\"agent\": {\"max_iterations\": 0}}", "agent.max_iterations: must be a whole number"),
            ("{\"labels\": {\"headers\": {}}}", "labels.headers: is the same for all routes"),
            ("{\"role\": \"upstream\"}", "role: is the same for all routes"),
            ("{\"agents\": {}}", "agents: unknown key"),
        ] {
            let found = base.on_route(text).unwrap_err().to_string();
            assert!(found.starts_with(error), "{text}: {found}");
        }
    }
}
