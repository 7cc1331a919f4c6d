//! Measures the cost of the plugin: the CPU time of Envoy per request with the plugin, divided by that of the same
//! Envoy without it, in one interleaved run.
//!
//! Every variant is a separate Envoy with one worker, and all run at the same time. In each round every variant runs
//! every work for a short time, in random order. A ratio compares two variants in the same round; the table shows the
//! median. `none again` is a second Envoy without the plugin: the distance of its ratio from 1 is the noise. If
//! `taskset` is available, all Envoys run on the first CPU and the load on the second, because a worker that moves
//! between CPUs loses its caches.

mod load;
mod works;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use gaugeway_demo::client;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use works::Work;

struct Arguments {
    works: String,
    rounds: usize,
    seconds: f64,
    /// Name, plugin and configuration of each variant other than the two without the plugin.
    variants: Vec<(String, String, String)>,
}

const USAGE: &str = "./build.sh bench [--works a,b,..] [--rounds N] [--seconds S] [--config FILE].. [--plugin FILE]..

--works    the letters of the works to run (default: all)
--rounds   how often each variant runs each work; the table shows the median
--seconds  how long each of these runs takes
--config   adds a variant with that configuration (JSON)
--plugin   adds a variant with another build of the plugin";

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Result<Arguments, String> {
    let plugin = environment("GAUGEWAY_WASM")?;
    let mut found = Arguments {
        works: "abcdefgh".into(),
        rounds: 9,
        seconds: 0.5,
        variants: vec![("gaugeway".into(), plugin.clone(), "{}".into())],
    };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let value = given.next().ok_or_else(|| format!("{name} needs a value"))?;
        let wrong = || format!("{name} {value} is not a number");
        match name.as_str() {
            "--works" => found.works = value,
            "--rounds" => found.rounds = value.parse().map_err(|_| wrong())?,
            "--seconds" => found.seconds = value.parse().map_err(|_| wrong())?,
            "--config" => {
                let config = fs::read_to_string(&value).map_err(|error| format!("cannot read {value}: {error}"))?;
                found.variants.push((value, plugin.clone(), config));
            }
            "--plugin" => found.variants.push((value.clone(), value, "{}".into())),
            _ => return Err(format!("unknown argument {name}; known: --works --rounds --seconds --config --plugin")),
        }
    }
    Ok(found)
}

async fn run() -> Result<(), String> {
    let arguments = arguments()?;
    pin(LOAD, std::process::id()).await;
    let works: Vec<Work> = works::all().into_iter().filter(|work| arguments.works.contains(work.letter)).collect();
    let upstream = load::upstream(&works).await.map_err(|error| format!("upstream: {error}"))?;
    let mut envoys =
        vec![Envoy::start("none", upstream, None).await?, Envoy::start("none again", upstream, None).await?];
    for (name, plugin, config) in &arguments.variants {
        envoys.push(Envoy::start(name, upstream, Some((plugin, config))).await?);
    }
    let time = Duration::from_secs_f64(arguments.seconds);
    // [work][variant][round] in microseconds of CPU per request.
    let mut cells = vec![vec![Vec::new(); envoys.len()]; works.len()];
    let mut order: Vec<(usize, usize)> =
        (0..works.len()).flat_map(|w| (0..envoys.len()).map(move |e| (w, e))).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..=arguments.rounds {
        let what = if round == 0 { "warming up".into() } else { format!("round {round} of {}", arguments.rounds) };
        eprintln!("bench: {what}");
        shuffle(&mut order, &mut random);
        for (work, envoy) in &order {
            let before = envoys[*envoy].cpu()?;
            let (requests, failed) = load::drive(envoys[*envoy].addr, &works[*work], time).await;
            let spent = envoys[*envoy].cpu()? - before;
            if failed > 0 || requests == 0 {
                let name = &envoys[*envoy].name;
                return Err(format!("{failed} of {requests} requests failed ({name}, work {})", works[*work].letter));
            }
            if round > 0 {
                cells[*work][*envoy].push(spent / requests as f64);
            }
        }
    }
    report(&works, &envoys, &cells);
    Ok(())
}

/// The CPUs of the Envoys and of the load.
const ENVOYS: &str = "0";
const LOAD: &str = "1";

/// Binds a process with its current threads to a CPU. Does nothing if that is not possible.
async fn pin(cpu: &str, pid: u32) {
    let mut taskset = Command::new("taskset");
    taskset.args(["-a", "-c", "-p", cpu]).arg(pid.to_string());
    let _ = taskset.stdout(Stdio::null()).stderr(Stdio::null()).status().await;
}

