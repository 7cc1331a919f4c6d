//! The playground in a real browser: what it shows is what the fixtures' observations say, and it asks nobody for anything.

use std::path::Path;
use std::process::Command;

#[test]
fn the_playground_shows_what_the_core_sees_and_keeps_it_to_itself() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let node = std::env::var("GAUGEWAY_NODE").expect("GAUGEWAY_NODE is set by ./build.sh test");
    let output = Command::new(node)
        .args(["--test", "--test-reporter=spec"])
        .arg(tests.join("edge/playground/page.mjs"))
        .env("GAUGEWAY_FIXTURES", tests.join("fixtures"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
