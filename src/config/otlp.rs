//! `otlp`: where the spans of agents' runs are sent.

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::Text;
use crate::documentation::documentation;

/// Where the spans of agents' runs are sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Otlp {
    /// `otlp.cluster`
    pub cluster: String,
    /// `otlp.path`
    pub path: String,
    /// `otlp.service`
    pub service: String,
}

pub(super) const SETTINGS: &[Setting<Config>] = &[
    Setting {
        key: "otlp.cluster",
        kind: Text {
            default: Some(""),
            set: |config, text| {
                config.otlp.cluster = text.to_owned();
                Ok(())
            },
        },
        per_route: false,
        doc: documentation("Envoy cluster of a collector that receives spans of agent runs; empty means no such spans"),
    },
    Setting {
        key: "otlp.path",
        kind: Text {
            default: Some("/v1/traces"),
            set: |config, text| {
                config.otlp.path = text.to_owned();
                if text.starts_with('/') { Ok(()) } else { Err("must begin with /".to_owned()) }
            },
        },
        per_route: false,
        doc: documentation("path of OTLP over HTTP at that collector"),
    },
    Setting {
        key: "otlp.service",
        kind: Text {
            default: Some("gaugeway"),
            set: |config, text| {
                config.otlp.service = text.to_owned();
                Ok(())
            },
        },
        per_route: false,
        doc: documentation("`service.name` of those spans"),
    },
];
