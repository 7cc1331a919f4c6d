//! `otlp`: the collector that receives spans, metrics and log records, and what is sent to it.

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::{Bool, Share, Text, Whole, Word};
use crate::documentation::documentation;

/// The collector that receives spans, metrics and log records, and what is sent to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Otlp {
    /// `otlp.cluster`: empty if nothing is sent.
    pub cluster: String,
    /// `otlp.errors`
    pub errors: bool,
    /// `otlp.exceptions`
    pub exceptions: bool,
    /// `otlp.idle_after`, in seconds.
    pub idle_after: u64,
    /// `otlp.instance`: empty for the identifier of the proxy.
    pub instance: String,
    /// `otlp.interval`, in seconds.
    pub interval: u64,
    /// `otlp.logs_path`
    pub logs_path: String,
    /// `otlp.metrics_path`: empty if no metrics are sent.
    pub metrics_path: String,
    /// `otlp.path`: that of the spans; empty if no spans are sent.
    pub path: String,
    /// `otlp.sample`, 0 to 1.
    pub sample: f64,
    /// `otlp.service`
    pub service: String,
    /// `otlp.temporality`
    pub temporality: Temporality,
}

/// The period that the values of a metric cover.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Temporality {
    /// From the start of the series.
    #[default]
    Cumulative,
    /// From the export before.
    Delta,
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
        doc: documentation(
            "Envoy cluster of a collector that receives spans, metrics and log records as OTLP over HTTP; empty means that nothing is sent",
        ),
    },
    Setting {
        key: "otlp.errors",
        kind: Bool { default: false, set: |config, errors| config.otlp.errors = errors },
        per_route: false,
        doc: documentation("send the spans of all failed calls, also of traces that are not sampled"),
    },
    Setting {
        key: "otlp.exceptions",
        kind: Bool { default: false, set: |config, exceptions| config.otlp.exceptions = exceptions },
        per_route: false,
        doc: documentation("send a log record for each failed call"),
    },
    Setting {
        key: "otlp.idle_after",
        kind: Whole { default: 3600, range: 60..=86_400, set: |config, seconds| config.otlp.idle_after = seconds },
        per_route: false,
        doc: documentation("seconds after which a metric series without a new value is forgotten"),
    },
    Setting {
        key: "otlp.instance",
        kind: Text {
            default: Some(""),
            set: |config, text| {
                config.otlp.instance = text.to_owned();
                Ok(())
            },
        },
        per_route: false,
        doc: documentation(
            "`service.instance.id` without the `vm_id` and the number of the worker, which are added; empty means the identifier of Envoy's node, or a \
             random one if it has none",
        ),
    },
    Setting {
        key: "otlp.interval",
        kind: Whole { default: 10, range: 1..=300, set: |config, seconds| config.otlp.interval = seconds },
        per_route: false,
        doc: documentation("seconds between two exports of metrics"),
    },
    Setting {
        key: "otlp.logs_path",
        kind: Text { default: Some("/v1/logs"), set: |config, text| path(&mut config.otlp.logs_path, text) },
        per_route: false,
        doc: documentation("path of log records at that collector; empty means that none are sent"),
    },
    Setting {
        key: "otlp.metrics_path",
        kind: Text { default: Some("/v1/metrics"), set: |config, text| path(&mut config.otlp.metrics_path, text) },
        per_route: false,
        doc: documentation("path of metrics at that collector; empty means that no metrics are sent"),
    },
    Setting {
        key: "otlp.path",
        kind: Text { default: Some("/v1/traces"), set: |config, text| path(&mut config.otlp.path, text) },
        per_route: false,
        doc: documentation("path of spans at that collector; empty means that no spans are sent"),
    },
    Setting {
        key: "otlp.sample",
        kind: Share { default: 1.0, set: |config, share| config.otlp.sample = share },
        per_route: false,
        doc: documentation("share of the traces whose spans are sent, if a request has no `traceparent` or B3 header"),
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
        doc: documentation("`service.name` of all that is sent"),
    },
    Setting {
        key: "otlp.temporality",
        kind: Word {
            words: &["cumulative", "delta"],
            set: |config, word| {
                config.otlp.temporality = match word {
                    "cumulative" => Temporality::Cumulative,
                    "delta" => Temporality::Delta,
                    _ => return None,
                };
                Some(())
            },
        },
        per_route: false,
        doc: documentation(
            "whether the values of metrics count from the start of a series or from the export before; Prometheus accepts only `cumulative`",
        ),
    },
];

fn path(target: &mut String, text: &str) -> Result<(), String> {
    text.clone_into(target);
    if text.is_empty() || text.starts_with('/') { Ok(()) } else { Err("must begin with /".to_owned()) }
}
