//! Configuration changes while calls are in progress: no call is lost, counted twice or changed. A call in progress
//! keeps the configuration it began with. An invalid configuration is rejected and changes nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::{self, Http, Reply};
use crate::support::core::TIMING;
use crate::support::envoy::{Envoy, Options};
use crate::support::expect::{self, Series};
use crate::support::fixtures::Fixture;
use crate::support::prometheus::{Sample, total};
use crate::support::upstream::Upstream;
use bytes::Bytes;
use gaugeway::config::Config;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

const PATIENCE: Duration = Duration::from_secs(20);
/// Duration in milliseconds of a call that is in progress during a change.
const SLOW: usize = 3000;
/// Number of concurrent calls.
const TOGETHER: usize = 16;
/// A model that has a price only in the configuration. The cost of a call to it shows which configuration was used.
const HOUSE: &str = "house-model";
/// Number of tokens that the upstream's `echo` answer reports.
const TOKENS: f64 = 7.0;

/// A call to [`HOUSE`] in progress, with its request id.
type HouseCall = (String, JoinHandle<io::Result<Reply>>);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_counter_stays_exact_across_two_configuration_changes_under_traffic() {
    let site = Site::start(Options { concurrency: 2, drain: Duration::from_secs(10), ..config(json!({}), 1) }).await;
    let whole = |_: usize, _: &Fixture| "whole".to_owned();
    let slowly = |number: usize, fixture: &Fixture| match (fixture.response.events.len(), number % 4) {
        (0..=1, 0) => format!("wait={SLOW}"),
        (0..=1, _) => "wait=20".to_owned(),
        (events, 0) => format!("gap={}", SLOW / (events - 1)),
        _ => "events".to_owned(),
    };
    site.pass(whole, &[]).await;
    site.assert_counted(1).await;

    // The first change replaces a filter chain. The second replaces the listener, and its plugin has one more label, so
    // it defines every series again.
    let first = config(json!({"max_series": 90_000}), 2);
    let mut second = config(json!({"max_series": 80_000, "headers": {"x-nobody-sends-this": "nobody"}}), 3);
    let line = "    traffic_direction: OUTBOUND";
    second.replace.push((line.to_owned(), format!("    per_connection_buffer_limit_bytes: 900000\n{line}")));
    site.pass(slowly, &[(first, 2), (second, 3)]).await;
    site.assert_counted(2).await;
    let samples = site.envoy.samples().await;
    assert_eq!(
        listeners(&samples, "lds_update_success"),
        3.0,
        "the listener must be updated once at the start and by two changes"
    );
    let (modified, in_place) =
        (listeners(&samples, "listener_modified"), listeners(&samples, "listener_in_place_updated"));
    assert_eq!((modified, in_place), (2.0, 1.0), "one change must be to a filter chain and one to the listener itself");

    // The plugins of the old configurations end, and no count is lost.
    let drained = |samples: &[Sample]| {
        listeners(samples, "total_listeners_draining") + listeners(samples, "total_filter_chains_draining") == 0.0
    };
    assert!(drained(&site.envoy.samples_when(drained, PATIENCE).await), "{}", site.envoy.log());
    site.pass(whole, &[]).await;
    site.assert_counted(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_configuration_is_rejected_and_the_old_one_stays_in_use() {
    let site = Site::start(config(json!({}), 1)).await;
    assert_eq!(site.price().await, 1);
    for (refused, labels) in [(1.0, json!({"max_series": "many"})), (2.0, json!({"serie": 1}))] {
        let under_way = site.begin("echo wait=1000");
        tokio::time::sleep(Duration::from_millis(200)).await;
        site.envoy.deliver(&site.to(config(labels.clone(), 2)));
        let told = |samples: &[Sample]| listeners(samples, "lds_update_rejected") == refused;
        assert!(
            told(&site.envoy.samples_when(told, PATIENCE).await),
            "the configuration {labels} was not rejected: {}",
            site.envoy.log()
        );
        let prices = (site.price().await, site.seen_price(under_way).await);
        assert_eq!(prices, (1, 1), "calls during and after a rejected change must have the old price");
    }
    assert!(site.envoy.log().contains("gaugeway: labels.max_series: must be a whole number"), "{}", site.envoy.log());
    site.change(config(json!({}), 2), 2).await;
    site.assert_house_calls_counted(&site.envoy.samples().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_configuration_does_not_reset_the_series_limit() {
    let site = Site::start(config(json!({"max_series": 200}), 1)).await;
    assert_eq!(site.price().await, 1);
    site.invent("early").await;
    let before = expect::series(&site.envoy.samples().await);
    assert!(
        (20..60).contains(&before.len()),
        "{} series, but the share of names in answers has room for 18 counters",
        before.len()
    );
    site.change(config(json!({"max_series": 200}), 2), 2).await;
    site.invent("late").await;
    let samples = site.envoy.samples().await;
    let after = expect::series(&samples);
    let new: Vec<_> = after.keys().filter(|series| !before.contains_key(*series)).collect();
    assert!(new.is_empty(), "the change added {} series, such as {:?}", new.len(), new.first());
    let calls = 2000.0 + f64::from(site.house_calls.load(Ordering::Relaxed));
    assert_eq!(total(&samples, "gaugeway_requests_total", &[]), calls);
    let tokens = ["input", "output"].map(|kind| total(&samples, &format!("gaugeway_{kind}_tokens_total"), &[]));
    assert_eq!(tokens.iter().sum::<f64>(), calls * TOKENS);
}

/// An upstream, an Envoy whose listener can be replaced, and the calls that were sent.
struct Site {
    upstream: Arc<Upstream>,
    fixtures: Vec<Fixture>,
    envoy: Envoy,
    house_calls: AtomicU32,
}

/// A finished call: its faults and its start and end.
struct Call {
    faults: Vec<String>,
    began: Instant,
    ended: Instant,
}

/// A configuration with this price for [`HOUSE`]. The caller sets the upstream.
fn config(mut labels: Value, price: u64) -> Options {
    let labels_of = labels.as_object_mut().unwrap();
    labels_of.entry("max_series").or_insert_with(|| json!(100_000));
    let price = json!({"input": price * 1000, "output": price * 1000});
    let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
    Options { dynamic: true, config: json!({"labels": labels, "prices": {HOUSE: price}}), ..Options::to(nobody) }
}

impl Site {
    async fn start(options: Options) -> Self {
        let fixtures: Vec<_> = Fixture::all().into_iter().filter(Fixture::counts_each_time).collect();
        assert!(fixtures.len() > 100, "only {} fixtures were found", fixtures.len());
        let upstream = Arc::new(Upstream::start(fixtures.clone()).await);
        let envoy = Envoy::start(&Options { upstream: upstream.addr, ..options }).await;
        Self { upstream, fixtures, envoy, house_calls: AtomicU32::new(0) }
    }

    fn to(&self, options: Options) -> Options {
        Options { upstream: self.upstream.addr, ..options }
    }

    /// Sends every fixture. Applies one change after each part of the fixtures, while other calls are in progress.
    async fn pass(&self, travel: impl Fn(usize, &Fixture) -> String, changes: &[(Options, u64)]) {
        let (mut calls, mut over, places) = (JoinSet::new(), Vec::new(), Arc::new(Semaphore::new(TOGETHER)));
        for (number, fixture) in self.fixtures.iter().cloned().enumerate() {
            let (places, upstream, travel) =
                (Arc::clone(&places), Arc::clone(&self.upstream), travel(number, &fixture));
            calls.spawn(call(self.envoy.addr, upstream, places, fixture, travel));
        }
        let part = self.fixtures.len() / (changes.len() + 1);
        let mut changed = Vec::new();
        for (number, (options, price)) in changes.iter().enumerate() {
            while over.len() < part * (number + 1) {
                over.push(calls.join_next().await.unwrap().unwrap());
            }
            changed.push(self.change(options.clone(), *price).await);
        }
        over.extend(calls.join_all().await);
        let faults: Vec<_> = over.iter().flat_map(|call| &call.faults).map(String::as_str).collect();
        assert!(
            faults.is_empty(),
            "{} calls are wrong:\n{}\nEnvoy's log:\n{}",
            faults.len(),
            faults.join("\n"),
            self.envoy.log()
        );
        for (before, after) in changed {
            let under_way = over.iter().filter(|call| call.began < before && call.ended > after).count();
            assert!(under_way >= 4, "only {under_way} calls were in progress across a change");
        }
    }

    /// Delivers a configuration with this price. Returns a time when the old one was in use, and a time when the new
    /// one was.
    async fn change(&self, options: Options, price: u64) -> (Instant, Instant) {
        let old = self.price().await;
        assert_ne!(old, price, "the prices must distinguish the configurations");
        let taken = listeners(&self.envoy.samples().await, "lds_update_success") + 1.0;
        let under_way = self.begin(&format!("echo wait={SLOW}"));
        tokio::time::sleep(Duration::from_millis(200)).await;
        let before = Instant::now();
        self.envoy.deliver(&self.to(options));
        let told = |samples: &[Sample]| listeners(samples, "lds_update_success") == taken;
        assert!(
            told(&self.envoy.samples_when(told, PATIENCE).await),
            "Envoy did not apply the new configuration: {}",
            self.envoy.log()
        );
        while self.price().await != price {
            assert!(before.elapsed() < PATIENCE, "the new price did not take effect: {}", self.envoy.log());
        }
        let after = Instant::now();
        assert!(!under_way.1.is_finished(), "the change took longer than the call in progress");
        assert_eq!(
            self.seen_price(under_way).await,
            old,
            "a call that began before the change must have the old price"
        );
        (before, after)
    }

    /// Returns the price in the configuration that handles a new call.
    async fn price(&self) -> u64 {
        self.seen_price(self.begin("echo")).await
    }

    fn begin(&self, travel: &str) -> HouseCall {
        self.house_calls.fetch_add(1, Ordering::Relaxed);
        let (id, request) = echoed(HOUSE, travel);
        (id, tokio::spawn(client::send(self.envoy.addr, request, Http::One)))
    }

    async fn seen_price(&self, (id, reply): HouseCall) -> u64 {
        let reply = reply.await.unwrap().unwrap();
        assert_eq!((reply.status, reply.broken), (200, None));
        let entry = self.envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
        let cost: f64 = entry["gaugeway.cost.usd"].as_str().expect("the call has no cost").parse().unwrap();
        (cost * 1000.0 / TOKENS).round() as u64
    }

    /// Sends calls for a thousand models that do not exist.
    async fn invent(&self, name: &str) {
        let (mut calls, places, addr) = (JoinSet::new(), Arc::new(Semaphore::new(TOGETHER)), self.envoy.addr);
        for number in 0..1000 {
            let (places, (_, request)) = (Arc::clone(&places), echoed(&format!("{name}-{number}"), "echo"));
            calls.spawn(async move {
                let _place = places.acquire().await.unwrap();
                assert_eq!(client::send(addr, request, Http::One).await.unwrap().status, 200);
            });
        }
        calls.join_all().await;
    }

    /// Checks that the metrics count every fixture this many times and every call to [`HOUSE`] once.
    async fn assert_counted(&self, times: u64) {
        let config = Config::parse("").unwrap();
        let mut expected = Series::new();
        for fixture in &self.fixtures {
            let exchange = expect::in_the_core(fixture);
            let core = exchange.as_ref().map(gaugeway::exchange::Exchange::observation);
            let seen = core.map(crate::support::core::attributes).unwrap_or_default();
            let timed: Vec<_> = TIMING.iter().copied().filter(|key| seen.contains_key(*key)).collect();
            expect::add_series(&mut expected, &fixture.observation, &timed, core, &config);
        }
        assert!(expected.len() > 500, "only {} series are expected", expected.len());
        expected.values_mut().for_each(|value| *value *= times);
        // Two fixtures may be calls of one run. Their order decides whether the second one continues it.
        let is_of_runs = |name: &str| name.starts_with("gaugeway_agent_");
        expected.retain(|(name, _), _| !is_of_runs(name));
        let counted = |samples: &[Sample]| {
            let mut series = expect::series(samples);
            series.retain(|(name, labels), _| !is_of_runs(name) && !labels.values().any(|value| value == HOUSE));
            series
        };
        let samples = self.envoy.samples_when(|samples| counted(samples) == expected, Duration::from_secs(3)).await;
        let faults = expect::series_faults(&expected, &counted(&samples));
        assert!(faults.is_empty(), "{} series are wrong in pass {times}:\n{}", faults.len(), faults.join("\n"));
        self.assert_house_calls_counted(&samples);
        // A crashed plugin would have been restarted by now with correct numbers, so the log is checked.
        assert!(!self.envoy.log().contains("[wasm]"), "{}", self.envoy.log());
    }

    fn assert_house_calls_counted(&self, samples: &[Sample]) {
        let calls = f64::from(self.house_calls.load(Ordering::Relaxed));
        let labels = [("gen_ai_response_model", HOUSE)];
        assert_eq!(total(samples, "gaugeway_requests_total", &labels), calls, "wrong number of calls to {HOUSE}");
        let tokens = ["input", "output"].map(|kind| total(samples, &format!("gaugeway_{kind}_tokens_total"), &labels));
        assert_eq!(tokens.iter().sum::<f64>(), calls * TOKENS, "wrong number of tokens of calls to {HOUSE}");
    }
}

/// Sends a fixture's request once the semaphore permits it.
async fn call(
    addr: SocketAddr,
    upstream: Arc<Upstream>,
    places: Arc<Semaphore>,
    fixture: Fixture,
    travel: String,
) -> Call {
    let _place = places.acquire().await.unwrap();
    let (id, began) = (client::request_id(), Instant::now());
    let request = client::request(&fixture, &[("x-request-id", &id), ("x-upstream", &travel)]);
    let reply = client::send(addr, request, Http::One).await;
    let ended = Instant::now();
    let mut faults = Vec::new();
    match reply {
        Ok(reply) if reply.broken.is_some() => faults.push(format!("the answer broke off: {:?}", reply.broken)),
        Ok(reply) if reply.status != fixture.response.status => faults.push(format!("status {}", reply.status)),
        Ok(reply) if reply.body != fixture.response.body => faults.push("the answer changed on the way".to_owned()),
        Ok(_) => {}
        Err(error) => faults.push(format!("no answer: {error}")),
    }
    match upstream.take_request(&id, PATIENCE).await {
        Some(received) if received.body != fixture.request.body => faults.push("the request changed".to_owned()),
        Some(_) => {}
        None => faults.push("nothing reached the upstream".to_owned()),
    }
    let faults = faults.into_iter().map(|fault| format!("{} ({travel}): {fault}", fixture.id)).collect();
    Call { faults, began, ended }
}

/// A request for an arbitrary model. The upstream's answer repeats the model name.
fn echoed(model: &str, travel: &str) -> (String, Request<Full<Bytes>>) {
    let id = client::request_id();
    let request = Request::post("/v1/chat/completions").header("host", "api.openai.com");
    let request = request.header("content-type", "application/json");
    let request = request.header("x-request-id", &id).header("x-upstream", travel);
    let body = json!({"model": model, "messages": []}).to_string();
    (id, request.body(Full::from(body)).unwrap())
}

/// The value of an Envoy counter or gauge about its listeners.
fn listeners(samples: &[Sample], name: &str) -> f64 {
    let name = format!("envoy_listener_manager_{name}");
    samples.iter().find(|sample| sample.name == name).unwrap_or_else(|| panic!("Envoy exports no {name}")).value
}
