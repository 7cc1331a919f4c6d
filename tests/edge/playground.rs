//! The playground in a real browser: it must show the fixtures' observations and make no requests after it has loaded. The reader
//! of curl commands alone.

use std::path::Path;
use std::process::Command;

#[test]
fn the_playground_shows_the_cores_observations_and_sends_nothing() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let node = std::env::var("GAUGEWAY_NODE").expect("GAUGEWAY_NODE is not set: run ./build.sh test edge");
    let output = Command::new(node)
        .args(["--test", "--test-reporter=spec"])
        .arg(tests.join("edge/playground/page.mjs"))
        .arg(tests.join("edge/playground/curl.mjs"))
        .env("GAUGEWAY_FIXTURES", tests.join("fixtures"))
        .env("GAUGEWAY_SCREENSHOTS", Path::new(env!("CARGO_TARGET_TMPDIR")).join("look"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
