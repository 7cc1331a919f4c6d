//! The configuration of the plugin: JSON, read once at start. Tables of settings define it, see [`setting`].

mod agent;
mod apis;
mod compat;
mod conversation;
mod feedback;
mod if_invalid;
mod labels;
mod limits;
mod otlp;
mod output;
mod prices;
mod privacy;
#[cfg(not(target_family = "wasm"))]
mod reference;
mod role;
pub mod setting;
mod stream_usage;
mod streams;
pub mod value;
mod websocket;

use serde_json::Value;

use crate::provider::Override;
use crate::signal::cost::PriceTable;
use crate::signal::feedback::FeedbackSettings;

pub use agent::AgentSettings;
pub use compat::{CacheAttribute, Compat};
pub use if_invalid::IfInvalid;
pub use labels::LabelSettings;
pub use limits::MemoryLimits;
pub use otlp::{Otlp, Temporality};
pub use output::{Conventions, FilterState};
pub use privacy::{Capture, Privacy};
#[cfg(not(target_family = "wasm"))]
pub use reference::{DocumentedSetting, default_file, documented_settings};
pub use role::Role;
use setting::{SettingScope, Table};
pub use stream_usage::StreamUsage;
pub use streams::StreamLimits;
pub use value::ConfigError;
pub use websocket::WebsocketSettings;

/// All settings. `envoy/config.json` has every key with its default, `envoy/reference.md` describes them.
#[derive(Clone, Debug)]
pub struct Config {
    /// `agent`
    pub agent: AgentSettings,
    /// `apis`: the first row that matches counts.
    pub apis: Vec<Override>,
    /// `compat`
    pub compat: Compat,
    /// `semconv`
    pub conventions: Conventions,
    /// `conversation.header`: in lower case. Empty for none.
    pub conversation_header: String,
    /// `feedback`
    pub feedback: FeedbackSettings,
    /// `attributes`
    pub filter_state: FilterState,
    /// `if_invalid`
    pub if_invalid: IfInvalid,
    /// `labels`
    pub labels: LabelSettings,
    /// `limits`
    pub limits: MemoryLimits,
    /// `otlp`
    pub otlp: Otlp,
    /// `prices` and the bundled table.
    pub prices: PriceTable,
    /// `privacy`
    pub privacy: Privacy,
    /// `role`
    pub role: Role,
    /// `stats`
    pub stats: bool,
    /// `stream_usage`
    pub stream_usage: StreamUsage,
    /// `streams`
    pub streams: StreamLimits,
    /// `websocket`
    pub websocket: WebsocketSettings,
}

/// Every setting, in the order of the keys.
const SETTINGS: Table<Config> = &[
    agent::SETTINGS,
    apis::SETTINGS,
    output::ATTRIBUTES_SETTING,
    compat::SETTINGS,
    conversation::SETTINGS,
    feedback::SETTINGS,
    if_invalid::SETTINGS,
    labels::SETTINGS,
    limits::SETTINGS,
    otlp::SETTINGS,
    prices::SETTINGS,
    privacy::SETTINGS,
    role::SETTINGS,
    output::SEMCONV_SETTING,
    output::STATS_SETTING,
    stream_usage::SETTINGS,
    streams::SETTINGS,
    websocket::SETTINGS,
];

impl Config {
    /// Reads a configuration. An empty text is the default configuration.
    ///
    /// # Errors
    /// Text that is not JSON, an unknown key, a value of the wrong type or out of its range, with the key's path.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut config = Config {
            agent: AgentSettings::default(),
            apis: Vec::new(),
            compat: Compat::default(),
            conventions: Conventions::default(),
            conversation_header: String::new(),
            feedback: FeedbackSettings::default(),
            filter_state: FilterState::default(),
            if_invalid: IfInvalid::default(),
            labels: LabelSettings::default(),
            limits: MemoryLimits::default(),
            otlp: Otlp::default(),
            prices: PriceTable::bundled()?,
            privacy: Privacy::default(),
            role: Role::default(),
            stats: true,
            stream_usage: StreamUsage::default(),
            streams: StreamLimits::default(),
            websocket: WebsocketSettings::default(),
        };
        setting::set_defaults(SETTINGS, &mut config)?;
        if !text.trim().is_empty() {
            config.read(&json(text)?, SettingScope::Plugin)?;
        }
        Ok(config)
    }

    /// This configuration with the settings of a route. Rows of `apis` come before those of the plugin; `prices` and
    /// `labels.models` are added; any other key replaces the plugin's value.
    ///
    /// # Errors
    /// As [`Config::parse`], and a key that is not per route.
    pub fn on_route(&self, text: &str) -> Result<Self, ConfigError> {
        let mut config = self.clone();
        config.read(&json(text)?, SettingScope::Route)?;
        Ok(config)
    }

    fn read(&mut self, value: &Value, scope: SettingScope) -> Result<(), ConfigError> {
        setting::read(SETTINGS, self, ("", ""), value, scope)?;
        feedback::check(self)?;
        self.privacy.compile()
    }
}

