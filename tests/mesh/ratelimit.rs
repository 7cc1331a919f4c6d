//! Budgets of tokens and dollars per team: Envoy's rate limit filter and its real rate limit service, with the files in envoy/budget.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use crate::programs::program;
use crate::support::backend::{Backend, free};
use crate::support::client::{self, Http};
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::manifests::path;
use crate::support::upstream::Upstream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(10);
/// The number of calls at the same time when a budget is spent.
const TOGETHER: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_team_over_its_budget_of_tokens_is_rejected_until_the_next_minute_and_no_other_team() {
    let call = priced("openai-chat/", false);
    let site = Site::start(3 * call.tokens - 1, 1_000_000_000).await;
    site.wait_for_most_of_a_minute().await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(site.call(&call.fixture, Some("search"), "").await);
        site.settled(statuses.iter().filter(|status| **status == 200).count() as u64 * call.tokens).await;
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    assert_eq!(site.call(&call.fixture, Some("other"), "").await, 200);
    assert_eq!(site.call(&call.fixture, None, "").await, 200, "a call without the header has no budget");
    let stats = site.envoy.admin("/stats?filter=gaugeway_requests_total").await;
    assert!(stats.contains("local_reply"), "the plugin does not count the rejected calls: {stats}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_and_failed_calls_add_exactly_what_they_used_in_tokens_and_millionths_of_a_dollar() {
    let site = Site::start(1_000_000_000, 1_000_000_000).await;
    site.wait_for_most_of_a_minute().await;
    let (mut tokens, mut microusd, mut calls) = (0, 0, 0);
    for api in ["openai-chat/", "anthropic-messages/", "gemini-generate/", "openai-responses/"] {
        for streamed in [false, true] {
            let call = priced(api, streamed);
            assert_eq!(site.call(&call.fixture, Some("search"), "").await, 200, "{}", call.fixture.id);
            (tokens, microusd, calls) = (tokens + call.tokens, microusd + call.microusd, calls + 1);
        }
    }
    let failed = Fixture::all().into_iter().find(|one| {
        one.response.status == 500 && one.observation.get("gaugeway.outcome").is_some_and(|outcome| outcome == "error")
    });
    assert_eq!(site.call(&failed.unwrap(), Some("search"), "").await, 500);
    site.settled(tokens).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let sums = site.sums().await;
    assert_eq!((sums.get("tokens"), sums.get("microusd")), (Some(&tokens), Some(&microusd)), "{calls} calls: {sums:?}");
    assert!(tokens > 500 && microusd > 500, "{tokens} tokens, {microusd} millionths of a dollar");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_is_exceeded_by_the_calls_in_progress_and_by_no_later_one() {
    let call = priced("openai-chat/", false);
    let site = Site::start(1_000_000_000, call.microusd).await;
    site.wait_for_most_of_a_minute().await;
    let mut calls = JoinSet::new();
    for _ in 0..TOGETHER {
        let (addr, fixture) = (site.envoy.addr, call.fixture.clone());
        calls.spawn(async move { send(addr, &fixture, Some("search"), "wait=1500").await });
    }
    assert_eq!(calls.join_all().await, vec![200; TOGETHER as usize]);
    site.settled(TOGETHER * call.tokens).await;
    assert_eq!(site.call(&call.fixture, Some("search"), "").await, 429);
    let used = site.sums().await["microusd"];
    assert_eq!(used, TOGETHER * call.microusd);
    println!("budget {} used {used} by {TOGETHER} calls at once: overshoot {}", call.microusd, used - call.microusd);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_pass_if_the_rate_limit_service_does_not_answer() {
    let call = priced("openai-chat/", false);
    let mut site = Site::start(1, 1).await;
    drop(site.service.take());
    for _ in 0..20 {
        assert_eq!(site.call(&call.fixture, Some("search"), "").await, 200);
    }
    assert!(!site.envoy.has_ended(), "{}", site.envoy.log());
}

/// A completed call with a cost.
struct Priced {
    fixture: Fixture,
    tokens: u64,
    microusd: u64,
}

fn priced(api: &str, streamed: bool) -> Priced {
    let fits = |one: &Fixture| {
        one.id.starts_with(api)
            && one.response.status == 200
            && (one.response.events.len() > 1) == streamed
            && one.observation.get("gaugeway.outcome").is_some_and(|outcome| outcome == "completed")
            && ["gaugeway.cost.usd", "gen_ai.usage.output_tokens"].iter().all(|key| one.observation.contains_key(*key))
    };
    let fixture = Fixture::all().into_iter().find(fits).unwrap_or_else(|| panic!("no call of {api} has a cost"));
    let count = |key: &str| fixture.observation.get(key).and_then(serde_json::Value::as_f64).unwrap_or(0.0);
    let tokens = (count("gen_ai.usage.input_tokens") + count("gen_ai.usage.output_tokens")) as u64;
    // Less than a millionth is dropped.
    let microusd = (count("gaugeway.cost.usd") * 1_000_000.0) as u64;
    Priced { tokens, microusd, fixture }
}

struct Site {
    redis: SocketAddr,
    service: Option<Backend>,
    envoy: Envoy,
    _upstream: Upstream,
    _store: Backend,
}

impl Site {
    /// The shipped files with these budgets for the team "search".
    async fn start(tokens: u64, microusd: u64) -> Self {
        let upstream = Upstream::start(Fixture::all()).await;
        let [redis, watch, grpc, http, debug] = free();
        let store = Backend::start("redis", watch, "/", |_| {
            let mut command = Command::new(program("ratelimit", "redis"));
            command.args([redis.to_string(), watch.to_string()]);
            command
        });
        let store = store.await;
        let service = Backend::start("ratelimit", http, "/healthcheck", |folder| {
            fs::create_dir_all(folder.join("config")).unwrap();
            let mut budgets = fs::read_to_string(path("envoy/budget/ratelimit.yaml")).unwrap();
            for (from, to) in [("500000}", format!("{tokens}}}")), ("2000000}", format!("{microusd}}}"))] {
                assert_eq!(budgets.matches(from).count(), 1, "{from}");
                budgets = budgets.replace(from, &to);
            }
            fs::write(folder.join("config/ratelimit.yaml"), budgets).unwrap();
            let mut command = Command::new(program("ratelimit", "service_cmd"));
            for (key, addr) in [("GRPC_", grpc), ("", http), ("DEBUG_", debug)] {
                command
                    .env(format!("{key}HOST"), addr.ip().to_string())
                    .env(format!("{key}PORT"), addr.port().to_string());
            }
            command.env("RUNTIME_ROOT", folder).env("RUNTIME_SUBDIRECTORY", "").env("RUNTIME_WATCH_ROOT", "false");
            command.env("USE_STATSD", "false").env("REDIS_SOCKET_TYPE", "tcp").env("REDIS_URL", redis.to_string());
            command
        });
        let service = service.await;
        let wasm = std::env::var("GAUGEWAY_WASM").expect("GAUGEWAY_WASM is not set: run ./build.sh test mesh");
        let mut yaml = fs::read_to_string(path("envoy/budget/envoy.yaml")).unwrap();
        for (from, to) in [
            ("port_value: 10000", "port_value: 0".to_owned()),
            ("port_value: 9901", "port_value: 0".to_owned()),
            ("port_value: 8081", format!("port_value: {}", grpc.port())),
            ("port_value: 8080", format!("port_value: {}", upstream.addr.port())),
            ("filename: dist/gaugeway.wasm", format!("filename: {wasm}")),
        ] {
            assert_eq!(yaml.matches(from).count(), 1, "envoy/budget/envoy.yaml must contain {from:?} once");
            yaml = yaml.replace(from, &to);
        }
        let options = Options { concurrency: 2, ..Options::to(upstream.addr) };
        let envoy = Envoy::try_start_as(yaml, &options).await.unwrap_or_else(|error| panic!("{error}"));
        Self { redis, service: Some(service), envoy, _upstream: upstream, _store: store }
    }

    async fn call(&self, fixture: &Fixture, team: Option<&str>, travel: &str) -> u16 {
        send(self.envoy.addr, fixture, team, travel).await
    }

    /// A budget's minute is that of the clock. A test needs less than 30 seconds of one.
    async fn wait_for_most_of_a_minute(&self) {
        let second = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() % 60;
        if second >= 30 {
            tokio::time::sleep(Duration::from_secs(61 - second)).await;
        }
    }

    /// Waits until the service knows that the team has used these tokens. Envoy tells it after the end of a call.
    async fn settled(&self, tokens: u64) {
        let end = Instant::now() + PATIENCE;
        let mut sums = self.sums().await;
        while sums.get("tokens").copied().unwrap_or(0) != tokens {
            assert!(
                Instant::now() < end,
                "{tokens} tokens were used, but the service has {sums:?}: {}",
                self.envoy.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
            sums = self.sums().await;
        }
    }

    /// The use of each budget by the team "search", read from the Redis of the rate limit service.
    async fn sums(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for key in redis(self.redis, "KEYS *").await.iter().filter(|key| key.contains("_team_search_")) {
            let budget = key.strip_prefix("llm_budget_").and_then(|rest| rest.split('_').next()).unwrap_or(key);
            let value = redis(self.redis, &format!("GET {key}")).await;
            *sums.entry(budget.to_owned()).or_default() += value[0].parse::<u64>().unwrap();
        }
        sums
    }
}

async fn send(addr: SocketAddr, fixture: &Fixture, team: Option<&str>, travel: &str) -> u16 {
    let mut headers = vec![("x-upstream", travel)];
    headers.extend(team.map(|team| ("x-team", team)));
    let sent = client::send(addr, client::request(fixture, &headers), Http::One).await;
    sent.unwrap_or_else(|error| panic!("{}: {error}", fixture.id)).status
}

/// The strings in the answer to a command, in Redis' protocol.
async fn redis(addr: SocketAddr, command: &str) -> Vec<String> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    for command in [command, "QUIT"] {
        let (words, count) = (command.split(' '), command.split(' ').count());
        let words: String = words.map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        stream.write_all(format!("*{count}\r\n{words}").as_bytes()).await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let lines: Vec<_> = answer.lines().collect();
    lines.windows(2).filter(|pair| pair[0].starts_with('$')).map(|pair| pair[1].to_owned()).collect()
}
