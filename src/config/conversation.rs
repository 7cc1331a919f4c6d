//! `conversation`: how a request names its conversation.

use super::Config;
use super::labels::is_secret;
use super::setting::Setting;
use super::setting::SettingKind::Text;
use crate::documentation::documentation;

pub(super) const SETTINGS: &[Setting<Config>] = &[Setting {
    key: "conversation.header",
    kind: Text {
        default: Some(""),
        set: |config, header| {
            config.conversation_header = header.to_ascii_lowercase();
            match is_secret(&config.conversation_header) {
                true => Err("carries a secret, which must not be reported".to_owned()),
                false => Ok(()),
            }
        },
    },
    per_route: true,
    doc: documentation("request header that names the conversation; it takes precedence over the body"),
}];
