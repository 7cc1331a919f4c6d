//! A real Prometheus with the shipped configuration and rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::panels::{is_known, metrics, read, recorded};
use crate::support::client;
use crate::translated::series_of;
use gaugeway::sink::stats::{METRICS, RPC_METRICS};
use serde_json::Value;
use tokio::process::{Child, Command};

/// A Prometheus with the shipped configuration. Only its targets and the intervals of scrapes and evaluations are changed.
pub struct Prometheus {
    addr: SocketAddr,
    folder: PathBuf,
    _process: Child,
}

impl Prometheus {
    /// With the shipped rules, and a scrape each second.
    pub async fn start(targets: &[SocketAddr]) -> Self {
        Self::start_with(targets, "1s", |rules| rules.to_owned()).await
    }

    /// `change` is applied to the shipped rules.
    pub async fn start_with(targets: &[SocketAddr], interval: &str, change: impl Fn(&str) -> String) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("gaugeway-prometheus-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let targets: Vec<_> = targets.iter().map(|target| format!("\"{target}\"")).collect();
        let mut yaml = read("envoy/prometheus/prometheus.yml");
        for (from, to) in [
            ("\"127.0.0.1:9901\"", targets.join(", ").as_str()),
            ("scrape_interval: 15s", &*format!("scrape_interval: {interval}")),
            ("evaluation_interval: 15s", &*format!("evaluation_interval: {interval}")),
        ] {
            assert_eq!(yaml.matches(from).count(), 1, "prometheus.yml must have {from} once");
            yaml = yaml.replace(from, to);
        }
        fs::write(folder.join("prometheus.yml"), yaml).unwrap();
        for rules in ["recording.yml", "alerts.yml"] {
            fs::write(folder.join(rules), change(&read(&format!("envoy/prometheus/{rules}")))).unwrap();
        }

        let addr = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let process = Command::new(tool("prometheus"))
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={addr}"))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("cannot start prometheus");
        let started = Self { addr, folder, _process: process };
        let end = Instant::now() + Duration::from_secs(30);
        while !client::get(addr, "/-/ready").await.is_ok_and(|reply| reply.status == 200) {
            assert!(
                Instant::now() < end,
                "Prometheus does not start:\n{}",
                fs::read_to_string(started.folder.join("log")).unwrap()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        started
    }

    async fn api(&self, path: &str) -> Value {
        let reply = client::get(self.addr, path).await.expect("Prometheus did not answer");
        let body: Value = serde_json::from_slice(&reply.body).expect("Prometheus did not answer with JSON");
        assert_eq!(body["status"], "success", "{path}: {}", body["error"]);
        body["data"].clone()
    }

    pub async fn query(&self, promql: &str) -> Value {
        let escaped: String = promql.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.api(&format!("/api/v1/query?query={escaped}")).await["result"].clone()
    }

    /// The finite values of an expression's series.
    pub async fn numbers(&self, promql: &str) -> Vec<f64> {
        let result = self.query(promql).await;
        let values = result.as_array().unwrap().iter().filter_map(|one| one["value"][1].as_str()?.parse().ok());
        values.filter(|value: &f64| value.is_finite()).collect()
    }

    /// The Envoys for which the crash alert is firing.
    pub async fn crashed(&self) -> BTreeSet<String> {
        let result = self.query("ALERTS{alertname=\"GaugewayCrashed\",alertstate=\"firing\"}").await;
        let labels = result.as_array().unwrap().iter().map(|one| one["metric"]["instance"].as_str());
        labels.map(|instance| instance.expect("the alert has no label instance").to_owned()).collect()
    }

    pub async fn bounds(&self, metric: &str) -> BTreeSet<String> {
        let result = self.query(&format!("group by (le) ({metric}_seconds_bucket)")).await;
        result.as_array().unwrap().iter().map(|one| one["metric"]["le"].as_str().unwrap().to_owned()).collect()
    }

    pub async fn all_rules_are_healthy_and_name_what_exists(&self) {
        let recorded = &recorded("envoy/prometheus/recording.yml") | &recorded("envoy/prometheus/alerts.yml");
        let rules = self.api("/api/v1/rules").await;
        let rules: Vec<_> =
            rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
        assert!(rules.len() > 40, "only {} rules are loaded", rules.len());
        let text = |rule: &Value, key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        let by_name: BTreeMap<_, _> = rules.iter().map(|rule| (text(rule, "name"), text(rule, "query"))).collect();
        for rule in rules {
            let (name, promql) = (rule["name"].as_str().unwrap(), rule["query"].as_str().unwrap());
            assert_eq!(rule["health"], "ok", "{name}: {}", rule["lastError"]);
            for metric in metrics(promql) {
                let by_otlp = METRICS.iter().chain(RPC_METRICS).flat_map(series_of).any(|known| known == metric);
                assert!(by_otlp || is_known(&metric, &recorded), "{name}: the metric {metric} does not exist");
            }
            if rule["type"] != "alerting" {
                continue;
            }
            // Includes the rules that the expression builds on, because they decide which labels remain.
            let inner = metrics(promql).into_iter().filter_map(|metric| by_name.get(&metric));
            let whole = [promql].into_iter().chain(inner.map(String::as_str)).collect::<Vec<_>>().join("\n");
            let notes: BTreeMap<_, _> = rule["annotations"].as_object().unwrap().iter().collect();
            for key in ["summary", "description"] {
                let note = notes.get(&key.to_owned()).and_then(|note| note.as_str()).unwrap_or_default();
                assert!(note.len() > 20, "{name} has no annotation {key}");
                for label in note.split("$labels.").skip(1) {
                    let label = label.split([' ', '}']).next().unwrap();
                    assert!(
                        whole.contains(label) || !whole.contains("sum"),
                        "{name}: {key} names the label {label}, which {whole} drops"
                    );
                }
            }
            assert!(
                ["warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap_or_default()),
                "{name}"
            );
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// A program of the Prometheus project.
pub fn tool(name: &str) -> PathBuf {
    let folder = std::env::var("GAUGEWAY_PROMETHEUS")
        .expect("GAUGEWAY_PROMETHEUS is not set to a folder with prometheus and promtool: run ./build.sh test");
    PathBuf::from(folder).join(name)
}

/// Rules with all durations divided: windows, offsets and `for`.
pub fn faster(rules: &str, by: u64) -> String {
    let mut out = String::new();
    let mut rest = rules;
    while let Some((at, start)) =
        ["[", "offset ", "for: "].iter().filter_map(|start| Some((rest.find(start)?, start))).min()
    {
        let (before, after) = rest.split_at(at + start.len());
        out.push_str(before);
        rest = after;
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let seconds = match after[digits..].chars().next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86400,
            _ => continue,
        };
        if let Ok(number) = after[..digits].parse::<u64>() {
            out.push_str(&format!("{}ms", number * seconds * 1000 / by));
            rest = &after[digits + 1..];
        }
    }
    out + rest
}

#[test]
fn only_durations_change_in_the_faster_rules() {
    let rules = "expr: sum(rate(a[1h] offset 1d)) > 2 for x\nfor: 15m # 5m\nlabel_replace(a, \"x\", \"[0-9]+[.]\")";
    let expected = "expr: sum(rate(a[30000ms] offset 720000ms)) > 2 for x\nfor: 7500ms # 5m\nlabel_replace(a, \"x\", \"[0-9]+[.]\")";
    assert_eq!(faster(rules, 120), expected);
}
