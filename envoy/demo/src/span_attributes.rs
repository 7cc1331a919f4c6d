//! The plugin's attributes in Envoy's spans, which depend on Envoy's version.

use std::sync::OnceLock;

use super::envoy::from_environment;

/// The form of the plugin's attributes in spans.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spans {
    /// Attributes with types, from 1.40 on.
    Typed,
    /// Attributes that are all strings, from 1.37 on.
    Strings,
    /// No attributes of the plugin.
    Plain,
}

/// The form of span attributes in the Envoy under test.
pub fn spans() -> Spans {
    static SPANS: OnceLock<Spans> = OnceLock::new();
    *SPANS.get_or_init(|| {
        let program = from_environment("GAUGEWAY_ENVOY").unwrap_or_else(|error| panic!("{error}"));
        let told = std::process::Command::new(&program).arg("--version").output();
        let told = String::from_utf8(told.unwrap_or_else(|error| panic!("{program}: {error}")).stdout).unwrap();
        // `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`
        let version = told.split('/').find_map(|word| word.strip_prefix("1.")?.split_once('.'));
        match version.and_then(|(minor, _)| minor.parse::<u32>().ok()) {
            Some(40..) => Spans::Typed,
            Some(37..) => Spans::Strings,
            Some(_) => Spans::Plain,
            None => panic!("{program} --version printed no version 1.x: {told}"),
        }
    })
}

/// Edits envoy.yaml for an older Envoy as its first lines say: without types, or without the plugin's attributes.
pub(crate) fn for_spans(yaml: &str, spans: Spans) -> String {
    let (mut kept, mut skipping) = (String::new(), false);
    for line in yaml.lines() {
        let begins = line.trim_start();
        if spans == Spans::Plain {
            // The lines of `operation` and `custom_tags` are indented further or are list items.
            let deeper =
                line.starts_with("             ") || begins.starts_with("- {tag: ") || begins.starts_with("# ");
            skipping = skipping && deeper || begins.starts_with("operation: ") || begins.starts_with("custom_tags:");
        }
        if !skipping {
            let cut = (spans != Spans::Typed).then(|| line.find(", value_type: ")).flatten();
            kept.push_str(&cut.map_or_else(|| line.to_owned(), |cut| format!("{}}}", &line[..cut])));
            kept.push('\n');
        }
    }
    kept
}
