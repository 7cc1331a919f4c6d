//! An Envoy whose plugin traps on request.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::client::{self, Http};
use super::envoy::{Envoy, Options};
use super::fixtures::Fixture;

/// Headers of a request that makes the plugin trap.
pub const CRASH: &[(&str, &str)] = &[("x-crash", "now")];
/// Headers that make the plugin trap and make every later start of a plugin fail.
pub const CRASH_FOR_GOOD: &[(&str, &str)] = &[("x-crash", "now"), ("x-stay", "down")];

pub struct Crashing {
    pub envoy: Envoy,
    fixture: Fixture,
    plugin: PathBuf,
}

impl Crashing {
    /// Starts an Envoy with the shipped configuration, this failure policy and `crash.wat` as the plugin.
    pub async fn start(options: Options, policy: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("gaugeway-crash-{}-{}.wasm", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let plugin = std::env::temp_dir().join(name);
        fs::write(&plugin, wat::parse_str(include_str!("crash.wat")).unwrap()).unwrap();
        let shipped = format!("filename: {}", std::env::var("GAUGEWAY_WASM").unwrap());
        let mut options = options;
        options.replace.push((shipped, format!("filename: {}", plugin.display())));
        options.replace.push(("failure_policy: FAIL_RELOAD  #".to_owned(), format!("failure_policy: {policy}  #")));
        Crashing { envoy: Envoy::start(&options).await, fixture: Fixture::load("openai-chat/unary"), plugin }
    }

    /// Sends one request with these headers and returns the response status.
    pub async fn call(&self, headers: &[(&str, &str)]) -> u16 {
        let request = client::request(&self.fixture, headers);
        client::send(self.envoy.addr, request, Http::One).await.unwrap().status
    }
}

impl Drop for Crashing {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.plugin));
    }
}
