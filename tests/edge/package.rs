//! The JavaScript package as published: its size, its imports, its types and the code in its README.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::support::edge::{binary, package, project};
use flate2::Compression;
use flate2::write::GzEncoder;
use gaugeway::sink::attributes::{ATTRIBUTES, AttributeType};
use gaugeway::sink::stats::{METRICS, MetricKind};

#[test]
fn the_wasm_is_under_456_kib_and_under_184_kib_gzipped() {
    let wasm = fs::read(package().join("core_bg.wasm")).unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&wasm).unwrap();
    let gzipped = gzip.finish().unwrap().len();
    println!("core_bg.wasm: {} bytes, {gzipped} gzipped", wasm.len());
    assert!(
        wasm.len() < 456 << 10 && gzipped < 184 << 10,
        "core_bg.wasm is too large: {} bytes, {gzipped} gzipped",
        wasm.len()
    );
    let folder = env!("CARGO_MANIFEST_DIR").as_bytes();
    assert!(
        !wasm.windows(folder.len()).any(|bytes| bytes == folder),
        "core_bg.wasm contains the path of the build folder"
    );
}

#[test]
fn the_package_does_not_use_eval() {
    for file in fs::read_dir(package()).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "js") {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!text.contains("eval(") && !text.contains("new Function"), "{}", file.display());
        }
    }
}

#[test]
fn index_d_ts_lists_every_attribute_with_the_documentation_of_the_table() {
    let types = fs::read_to_string(package().join("index.d.ts")).unwrap();
    for attribute in ATTRIBUTES {
        let told = types.lines().zip(types.lines().skip(1)).any(|(doc, member)| {
            doc == format!("  /** {} */", attribute.doc)
                && member.trim_start().starts_with(&format!("'{}'", attribute.name))
        });
        assert!(told, "index.d.ts lacks:\n  /** {} */\n  '{}'", attribute.doc, attribute.name);
    }
    let interface = types.split("export interface Observation {").nth(1).unwrap().split("\n}").next().unwrap();
    assert_eq!(interface.matches("/**").count(), ATTRIBUTES.len(), "index.d.ts lists attributes that do not exist");
}

#[test]
fn otlp_js_lists_all_real_attributes_and_the_buckets_of_all_histograms() {
    let otlp = fs::read_to_string(package().join("otlp.js")).unwrap();
    let doubles = otlp.split("new Set([").nth(1).unwrap().split("])").next().unwrap();
    let real = ATTRIBUTES.iter().filter(|attribute| attribute.kind() == AttributeType::Double);
    let mut real: Vec<_> = real.map(|attribute| attribute.name).collect();
    real.sort_unstable();
    let told: Vec<_> = doubles.split('\'').skip(1).step_by(2).collect();
    assert_eq!(
        told, real,
        "DOUBLES of otlp.js (left) must be the attributes of the type double (right) in alphabetical order"
    );
    let yaml = fs::read_to_string(root().join("envoy/envoy.yaml")).unwrap();
    for metric in METRICS.iter().filter(|metric| metric.kind == MetricKind::Histogram) {
        assert!(otlp.contains(&format!("\n  {}:", metric.name)), "otlp.js has no buckets for {}", metric.name);
        assert!(yaml.contains(&format!("wasmcustom.{}", metric.name)), "envoy.yaml has no buckets for {}", metric.name);
    }
}

#[test]
fn the_code_in_the_readme_type_checks_and_runs() {
    let folder = project();
    let mut shown = 0;
    let readme = fs::read_to_string(root().join("edge/README.md")).unwrap();
    for code in readme.split("```js\n").skip(1).map(|part| part.split("```").next().unwrap()) {
        // Removes the parameters' types, which JavaScript does not have.
        let code = code.replace(
            "handle(request, options)",
            "handle(/** @type {Request} */ request, /** @type {import('gaugeway').Options} */ options)",
        );
        fs::write(folder.join(format!("readme-{shown}.js")), code).unwrap();
        shown += 1;
    }
    assert!(shown > 2, "the README must have more than 2 code examples, not {shown}");
    assert_eq!(type_errors(&folder), "");

    // Runs the first example in a folder where its imports resolve through the package's exports.
    let node = std::env::var("GAUGEWAY_NODE").unwrap();
    let output = Command::new(node).arg(folder.join("readme-0.js")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    drop(fs::remove_dir_all(folder));
}

#[test]
fn the_types_accept_exactly_the_keys_of_the_configuration() {
    let folder = project();
    let config = fs::read_to_string(root().join("envoy/config.json")).unwrap();
    let typed = |config: &str| {
        format!(
            "import type {{Configuration}} from 'gaugeway';\nexport const whole: Required<Configuration> = {config};\n"
        )
    };
    fs::write(folder.join("config.ts"), typed(&config)).unwrap();
    assert_eq!(type_errors(&folder), "");
    fs::write(folder.join("config.ts"), typed(&config.replacen("slots", "slot", 1))).unwrap();
    let said = type_errors(&folder);
    assert!(said.contains("slot\"' does not exist"), "an unknown key must be a type error: {said}");
    drop(fs::remove_dir_all(folder));
}

/// The type errors that TypeScript reports for the scripts in a folder.
fn type_errors(folder: &Path) -> String {
    let config = r#"{"compilerOptions": {"allowJs": true, "checkJs": true, "noEmit": true, "strict": true, "target": "es2024",
        "module": "nodenext", "moduleResolution": "nodenext", "lib": ["es2024", "dom", "dom.iterable"], "types": [],
        "noImplicitAny": true}, "include": ["readme-*.js", "config.ts"]}"#;
    fs::write(folder.join("tsconfig.json"), config).unwrap();
    let mut tsc = Command::new(binary("@typescript/typescript-*/lib/tsc"));
    let output = tsc.arg("--project").arg(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.success(), said.is_empty(), "{said}");
    said
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
