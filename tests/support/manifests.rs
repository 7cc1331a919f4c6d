//! Reads YAML files as JSON values and validates them against their schemas, both with tests/manifests/check.py.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The documents in a file of the repository.
pub fn documents(file: &str) -> Vec<Value> {
    let output = check(&["json", path(file).to_str().unwrap()]);
    assert!(output.status.success(), "{file}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The only document of that kind in a file.
pub fn resource(file: &str, kind: &str) -> Value {
    let fitting: Vec<_> = documents(file).into_iter().filter(|one| one["kind"] == kind).collect();
    assert_eq!(fitting.len(), 1, "{file} must have one {kind}, not {}", fitting.len());
    fitting.into_iter().next().unwrap()
}

/// Validates a file against the schema of Docker Compose files and returns the errors, or an empty string.
pub fn compose_errors(file: &Path) -> String {
    errors(&["compose", file.to_str().unwrap()])
}

/// Validates a file against the schemas of the Kubernetes resources in the repository and returns the errors, or an
/// empty string.
pub fn resource_errors(file: &Path) -> String {
    errors(&["crd", path("tests/manifests/schemas").to_str().unwrap(), file.to_str().unwrap()])
}

pub fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn errors(arguments: &[&str]) -> String {
    let output = check(arguments);
    let said = said(&output).trim().to_owned();
    assert_eq!(output.status.success(), said.is_empty(), "check.py {arguments:?}: {said}");
    said
}

fn check(arguments: &[&str]) -> Output {
    let python = std::env::var("GAUGEWAY_MANIFESTS")
        .unwrap_or_else(|_| panic!("GAUGEWAY_MANIFESTS is not set: run ./build.sh test manifests"));
    Command::new(python).arg(path("tests/manifests/check.py")).args(arguments).output().expect("cannot start python")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
