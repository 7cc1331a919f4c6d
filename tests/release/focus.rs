//! envoy/focus.py: a real Envoy with the plugin replays the fixtures, and PyPI's focus-validator checks the rows that the program
//! makes of its access log.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::client;
use crate::support::envoy::{Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::upstream::Upstream;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_validator_accepts_the_costs_of_a_real_access_log_and_their_sum_is_exact() {
    let entries = access_log().await;
    let log: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
    let made = export(&[], log.as_bytes());
    let rows = rows(&made);

    let mut costs: BTreeMap<&str, u128> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry["gaugeway.cost.status"].is_string()) {
        let cost = nanos(&text(&entry["gaugeway.cost.usd"]));
        *costs.entry(entry["gaugeway.cost.status"].as_str().unwrap()).or_default() += cost;
    }
    let mut exported: BTreeMap<&str, u128> = BTreeMap::new();
    for row in &rows {
        *exported.entry(&row["x_CostStatus"]).or_default() += nanos(&row["BilledCost"]);
    }
    assert_eq!(exported, costs);
    assert!(costs["priced"] > 0 && costs["reported"] > 0 && costs.contains_key("unpriced"), "{costs:?}");
    let parts: BTreeSet<_> = rows.iter().map(|row| row["SkuMeter"].as_str()).collect();
    assert!(parts.len() > 8, "{parts:?}");
    assert!(!parts.contains("Other"), "the parts of a cost are not the whole cost");

    let folder = Folder::new("focus");
    let file = folder.0.join("focus.csv");
    fs::write(&file, &made.stdout).unwrap();
    assert_eq!(validate(&file), "Validation succeeded.");
    let text = String::from_utf8(made.stdout).unwrap();
    fs::write(&file, text.replacen("USD", "U$D", 1).replacen("2026-", "26-", 1)).unwrap();
    assert!(validate(&file).contains("BillingCurrency_IsCurrencyCode failed"), "{}", validate(&file));
}

#[test]
fn the_hours_of_a_model_are_summed_by_part_and_calls_without_a_price_say_so() {
    let call = |time: &str, more: Value| {
        let mut entry = json!({
            "start_time": time, "route": "llm", "team": "red", "gen_ai.provider.name": "openai",
            "gen_ai.operation.name": "chat", "gen_ai.response.model": "m", "gaugeway.cost.status": "priced",
            "gen_ai.usage.input_tokens": "10", "gen_ai.usage.output_tokens": "5",
        });
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry.to_string() + "\n"
    };
    let paid = json!({
        "gen_ai.usage.cache_read.input_tokens": "4", "gaugeway.cost.usd": "0.000000003",
        "gaugeway.cost.input.usd": "0.000000001", "gaugeway.cost.output.usd": "0.000000002",
    });
    let log = [
        call("2026-12-31T23:00:00.000Z", paid.clone()),
        call("2026-12-31T23:59:59.999Z", paid.clone()),
        call("2026-12-31T22:59:59.999Z", json!({"gaugeway.cost.usd": 1.5e-7, "gaugeway.cost.status": "reported"})),
        call("2026-12-31T23:00:00.000Z", json!({"gaugeway.cost.status": "unpriced", "gen_ai.response.model": "=x"})),
        call("2026-12-31T23:00:00.000Z", json!({"gaugeway.cost.status": null})),
        call("yesterday", paid.clone()),
        call("2026-12-31T23:00:00.000Z", json!({"gaugeway.cost.usd": "-1"})),
        call("2026-12-31T23:00:00.000Z", json!({"gaugeway.cost.usd": "much"})),
        call("2026-12-31T23:00:00.000Z", json!({"gaugeway.cost.usd": "1e-99999999"})),
        call("2026-12-31T23:00:00.000Z", json!({"gen_ai.usage.input_tokens": "1.5"})),
        "{\n".to_owned(),
        format!("\"{}\"\n", "x".repeat(3 << 20)),
        "\n".to_owned(),
    ]
    .concat();
    let made = export(&["--account", "acct", "--tag", "team"], log.as_bytes());
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    for line in [
        "4 calls cost 0.000000156 USD; 1 lines are not calls with a cost or usage",
        "1 calls are unpriced (cost unknown: no price for the model)",
        "7 lines could not be read; line 6: no time in start_time: 'yesterday'",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let rows = rows(&made);
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            ["ChargePeriodStart", "SkuId", "ConsumedQuantity", "BilledCost", "x_CallCount"]
                .map(|name| row[name].as_str())
        })
        .collect();
    let hour = "2026-12-31T23:00:00Z";
    assert_eq!(
        told,
        [
            ["2026-12-31T22:00:00Z", "openai/m/call", "15.0", "0.00000015", "1"],
            [hour, "openai/=x/input", "10.0", "0.0", "1"],
            [hour, "openai/=x/output", "5.0", "0.0", "1"],
            [hour, "openai/m/cache_read", "8.0", "0.0", "2"],
            [hour, "openai/m/input", "12.0", "0.000000002", "2"],
            [hour, "openai/m/output", "10.0", "0.000000004", "2"],
        ]
    );
    assert_eq!(rows[1]["ChargeDescription"], "Input Tokens of =x (cost unknown: no price for the model)");
    assert_eq!(rows[1]["x_CostStatus"], "unpriced");
    for row in &rows {
        let period = (row["BillingPeriodStart"].as_str(), row["BillingPeriodEnd"].as_str());
        assert_eq!(period, ("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"));
        assert_eq!(row["BillingAccountId"], "acct");
        for name in ["ProviderName", "PublisherName", "InvoiceIssuerName"] {
            assert_eq!(row[name], "OpenAI", "{name}");
        }
        let tags: Value = serde_json::from_str(&row["Tags"]).unwrap();
        assert_eq!((&tags["team"], &tags["route"]), (&json!("red"), &json!("llm")));
        assert!(row.values().all(|cell| !cell.starts_with(['=', '+', '-', '@'])), "{row:?}");
    }
}

