//! Compares the cost of random calls with the calculator of the package from which the price table was made.

use std::process::Command;

use gaugeway::observation::Quantities;
use gaugeway::signal::cost::PriceTable;
use serde_json::Value;

const CALLS: usize = 2000;
/// The default seed. GAUGEWAY_SEED sets another one.
const SEED: &str = "gaugeway";

#[test]
fn costs_match_the_price_tables_source_to_the_nano_dollar() {
    let table = PriceTable::bundled().unwrap();
    let seed = std::env::var("GAUGEWAY_SEED").unwrap_or_else(|_| SEED.to_owned());
    println!("GAUGEWAY_SEED='{seed}'");
    let said = calculator(&["cases", &seed, &CALLS.to_string(), &table.date().to_string()]);
    let mut lines = said.lines();
    let version = lines.next().unwrap();
    let file: Value = serde_json::from_str(include_str!("../../src/signal/prices.json")).unwrap();
    let source = &file["source"];
    assert_eq!(
        *source,
        format!("genai-prices {version}"),
        "the price table is from {source}, but genai-prices {version} is installed"
    );

    let calls: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(calls.len(), CALLS);
    let wrong: Vec<String> = calls.iter().filter_map(|call| difference(&table, call)).collect();
    let shown = wrong.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(
        wrong.is_empty(),
        "the cost of {} of {CALLS} calls differs with GAUGEWAY_SEED='{seed}':\n{shown}",
        wrong.len()
    );
    let paid = calls.iter().filter(|call| call["nanousd"] != 0).count();
    assert!(paid > CALLS * 3 / 4, "only {paid} of {CALLS} calls have a cost");
}

/// Adds one of a quantity.
type Add = fn(&mut Quantities<'_>);

#[test]
fn every_model_is_priced_with_its_quantities_and_partial_with_one_more() {
    let table = PriceTable::bundled().unwrap();
    let said = calculator(&["models", &table.date().to_string()]);
    let calls: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(calls.len() > 1500, "only {} models", calls.len());
    let wrong: Vec<String> = calls.iter().filter_map(|call| difference(&table, call)).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), calls.len(), wrong.join("\n"));
    // Reasoning and citations are output, and are billed as such without a rate of their own.
    let more: [(&str, &str, Add); 9] = [
        ("cache_read", "cache_read_tokens", |q| (q.input, q.cached) = (q.input + 1, q.cached + 1)),
        ("cache_write", "cache_write_tokens", |q| (q.input, q.cache_write) = (q.input + 1, q.cache_write + 1)),
        ("input_audio", "input_audio_tokens", |q| (q.input, q.input_audio) = (q.input + 1, q.input_audio + 1)),
        ("output_audio", "output_audio_tokens", |q| (q.output, q.output_audio) = (q.output + 1, q.output_audio + 1)),
        ("output_image", "output_image_tokens", |q| (q.output, q.output_image) = (q.output + 1, q.output_image + 1)),
        ("web_search", "web_searches", |q| q.web_searches += 1),
        ("file_search", "storage_searches", |q| q.file_searches += 1),
        ("code_execution", "", |q| q.code_runs += 1),
        ("service_tier", "", |q| q.tier = "unheard-of"),
    ];
    let mut partial = 0;
    for call in &calls {
        let (provider, model) = on_the_wire(call["provider"].as_str().unwrap(), call["model"].as_str().unwrap());
        let price = table.find(&provider, &model).unwrap().without_supplements();
        let unpriced = |used: &Quantities<'_>| price.bill(used).unpriced.names().collect::<Vec<_>>();
        assert_eq!(unpriced(&quantities(call)), Vec::<&str>::new(), "{call}");
        // Parts of free tokens are free too.
        let is_free = call["nanousd"] == 0;
        for (name, quantity, add) in more.into_iter().filter(|(_, quantity, _)| call["usage"][*quantity].is_null()) {
            let mut used = quantities(call);
            add(&mut used);
            assert!(unpriced(&used).contains(&name) || is_free && quantity.ends_with("tokens"), "{name}: {call}");
            partial += 1;
        }
    }
    assert!(partial > calls.len() * 6, "{partial} in {} calls", calls.len());
}

fn calculator(args: &[&str]) -> String {
    let python = std::env::var("GAUGEWAY_GENAI_PRICES")
        .expect("GAUGEWAY_GENAI_PRICES is not set to a Python with genai-prices: run ./build.sh test release");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/release/prices.py");
    let run =
        Command::new(&python).arg(script).args(args).output().unwrap_or_else(|e| panic!("cannot start {python}: {e}"));
    assert!(run.status.success(), "{script} failed:\n{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

/// The difference between the plugin's cost of a call and the calculator's, or None.
fn difference(table: &PriceTable, call: &Value) -> Option<String> {
    let (provider, model) = on_the_wire(call["provider"].as_str().unwrap(), call["model"].as_str().unwrap());
    let ours = table.find(&provider, &model).map(|price| price.without_supplements().bill(&quantities(call)).total());
    (ours != call["nanousd"].as_u64()).then(|| format!("{ours:?} for {call} ({model} at {provider})"))
}

fn quantities(call: &Value) -> Quantities<'_> {
    let count = |key: &str| call["usage"][key].as_u64().unwrap_or_default();
    Quantities {
        input: count("input_tokens"),
        cached: count("cache_read_tokens"),
        cache_write: count("cache_write_tokens"),
        cache_write_1h: count("cache_write_1h_tokens"),
        input_audio: count("input_audio_tokens"),
        cached_audio: count("cache_audio_read_tokens"),
        input_image: count("input_image_tokens"),
        cached_image: count("cache_image_read_tokens"),
        input_video: count("input_video_tokens"),
        output: count("output_tokens"),
        reasoning: count("output_reasoning_tokens"),
        citations: count("output_citation_tokens"),
        output_audio: count("output_audio_tokens"),
        output_image: count("output_image_tokens"),
        output_video: count("output_video_tokens"),
        web_searches: count("web_searches"),
        file_searches: count("storage_searches"),
        audio_seconds: count("audio_seconds"),
        tier: call["tier"].as_str().unwrap(),
        at: call["at"].as_u64().unwrap(),
        ..Quantities::default()
    }
}

/// The provider as `gen_ai.provider.name`, and the model as a client names it.
fn on_the_wire(provider: &str, model: &str) -> (String, String) {
    let name = match provider {
        "aws" => "aws.bedrock",
        "azure" => "azure.ai.openai",
        "google" => "gcp.gemini",
        "mistral" => "mistral_ai",
        "moonshotai" => "moonshot_ai",
        "together" => "together_ai",
        other => match other.strip_prefix("huggingface_") {
            Some(host) => return ("hugging_face".into(), format!("{model}:{host}")),
            None => return (other.replace('-', "_"), model.into()),
        },
    };
    (name.into(), model.into())
}