fn json(text: &str) -> Result<Value, ConfigError> {
    serde_json::from_str(text).map_err(|error| ConfigError::new("", format!("configuration is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_text_is_the_default_configuration() {
        let text = |text| format!("{:?}", without_prices(Config::parse(text).unwrap()));
        assert_eq!(text(""), text("{}"));
        assert_eq!(text(""), text(&default_file().to_string()));
    }

    #[test]
    fn every_setting_changes_the_configuration_and_only_its_own_part() {
        let show = |config: Config| format!("{:#?}", without_prices(config));
        let default = show(Config::parse("").unwrap());
        let changes = [
            ("agent.abandoned_after", "601"),
            ("agent.conversations", "1025"),
            ("agent.loops.drift", "6"),
            ("agent.loops.oscillation", "2"),
            ("agent.loops.retry", "0"),
            ("agent.max_iterations", "11"),
            ("agent.slots", "4097"),
            ("attributes", "false"),
            ("compat.cache_attribute", "\"cache_write\""),
            ("conversation.header", "\"x-id\""),
            ("feedback.path", "\"/f\""),
            ("feedback.slots", "65537"),
            ("if_invalid", "\"pass\""),
            ("labels.max_series", "1001"),
            ("labels.route", "false"),
            ("limits.stream_memory_bytes", "33554433"),
            ("otlp.cluster", "\"c\""),
            ("otlp.errors", "true"),
            ("otlp.exceptions", "true"),
            ("otlp.idle_after", "60"),
            ("otlp.instance", "\"i\""),
            ("otlp.interval", "5"),
            ("otlp.logs_path", "\"/l\""),
            ("otlp.metrics_path", "\"/m\""),
            ("otlp.path", "\"/p\""),
            ("otlp.sample", "0.5"),
            ("otlp.service", "\"s\""),
            ("otlp.temporality", "\"delta\""),
            ("privacy.capture", "\"sampled\""),
            ("privacy.sample", "0.02"),
            ("role", "\"upstream\""),
            ("semconv", "\"1.41\""),
            ("stats", "false"),
            ("stream_usage.inject", "true"),
            ("stream_usage.max_held_bytes", "16385"),
            ("streams.stalled_after", "0"),
            ("websocket.plain_frames", "true"),
        ];
        // Lists and maps have tests of their own, and so have the secrets, which are never shown.
        for key in
            documented_settings().into_iter().filter(|row| !row.default.starts_with(['[', '{'])).map(|row| row.key)
        {
            let is_listed = changes.iter().any(|(listed, _)| *listed == key);
            let is_apart = key.starts_with("apis[].")
                || key.starts_with("prices.")
                || ["feedback.secret", "privacy.key"].contains(&key.as_str());
            assert!(is_listed || is_apart, "add {key} to the list above, with another value than its default");
        }
        for (key, value) in changes {
            let value = match key {
                "feedback.path" => format!("{value}, \"secret\": \"0123456789abcdef\""),
                _ => value.to_owned(),
            };
            let text = key.rsplit('.').fold(value, |inner, name| format!("{{\"{name}\": {inner}}}"));
            let changed = show(Config::parse(&text).unwrap());
            let lines = default.lines().zip(changed.lines()).filter(|(default, changed)| default != changed);
            let field = key.rsplit('.').next().unwrap();
            let field = match key {
                "attributes" => "filter_state",
                "conversation.header" => "conversation_header",
                "semconv" => "conventions",
                _ => field,
            };
            let lines: Vec<_> = lines.map(|(_, changed)| changed.trim()).collect();
            assert!(lines.first().is_some_and(|line| line.starts_with(&format!("{field}: "))), "{key}: {lines:?}");
            assert!(lines.len() == 1 || key == "privacy.capture", "{key} changes {lines:?}");
        }
    }

    fn without_prices(config: Config) -> Config {
        Config { prices: PriceTable::default(), ..config }
    }

    #[test]
    fn an_error_has_the_path_of_the_key() {
        for (text, error) in [
            ("[", "configuration is not JSON: EOF while parsing a list at line 1 column 1"),
            ("[]", "must be an object"),
            (
                r#"{"label": {}}"#,
                "label: unknown key; known here: agent, apis, attributes, compat, conversation, feedback, if_invalid, labels, limits, otlp, prices, privacy, role, semconv, stats, stream_usage, streams, websocket",
            ),
            (r#"{"labels": {"max": 1}}"#, "labels.max: unknown key; known here: headers, max_series, models"),
            (r#"{"labels": {"max_series": 0}}"#, "labels.max_series: must be a whole number from 1 to 1000000"),
            (r#"{"labels": {"max_series": "1"}}"#, "labels.max_series: must be a whole number from 1 to 1000000"),
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
            (
                r#"{"agent": {"loops": {"retry": 1}}}"#,
                "agent.loops.retry: must be 0 (never) or a whole number from 2 to 100",
            ),
            (
                r#"{"agent": {"loops": {"slow": 2}}}"#,
                "agent.loops.slow: unknown key; known here: drift, oscillation, retry",
            ),
            (r#"{"apis": [{"host": "h", "api": "x"}]}"#, "apis[0].api: there is no API 'x'; there are: "),
            (
                r#"{"apis": [{"api": "detect"}]}"#,
                "apis[0]: must name an `api` or a `provider`, and a `host` or a `path` it is served at",
            ),
            (r#"{"labels": {"models": [1]}}"#, "labels.models: must be an array of strings"),
            (r#"{"labels": 1}"#, "labels: must be an object"),
        ] {
            let found = Config::parse(text).unwrap_err().to_string();
            assert!(found.starts_with(error), "{text}: {found}");
        }
    }

    #[test]
    fn a_route_changes_only_what_is_per_route() {
        let base = r#"{"agent": {"max_iterations": 5}, "labels": {"models": ["ours"], "headers": {"x-team": "team"}},
            "apis": [{"host": "h", "api": "detect"}], "prices": {"m": {"input": 1}}}"#;
        let base = Config::parse(base).unwrap();
        let route = r#"{"agent": {"max_iterations": 3}, "labels": {"models": ["theirs"]}, "prices": {"n": {"input": 1}},
            "apis": [{"path": "/x", "api": "openai-chat"}], "compat": {"cache_attribute": "both"}}"#;
        let route = base.on_route(route).unwrap();
        assert_eq!(route.agent, AgentSettings { max_iterations: 3, ..base.agent.clone() });
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
