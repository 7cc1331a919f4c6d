//! Two instances of the plugin in one filter chain: the first one reports the calls.

use std::time::Duration;

use crate::support::client;
use crate::support::envoy::{Envoy, Options};
use crate::support::expect;
use crate::support::fixtures::Fixture;
use crate::support::prometheus::total;
use crate::support::upstream::Upstream;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(10);
const FIXTURES: [&str; 2] = ["openai-chat/unary", "anthropic-messages/stream-thinking-text-tool-use"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_instance_in_a_filter_chain_stands_down_and_logs_once() {
    for vm in ["gaugeway", "another"] {
        let fixtures = FIXTURES.map(Fixture::load);
        let upstream = Upstream::start(fixtures.to_vec()).await;
        let mut counted = Vec::new();
        for instances in [1, 2] {
            let mut options = Options { config: json!({}), ..Options::to(upstream.addr) };
            if instances == 2 {
                options.text = Some(with_second_instance(vm));
            }
            let envoy = Envoy::start(&options).await;
            for fixture in fixtures.iter().cycle().take(6) {
                let id = client::request_id();
                let reply = client::replay(envoy.addr, fixture, &[("x-request-id", &id)]).await;
                assert_eq!((reply.status, &reply.body), (fixture.response.status, &fixture.response.body));
                let timed = ["gaugeway.time_to_first_token", "gen_ai.response.time_to_first_chunk"];
                let timed = if fixture.is_stream() { &timed[..] } else { &[] };
                let entry = envoy.entry(&id, PATIENCE).await.expect("no access log line");
                assert_eq!(expect::log_faults(&fixture.observation, timed, &entry), [""; 0], "{entry}");
            }
            let samples = envoy.samples().await;
            counted.push(
                [
                    "gaugeway_requests_total",
                    "gaugeway_input_tokens_total",
                    "gaugeway_output_tokens_total",
                    "gaugeway_cost_nanousd_total",
                ]
                .map(|metric| total(&samples, metric, &[])),
            );
            let line = "this instance reports nothing where an instance before it in the filter chain reports the call";
            assert_eq!(envoy.log().matches(line).count(), instances - 1, "{}", envoy.log());
        }
        assert_eq!(counted[0][0], 6.0);
        assert!(counted[0].iter().all(|sum| *sum > 0.0), "{counted:?}");
        assert_eq!(counted[0], counted[1], "one instance (left) and two (right), vm_id {vm}");
    }
}

/// `envoy/envoy.yaml` with a second instance behind the first one, in the VM `vm`.
pub fn with_second_instance(vm: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy/envoy.yaml");
    let yaml = std::fs::read_to_string(path).unwrap();
    let start = yaml.find("          - name: gaugeway\n").unwrap();
    let end = yaml.find("          - name: envoy.filters.http.router\n").unwrap();
    let plugin = std::env::var("GAUGEWAY_WASM").expect("GAUGEWAY_WASM is not set: run ./build.sh test envoy");
    let second = yaml[start..end]
        .replace("name: gaugeway\n", "name: gaugeway-second\n")
        .replace("root_id: gaugeway\n", "root_id: gaugeway-second\n")
        .replace("vm_id: gaugeway\n", &format!("vm_id: {vm}\n"))
        .replace("dist/gaugeway.wasm", &plugin)
        .replace("value: \"{}\"", "value: '{}'");
    format!("{}{second}{}", &yaml[..end], &yaml[end..])
}
