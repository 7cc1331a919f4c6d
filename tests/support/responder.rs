//! `respond.wat` as a filter behind the plugin.

use std::fs;
use std::path::PathBuf;

use super::client;

/// The file of the filter. Dropping the value deletes it.
pub struct Responder(PathBuf);

impl Responder {
    pub fn new() -> Self {
        let file = std::env::temp_dir().join(format!("gaugeway-respond-{}.wasm", client::request_id()));
        fs::write(&file, wat::parse_str(include_str!("respond.wat")).unwrap()).unwrap();
        Responder(file)
    }

    /// The filter in one line of flow YAML.
    pub fn filter(&self) -> String {
        format!(
            "{{name: respond, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm, config: {{name: respond, vm_config: {{vm_id: respond, runtime: envoy.wasm.runtime.v8, code: {{local: {{filename: {}}}}}}}}}}}}}",
            self.0.display()
        )
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}