fn report(works: &[Work], envoys: &[Envoy], cells: &[Vec<Vec<f64>>]) {
    println!("CPU time of Envoy per request (median); x: relative to Envoy without the plugin in the same round");
    for (work, cells) in works.iter().zip(cells) {
        let events = if work.events > 0 { format!(", {} events", work.events) } else { String::new() };
        println!(
            "\n({}) {}: request of {} bytes, response of {} bytes{events}",
            work.letter,
            work.name,
            work.request.len(),
            work.response.len()
        );
        for (envoy, cell) in envoys.iter().zip(cells) {
            let ratio = median(cell.iter().zip(&cells[0]).map(|(with, without)| with / without));
            let spent = median(cell.iter().copied());
            let added = median(cell.iter().zip(&cells[0]).map(|(with, without)| with - without));
            let each = if work.events > 0 {
                format!("  {:+.2} us per event", added / f64::from(work.events))
            } else {
                String::new()
            };
            println!("    {:<24} {spent:8.1} us  x {ratio:.2}{each}", envoy.name);
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn shuffle<T>(items: &mut [T], random: &mut u64) {
    for at in (1..items.len()).rev() {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(at, (*random >> 33) as usize % (at + 1));
    }
}

/// An Envoy that only does what is measured: no access log, no tracing.
struct Envoy {
    name: String,
    addr: SocketAddr,
    child: Child,
    folder: PathBuf,
}

impl Envoy {
    async fn start(name: &str, upstream: SocketAddr, plugin: Option<(&str, &str)>) -> Result<Self, String> {
        let number =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let folder = std::env::temp_dir().join(format!("gaugeway-bench-{}-{number}", std::process::id()));
        let (config, admin) = (folder.join("envoy.json"), folder.join("admin"));
        let written =
            fs::create_dir_all(&folder).and_then(|()| fs::write(&config, bootstrap(upstream, plugin).to_string()));
        written.map_err(|error| format!("{}: {error}", folder.display()))?;
        let child = Command::new(environment("GAUGEWAY_ENVOY")?)
            .arg("--config-path")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin)
            .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start Envoy: {error}"))?;
        if let Some(pid) = child.id() {
            pin(ENVOYS, pid).await;
        }
        let mut envoy = Envoy { name: name.to_owned(), addr: upstream, child, folder };
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end {
            if let Ok(Some(status)) = envoy.child.try_wait() {
                return Err(format!("Envoy ({name}) ended while starting, with {status}: see its log above"));
            }
            let admin = fs::read_to_string(&admin).ok().and_then(|addr| addr.trim().parse().ok());
            if let Some(admin) = admin
                && client::get(admin, "/ready").await.is_ok_and(|reply| reply.status == 200)
                && let Ok(listeners) = client::get(admin, "/listeners?format=json").await
                && let Ok(listeners) = serde_json::from_slice::<Value>(&listeners.body)
                && let Some(port) =
                    listeners["listener_statuses"][0]["local_address"]["socket_address"]["port_value"].as_u64()
            {
                envoy.addr.set_port(u16::try_from(port).unwrap_or_default());
                return Ok(envoy);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(format!("Envoy ({name}) was not ready after 60 s"))
    }

    /// CPU time of all threads in microseconds.
    fn cpu(&self) -> Result<f64, String> {
        let pid = self.child.id().ok_or_else(|| format!("Envoy ({}) has ended", self.name))?;
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| format!("/proc: {error}"))?;
        let nanos = tasks.flatten().map(|task| {
            let schedstat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            schedstat.split(' ').next().and_then(|spent| spent.parse().ok()).unwrap_or(0.0)
        });
        let nanos: f64 = nanos.sum();
        if nanos > 0.0 {
            return Ok(nanos / 1000.0);
        }
        // Fallback for kernels without schedstat: ticks of 10 ms.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|error| format!("/proc: {error}"))?;
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        Ok(fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10_000.0)
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn bootstrap(upstream: SocketAddr, plugin: Option<(&str, &str)>) -> Value {
    let address = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let http = "type.googleapis.com/envoy.extensions.filters.http";
    let mut filters = vec![json!({"name": "envoy.filters.http.router",
        "typed_config": {"@type": format!("{http}.router.v3.Router")}})];
    if let Some((file, config)) = plugin {
        let vm = json!({"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": file}}});
        let value = json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config});
        let config = json!({"name": "gaugeway", "root_id": "gaugeway", "vm_config": vm, "configuration": value});
        let typed = json!({"@type": format!("{http}.wasm.v3.Wasm"), "config": config});
        filters.insert(0, json!({"name": "gaugeway", "typed_config": typed}));
    }
    let routes = json!({"name": "route", "virtual_hosts": [{"name": "llm", "domains": ["*"],
        "routes": [{"name": "chat", "match": {"prefix": "/"}, "route": {"cluster": "llm", "timeout": "0s"}}]}]});
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress", "codec_type": "HTTP1", "route_config": routes, "http_filters": filters});
    let chain =
        json!({"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]});
    json!({
        "admin": {"address": address(0)},
        "static_resources": {
            "listeners": [{"name": "llm", "address": address(0), "filter_chains": [chain]}],
            "clusters": [{"name": "llm", "type": "STATIC", "connect_timeout": "5s", "load_assignment": {
                "cluster_name": "llm",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream.port())}}]}]}}]}})
}

fn environment(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("{name} is not set: run ./build.sh bench"))
}
