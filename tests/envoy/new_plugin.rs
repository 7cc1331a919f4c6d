//! A listener gets a new plugin file while the old one ends. No series may be lost, even if the new plugin does not use it.
//!
//! Envoy drops a series, with its value, when the last scope of the statistics that defines it ends. All VMs with the same code
//! share the scope of the first of them. A new plugin file has other code, and so a new scope, which is empty. The old scope
//! ends with the last old VM, after the drain time. `src/envoy/series_list.rs` is the remedy.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::support::client::{self, Http};
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;

const PATIENCE: Duration = Duration::from_secs(20);
/// Calls that only the first plugin handles: two providers, a stream, an error, a tool call, and the provider's limits.
const EARLY: &[&str] = &[
    "anthropic-messages/unary-cache-read-and-creation",
    "anthropic-messages/stream-thinking-text-tool-use",
    "openai-chat/error-429-to-a-stream-request",
    "openai-chat/unary-parallel-tool-calls",
];
/// The call that the second plugin handles.
const LATE: &str = "ollama-chat/unary-tool-call";

/// Values by the name and the labels of a series.
type Values = BTreeMap<(String, BTreeMap<String, String>), f64>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn series_that_are_unused_while_two_plugin_files_are_loaded_keep_their_values() {
    let site = Site::start(1).await;
    let before = site.calls(EARLY).await;
    site.change("vm_id: gaugeway\n").await;
    let after = site.calls(&[LATE]).await;
    let lost: Vec<_> = before.iter().filter(|(series, value)| after.get(*series) != Some(value)).collect();
    assert!(lost.is_empty(), "{} of {} series were lost or changed: {:?}", lost.len(), before.len(), lost[0]);
    assert!(after.len() > before.len(), "the new plugin must count calls too");
    assert!(!site.envoy.log().contains("[wasm]"), "{}", site.envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn series_that_only_the_old_plugin_uses_after_the_change_keep_their_values() {
    let site = Site::start(5).await;
    site.calls(&[LATE]).await;
    let addr = site.envoy.addr;
    let slow = Fixture::load(EARLY[0]);
    let request = client::request(&slow, &[("x-upstream", "wait=2000")]);
    let slow_call = tokio::spawn(client::send(addr, request, Http::One));
    tokio::time::sleep(Duration::from_millis(300)).await;
    site.change("vm_id: gaugeway\n").await;
    assert_eq!(slow_call.await.unwrap().unwrap().status, slow.response.status);
    let provider = [("gen_ai_provider_name", "anthropic")];
    assert_eq!(total(&site.envoy.samples().await, "gaugeway_requests_total", &provider), 1.0, "{}", site.envoy.log());
}

/// The manual says to keep the `vm_id`: the plugins share the list of series by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_plugin_file_with_another_vm_id_loses_the_unused_series() {
    let site = Site::start(1).await;
    let before = site.calls(EARLY).await;
    site.change("vm_id: another\n").await;
    let after = site.calls(&[LATE]).await;
    // Each plugin defines the date of the price table when it starts.
    let kept: Vec<_> = before.keys().filter(|series| after.contains_key(*series)).map(|(name, _)| name).collect();
    assert_eq!(kept, ["gaugeway_price_table_timestamp_seconds"]);
}

/// An Envoy with two workers and a listener whose plugin can be replaced.
struct Site {
    upstream: Upstream,
    envoy: Envoy,
    second_file: PathBuf,
}

impl Site {
    /// Old plugins end this many seconds after a change.
    async fn start(drain: u64) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let upstream = Upstream::start(Fixture::all()).await;
        let envoy = Envoy::start(&Options { drain: Duration::from_secs(drain), ..Self::options(&upstream) }).await;
        let name = format!("gaugeway-second-{}-{}.wasm", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // A custom section (WebAssembly Core Specification 2.0, 5.5.3) changes the code for Envoy, and not what it does.
        let mut code = fs::read(std::env::var("GAUGEWAY_WASM").unwrap()).unwrap();
        code.extend(b"\0\x07\x06second");
        let second_file = std::env::temp_dir().join(name);
        fs::write(&second_file, code).unwrap();
        Site { upstream, envoy, second_file }
    }

    fn options(upstream: &Upstream) -> Options {
        Options { concurrency: 2, dynamic: true, ..Options::to(upstream.addr) }
    }

    /// Sends these fixtures and returns all series of the plugin.
    async fn calls(&self, fixtures: &[&str]) -> Values {
        let counted = |samples: &[Sample]| {
            let ended = "gen_ai_client_inference_duration_microseconds_count";
            (total(samples, "gaugeway_requests_total", &[]), total(samples, ended, &[]))
        };
        let (requests, ended) = counted(&self.envoy.samples().await);
        for id in fixtures {
            let fixture = Fixture::load(id);
            let reply = client::replay(self.envoy.addr, &fixture, &[]).await;
            assert_eq!(reply.status, fixture.response.status, "{id}");
        }
        let wanted = (requests + fixtures.len() as f64, ended + fixtures.len() as f64);
        let samples = self.envoy.samples_when(|samples| counted(samples) == wanted, PATIENCE).await;
        assert_eq!(counted(&samples), wanted);
        let own = samples
            .into_iter()
            .filter(|sample| ["gaugeway_", "gen_ai_"].iter().any(|start| sample.name.starts_with(start)));
        own.map(|sample| ((sample.name, sample.labels), sample.value)).collect()
    }

    /// Replaces the plugin's file and its `vm_id`, and waits until the old plugin has ended.
    async fn change(&self, vm_id: &str) {
        let created = |samples: &[Sample]| total(samples, "envoy_wasm_envoy_wasm_runtime_v8_created", &[]);
        let before = created(&self.envoy.samples().await);
        let mut options = Self::options(&self.upstream);
        let first_file = format!("filename: {}", std::env::var("GAUGEWAY_WASM").unwrap());
        options.replace.push((first_file, format!("filename: {}", self.second_file.display())));
        options.replace.push(("vm_id: gaugeway\n".to_owned(), vm_id.to_owned()));
        self.envoy.deliver(&options);
        // The VM with the code, one that tries the configuration, and one for the main thread and for each worker.
        let has_started = |samples: &[Sample]| created(samples) == before + 5.0;
        let samples = self.envoy.samples_when(has_started, PATIENCE).await;
        assert!(has_started(&samples), "{} VMs instead of {before} + 5: {}", created(&samples), self.envoy.log());
        let has_ended = |samples: &[Sample]| {
            let draining = |what| total(samples, &format!("envoy_listener_manager_total_{what}_draining"), &[]);
            total(samples, "envoy_wasm_wasm_vm_count", &[]) == 4.0
                && draining("listeners") + draining("filter_chains") == 0.0
        };
        let samples = self.envoy.samples_when(has_ended, PATIENCE).await;
        assert!(has_ended(&samples), "the old plugin did not end: {}", self.envoy.log());
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.second_file));
    }
}
