//! `apis`: which API hosts and paths speak whose names do not tell.

use serde_json::Value;

use super::Config;
use super::setting::SettingKind::{Other, Text};
use super::setting::{self, Setting, SettingScope, Table};
use super::value::ConfigError;
use crate::documentation::documentation;
use crate::provider::{self, NO_API, Override};

pub(super) const SETTINGS: &[Setting<Config>] = &[Setting {
    key: "apis",
    kind: Other {
        what: "an array of objects",
        default: "[]",
        // A route's rows come before the plugin's.
        set: |config, path, value| {
            config.apis.splice(0..0, rows(path, value)?);
            Ok(())
        },
    },
    per_route: true,
    doc: documentation("APIs by host and path; the first row that matches counts"),
}];

/// The members of a row of `apis`.
pub(super) const ROW: Table<Override> = &[&[
    Setting {
        key: "api",
        kind: Text { default: Some(""), set: set_api },
        per_route: true,
        doc: documentation(
            "API of the row's hosts and paths: a name from the \
             [table of APIs](../tests/fixtures/README.md#what-the-fixtures-show), `detect`, or `none` for requests that \
             are not LLM traffic; empty means the API that follows from host and path",
        ),
    },
    Setting {
        key: "host",
        kind: Text {
            default: Some(""),
            set: |row, text| {
                row.host = text.to_owned();
                Ok(())
            },
        },
        per_route: true,
        doc: documentation("end of the host name, without port; empty means any host"),
    },
    Setting {
        key: "path",
        kind: Text {
            default: Some(""),
            set: |row, text| {
                row.path = text.to_owned();
                Ok(())
            },
        },
        per_route: true,
        doc: documentation("beginning of the path; empty means any path"),
    },
    Setting {
        key: "provider",
        kind: Text {
            default: Some(""),
            set: |row, text| {
                row.provider = text.to_owned();
                Ok(())
            },
        },
        per_route: true,
        doc: documentation("provider name to report; empty means the name derived from the host"),
    },
]];

fn set_api(row: &mut Override, name: &str) -> Result<(), String> {
    let mut known: Vec<_> =
        provider::endpoints().filter(|endpoint| !endpoint.is_fetch()).map(|endpoint| endpoint.api.name).collect();
    known.dedup();
    known.push(NO_API);
    let found = known.iter().copied().find(|known| *known == name);
    let found = found.or((name.is_empty()).then_some(""));
    row.api = found.ok_or_else(|| format!("there is no API '{name}'; there are: {}", known.join(", ")))?;
    Ok(())
}

fn rows(path: &str, value: &Value) -> Result<Vec<Override>, ConfigError> {
    let rows = value.as_array().ok_or_else(|| ConfigError::new(path, "must be an array of objects"))?;
    rows.iter().enumerate().map(|(at, value)| row(&format!("{path}[{at}]"), value)).collect()
}

fn row(path: &str, value: &Value) -> Result<Override, ConfigError> {
    let mut row = Override::default();
    setting::read(ROW, &mut row, (path, ""), value, SettingScope::Plugin)?;
    if row.api.is_empty() && row.provider.is_empty() || row.host.is_empty() && row.path.is_empty() {
        return Err(ConfigError::new(
            path,
            "must name an `api` or a `provider`, and a `host` or a `path` it is served at",
        ));
    }
    Ok(row)
}
