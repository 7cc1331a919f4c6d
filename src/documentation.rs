//! Documentation that the tables of settings, labels, attributes and metrics carry.

/// The documentation text of a table row. Returns an empty text for wasm targets, where nothing reads it, so that it does
/// not enlarge the plugin. Tests compare it with `envoy/reference.md`.
pub const fn documentation(text: &'static str) -> &'static str {
    if cfg!(target_family = "wasm") { "" } else { text }
}