#[test]
fn names_that_clients_invent_do_not_grow_its_memory() {
    let peak = |calls: usize| {
        // With fewer rows than usual, so that a short log has too many.
        let program = format!(
            "import sys\nsys.path.insert(0, {:?})\nimport focus\nfocus.ROWS, sys.argv = 1000, ['focus.py']\nfocus.main()\n\
             sys.stderr.write(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')))",
            Path::new(&path()).parent().unwrap()
        );
        let log: String = (0..calls)
            .map(|n| {
                let model = format!("m{n}{}", "x".repeat(if n < 20 { 500_000 } else { 0 }));
                format!(
                    "{{\"start_time\":\"2026-11-29T00:00:00Z\",\"gen_ai.provider.name\":\"openai\",\
                     \"gen_ai.request.model\":\"{model}\",\"gaugeway.cost.status\":\"no_usage\"}}\n"
                )
            })
            .collect();
        let made = run(Command::new("python3").args(["-B", "-c", &program]), log.as_bytes());
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert_eq!(made.stdout.iter().filter(|byte| **byte == b'\n').count(), calls + 1, "{said}");
        said.split_whitespace().rev().nth(1).unwrap().parse::<usize>().unwrap_or_else(|_| panic!("{said}"))
    };
    let (some, many) = (peak(1_500), peak(30_000));
    assert!(many < some + some / 5, "{some} KB for 1,500 models, {many} KB for 30,000");
}

/// The access log of an Envoy with the plugin after one call for each fixture.
async fn access_log() -> Vec<Value> {
    let fixtures = Fixture::all();
    let upstream = Upstream::start(fixtures.clone()).await;
    let envoy = Envoy::start(&Options::to(upstream.addr)).await;
    for fixture in &fixtures {
        client::replay(envoy.addr, fixture, &[]).await;
    }
    let entries = envoy.entries_of(fixtures.len(), PATIENCE).await;
    assert_eq!(entries.len(), fixtures.len(), "{}", envoy.log());
    entries
}

/// Runs the program on a log.
fn export(arguments: &[&str], log: &[u8]) -> Output {
    let made = run(Command::new("python3").arg(path()).args(arguments), log);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    made
}

fn run(command: &mut Command, input: &[u8]) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = command.spawn().expect("cannot start python3");
    let mut pipe = program.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || pipe.write_all(&input));
    let output = program.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    output
}

fn path() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/envoy/focus.py").to_owned()
}

/// The rows by the names of their columns, as Python's csv module reads them.
fn rows(made: &Output) -> Vec<BTreeMap<String, String>> {
    let read = "import csv, json, sys; print(json.dumps(list(csv.DictReader(sys.stdin))))";
    let read = run(Command::new("python3").args(["-c", read]), &made.stdout);
    serde_json::from_slice(&read.stdout).unwrap()
}

/// What focus-validator says about a file.
fn validate(file: &Path) -> String {
    let python = std::env::var("GAUGEWAY_FOCUS")
        .expect("GAUGEWAY_FOCUS is not set to a Python with focus-validator: run ./build.sh test release");
    // The validator reads its list of currencies from a path relative to the folder in which it is installed.
    let start = "import os, sys, focus_validator.main as m\n\
                 os.chdir(os.path.dirname(os.path.dirname(m.__file__)))\nm.main()";
    let arguments = ["-c", start, "--validate-version", "1.0", "--data-file", file.to_str().unwrap()];
    let said = run(Command::new(python).args(arguments), b"");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

/// A number of US dollars in nano-dollars. An absent cost is 0.
fn nanos(dollars: &str) -> u128 {
    let (whole, fraction) = dollars.split_once('.').unwrap_or((dollars, ""));
    assert!(fraction.len() <= 9, "{dollars}");
    format!("{whole}{fraction:0<9}").parse().unwrap()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "0".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A folder that is deleted at the end.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("gaugeway-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
