//! The settings as `envoy/reference.md` and `envoy/config.json` show them. Only tests use this.

use serde_json::{Map, Value};

use super::setting::Setting;
use super::{SETTINGS, apis};
use crate::signal::cost::PRICE_KEYS;

/// One row of the table of settings in `envoy/reference.md`.
pub struct DocumentedSetting {
    /// Path of the key in the configuration. In it, `[]` is the index of an array element, and `MODEL` is a model's name.
    pub key: String,
    /// Type and range, as an error says them after "must be".
    pub kind: String,
    /// The default as JSON. Empty if there is none.
    pub default: String,
    /// True if the metadata of a route may set this key.
    pub per_route: bool,
    /// Description of the setting, for the manual.
    pub doc: &'static str,
}

/// Every setting in the order of the keys, with the members of `apis` and `prices` in their place.
pub fn documented_settings() -> Vec<DocumentedSetting> {
    let mut rows = Vec::new();
    for setting in SETTINGS.iter().copied().flatten() {
        match setting.key {
            "apis" => rows.extend(apis::ROW.iter().copied().flatten().map(|row| documented("apis[].", row))),
            "prices" => rows.extend(PRICE_KEYS.iter().map(|price| DocumentedSetting {
                key: format!("prices.MODEL.{}", price.name),
                kind: price.to_string(),
                default: String::new(),
                per_route: setting.per_route,
                doc: price.doc,
            })),
            _ => rows.push(documented("", setting)),
        }
    }
    rows
}

fn documented<T>(prefix: &str, setting: &Setting<T>) -> DocumentedSetting {
    DocumentedSetting {
        key: format!("{prefix}{}", setting.key),
        kind: setting.kind.to_string(),
        default: setting.kind.default_json(),
        per_route: setting.per_route,
        doc: setting.doc,
    }
}

/// A configuration that has every key, each with its default: the content of `envoy/config.json`.
pub fn default_file() -> Value {
    let object = || Value::Object(Map::new());
    let mut file = object();
    for setting in SETTINGS.iter().copied().flatten() {
        let mut names = setting.key.split('.');
        let place =
            names.try_fold(&mut file, |place, name| Some(place.as_object_mut()?.entry(name).or_insert_with(object)));
        if let Some(place) = place {
            *place = serde_json::from_str(&setting.kind.default_json()).unwrap_or_default();
        }
    }
    file
}
