//! `websocket`: whether the plugin changes the requests for WebSockets.

use super::Config;
use super::setting::Setting;
use super::setting::SettingKind::Bool;
use crate::documentation::documentation;

/// Settings of WebSockets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WebsocketSettings {
    /// `websocket.plain_frames`: changes requests.
    pub plain_frames: bool,
}

pub(super) const SETTINGS: &[Setting<Config>] = &[Setting {
    key: "websocket.plain_frames",
    kind: Bool { default: false, set: |config, plain| config.websocket.plain_frames = plain },
    per_route: true,
    doc: documentation(
        "removes the header `sec-websocket-extensions` from requests for WebSockets of LLM APIs, so that both sides send \
         frames without compression, whose memory needs no decoder",
    ),
}];
