//! `labels`: which values become labels of metrics, and how many series there may be.

use std::collections::HashSet;

use serde_json::Value;

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::{Bool, Other, Whole};
use super::value::{ConfigError, object};
use crate::documentation::documentation;
use crate::labels::LABELS;

/// Which values become labels of metrics, and how many series there may be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelSettings {
    /// `labels.max_series`
    pub max_series: usize,
    /// `labels.headers`, as (header in lower case, label).
    pub headers: Vec<(String, String)>,
    /// `labels.models`
    pub models: HashSet<String>,
    /// `labels.route`
    pub route: bool,
}

/// Maximum number of request headers that become labels.
const MAX_HEADERS: usize = 4;

/// Last words of the names of headers whose values are credentials, such as `x-auth-token` and `x-goog-iap-jwt-assertion`.
const SECRET_WORDS: &[&str] = &[
    "assertion",
    "auth",
    "authentication",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "jwt",
    "password",
    "secret",
    "signature",
    "token",
];

/// Ends of the names of other headers whose values are credentials. Some services write `key` and `token` without a dash.
const SECRET_ENDS: &[&str] = &[
    "access-key",
    "accesstoken",
    "api-key",
    "apikey",
    "client-principal",
    "cookie2",
    "functions-key",
    "master-key",
    "oidc-data",
    "secret-key",
    "subscription-key",
];

pub(super) const SETTINGS: &[Setting<Config>] = &[
    Setting {
        key: "labels.headers",
        kind: Other {
            what: "an object",
            default: "{}",
            set: |config, path, value| {
                config.labels.headers = headers(path, value)?;
                Ok(())
            },
        },
        per_route: false,
        doc: documentation(
            "request headers that become labels: header name to label name, at most 4; each label also needs a line in \
             `stats_tags`",
        ),
    },
    Setting {
        key: "labels.max_series",
        kind: Whole { default: 35_000, range: 1..=1_000_000, set: |config, n| config.labels.max_series = n as usize },
        per_route: false,
        doc: documentation(
            "room for series per worker, in counters; a histogram takes the room of six; labels of headers have as much again; \
             see [Series](README.md#series)",
        ),
    },
    Setting {
        key: "labels.models",
        kind: Other { what: "an array of strings", default: "[]", set: add_models },
        per_route: true,
        doc: documentation(
            "models whose names are always labels, in requests and answers, without taking room; a client's other names are not",
        ),
    },
    Setting {
        key: "labels.route",
        kind: Bool { default: true, set: |config, route| config.labels.route = route },
        per_route: false,
        doc: documentation(
            "read the name of the route, for the label `route`; `false` makes fewer series and saves one call to Envoy in each request",
        ),
    },
];

/// Returns true if the header carries credentials. `header` must be in lower case.
pub(super) fn is_secret(header: &str) -> bool {
    let word = header.rsplit(['-', '_']).next().unwrap_or(header);
    SECRET_WORDS.contains(&word) || SECRET_ENDS.iter().any(|end| header.ends_with(end))
}

/// A route's models are added to the plugin's.
fn add_models(config: &mut Config, path: &str, value: &Value) -> Result<(), ConfigError> {
    let wrong = || ConfigError::new(path, "must be an array of strings");
    for model in value.as_array().ok_or_else(wrong)? {
        config.labels.models.insert(model.as_str().ok_or_else(wrong)?.to_owned());
    }
    Ok(())
}

fn headers(path: &str, value: &Value) -> Result<Vec<(String, String)>, ConfigError> {
    let rows = object(path, value)?;
    if rows.len() > MAX_HEADERS {
        return Err(ConfigError::new(path, format!("at most {MAX_HEADERS} headers may become labels")));
    }
    let mut taken: Vec<&str> = LABELS.iter().map(|label| label.name).collect();
    let mut read = Vec::new();
    for (header, label) in rows {
        let path = format!("{path}.{header}");
        let header = header.to_ascii_lowercase();
        let label = label.as_str().unwrap_or_default();
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !label.starts_with(|c: char| c.is_ascii_lowercase()) || !label.bytes().all(word) {
            return Err(ConfigError::new(
                &path,
                "must be a label's name: a small letter, then small letters, digits and `_`",
            ));
        }
        if is_secret(&header) {
            return Err(ConfigError::new(&path, "carries a secret, which must not become a label"));
        }
        // Envoy finds a label by an expression that begins with `NAME=`, so no name may end in another.
        if let Some(known) = taken.iter().find(|known| known.ends_with(label) || label.ends_with(**known)) {
            return Err(ConfigError::new(&path, format!("'{label}' is, or ends like, the label '{known}'")));
        }
        taken.push(label);
        read.push((header, label.to_owned()));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_with_credentials_become_neither_labels_nor_the_name_of_a_conversation() {
        for header in [
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "X-Api-Key",
            "api-key",
            "x-goog-api-key",
            "X-Auth-Token",
            "x-amz-security-token",
            "x-goog-iap-jwt-assertion",
            "cf-access-jwt-assertion",
            "x-forwarded-access-token",
            "x-amzn-oidc-accesstoken",
            "x-amzn-oidc-data",
            "ocp-apim-subscription-key",
            "x-functions-key",
            "x-hub-signature",
            "helicone-auth",
            "private_token",
        ] {
            let label = Config::parse(&format!(r#"{{"labels": {{"headers": {{"{header}": "team"}}}}}}"#)).unwrap_err();
            assert!(label.to_string().contains("carries a secret"), "{header}: {label}");
            let name = Config::parse(&format!(r#"{{"conversation": {{"header": "{header}"}}}}"#)).unwrap_err();
            assert!(name.to_string().contains("carries a secret"), "{header}: {name}");
        }
    }

    #[test]
    fn headers_that_name_a_user_or_a_session_may_become_labels() {
        for header in ["x-team", "x-auth-request-user", "x-session-id", "x-token-count", "x-amzn-oidc-identity"] {
            let parsed = Config::parse(&format!(r#"{{"labels": {{"headers": {{"{header}": "team"}}}}}}"#));
            assert!(parsed.is_ok(), "{header}: {parsed:?}");
        }
    }
}
