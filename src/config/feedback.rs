//! `feedback`: whether and where the plugin accepts feedback, and from whom.

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::{Text, Whole};
use super::value::ConfigError;
use crate::documentation::documentation;
use crate::provider;
use crate::signal::secret::Secret;

pub(super) const SETTINGS: &[Setting<Config>] = &[
    Setting {
        key: "feedback.path",
        kind: Text {
            default: Some(""),
            set: |config, path| {
                config.feedback.path = path.to_owned();
                if path.is_empty() { Ok(()) } else { check_path(path).map_err(str::to_owned) }
            },
        },
        per_route: false,
        doc: documentation("path at which the plugin accepts feedback; empty means none"),
    },
    Setting {
        key: "feedback.secret",
        kind: Text {
            default: Some(""),
            set: |config, text| {
                config.feedback.secret = Secret::read(text)?;
                Ok(())
            },
        },
        per_route: false,
        doc: documentation(
            "secret of at least 16 characters that feedback must bring, or `sha256:` and its SHA-256 in hexadecimal; required \
             with `feedback.path`",
        ),
    },
    Setting {
        key: "feedback.slots",
        kind: Whole { default: 65_536, range: 64..=1_048_576, set: |config, n| config.feedback.slots = n },
        per_route: false,
        doc: documentation("answers that all workers together remember for feedback; about 200 bytes each"),
    },
];

/// Checks what no setting can check alone: feedback needs a secret, and its path must not be that of an API.
///
/// # Errors
/// Checks the settings. Returns an error that names the path of the wrong key.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let path = config.feedback.path.as_str();
    if path.is_empty() {
        return Ok(());
    }
    if !config.feedback.secret.is_set() {
        return Err(ConfigError::new("feedback.secret", "is required with feedback.path"));
    }
    if provider::serves(path, &[]) {
        return Err(ConfigError::new("feedback.path", "is the path of an API: its calls would be taken for feedback"));
    }
    // A row without a path is about a host. Feedback has its path on every host.
    match config.apis.iter().position(|row| !row.path.is_empty() && path.starts_with(&row.path)) {
        Some(row) => Err(ConfigError::new(
            "feedback.path",
            format!("is within the path of apis[{row}]: calls of that API would be taken for feedback"),
        )),
        None => Ok(()),
    }
}

/// Checks that a request can have this path.
///
/// # Errors
/// Why it cannot.
fn check_path(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("must begin with /, or be empty");
    }
    if path.contains(['?', '#']) {
        return Err("must be a path without ? and #: the query of a request is ignored");
    }
    // RFC 3986, section 3.3, without percent-encoding, which a proxy may decode.
    if !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte)) {
        return Err("must have only letters, digits and -._~!$&'()*+,;=:@/");
    }
    let segments = path.strip_suffix('/').unwrap_or(path).split('/').skip(1);
    if segments.into_iter().any(|segment| matches!(segment, "" | "." | "..")) {
        return Err("must not have an empty segment, . or ..: a proxy removes them");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Config::parse(text).map(|_| String::new()).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn a_path_without_a_secret_is_refused_and_the_secret_is_not_shown() {
        for text in [r#"{"feedback": {"path": "/f"}}"#, r#"{"feedback": {"path": "/f", "secret": ""}}"#] {
            assert_eq!(refused(text), "feedback.secret: is required with feedback.path");
        }
        let short = refused(r#"{"feedback": {"path": "/f", "secret": "hunter2"}}"#);
        assert_eq!(short, "feedback.secret: must have 16 or more visible ASCII characters without spaces");
        let whole = Config::parse(r#"{"feedback": {"path": "/f", "secret": "correct-horse-battery"}}"#).unwrap();
        assert!(!format!("{whole:?}").contains("horse"));
        assert_eq!(refused(r#"{"feedback": {"secret": "correct-horse-battery"}}"#), "");
    }

    #[test]
    fn a_path_that_cannot_work_is_refused() {
        let text = |path: &str| format!(r#"{{"feedback": {{"path": "{path}", "secret": "correct-horse-battery"}}}}"#);
        for path in ["/feedback", "/f/", "/a/b-c_d.e~f", "/v1/chat/completions/feedback", "/..a"] {
            assert_eq!(refused(&text(path)), "", "{path}");
        }
        for (path, why) in [
            ("feedback", "must begin with /"),
            ("/f?a=b", "must be a path without ? and #"),
            ("/f#a", "must be a path without ? and #"),
            ("/a b", "must have only letters"),
            ("/f%3fa", "must have only letters"),
            ("/\u{e9}", "must have only letters"),
            ("//f", "must not have an empty segment"),
            ("/a/../f", "must not have an empty segment"),
            ("/v1/chat/completions", "is the path of an API"),
            ("/feedback/v1/messages", "is the path of an API"),
            ("/v1/responses/", "is the path of an API"),
            ("/v1beta/models/m:generateContent", "is the path of an API"),
        ] {
            let found = refused(&text(path));
            assert!(found.starts_with(&format!("feedback.path: {why}")), "{path}: {found}");
        }
    }

    #[test]
    fn a_path_within_a_configured_path_is_refused_in_the_plugin_and_on_a_route() {
        let feedback = r#""feedback": {"path": "/ask/feedback", "secret": "correct-horse-battery"}"#;
        let rows = r#""apis": [{"host": "h", "api": "detect"}, {"path": "/ask", "api": "openai-chat"}]"#;
        let wanted = "feedback.path: is within the path of apis[1]: calls of that API would be taken for feedback";
        assert_eq!(refused(&format!("{{{feedback}, {rows}}}")), wanted);
        let plugin = Config::parse(&format!("{{{feedback}}}")).unwrap();
        assert_eq!(plugin.on_route(&format!("{{{rows}}}")).unwrap_err().to_string(), wanted);
    }
}
