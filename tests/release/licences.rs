//! The check of the sources and licences of dependencies refuses what it must refuse.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs Python code with the functions of tests/licences.py and returns what it prints.
fn python(code: &str, arguments: &[&str]) -> String {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let output = Command::new("python3")
        .args(["-B", "-c", &format!("import pathlib, sys\nfrom licences import *\n{code}")])
        .args(arguments)
        .env("PYTHONPATH", tests)
        .output()
        .expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a function of the check says about a lock file.
fn problems(function: &str, name: &str, lock: &str) -> String {
    let folder = std::env::temp_dir().join(format!("gaugeway {function} {name} {}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(name);
    fs::write(&file, lock).unwrap();
    let code = format!(
        "import licences\nlicences.ROOT = pathlib.Path(sys.argv[1]).parent\n\
         print(*{function}(pathlib.Path(sys.argv[1])), sep='\\n')"
    );
    let said = python(&code, &[file.to_str().unwrap()]);
    fs::remove_dir_all(&folder).unwrap();
    said.trim().to_owned()
}

#[test]
fn crates_from_elsewhere_and_without_a_checksum_are_refused() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    assert_eq!(problems("cargo_sources", "Cargo.lock", &lock), "");
    let crates_io = "registry+https://github.com/rust-lang/crates.io-index";
    let git = lock.replacen(crates_io, "git+https://example.com/crate?rev=1#1", 1);
    assert!(problems("cargo_sources", "Cargo.lock", &git).contains("comes from git+https://example.com"));
    let other = lock.replacen(crates_io, "registry+https://example.com/index", 1);
    assert!(problems("cargo_sources", "Cargo.lock", &other).contains("comes from registry+https://example.com"));
    let bare = lock.lines().filter(|line| !line.starts_with("checksum")).collect::<Vec<_>>().join("\n");
    assert!(problems("cargo_sources", "Cargo.lock", &bare).contains("has no checksum"));
}

#[test]
fn npm_packages_from_elsewhere_without_a_checksum_or_with_another_licence_are_refused() {
    let package =
        |fields: &str| format!(r#"{{"packages": {{"": {{}}, "node_modules/x": {{"version": "1", {fields}}}}}}}"#);
    let said = |fields| problems("npm_packages", "package-lock.json", &package(fields));
    assert_eq!(said(r#""integrity": "sha512-QQ==", "license": "MIT""#), "");
    assert!(said(r#""license": "MIT""#).contains("has no checksum"));
    let tar = said(r#""integrity": "sha512-QQ==", "license": "MIT", "resolved": "https://example.com/x.tgz""#);
    assert!(tar.contains("comes from https://example.com/x.tgz"), "{tar}");
    assert!(said(r#""integrity": "sha512-QQ==""#).contains("has the licence None"));
    assert!(said(r#""integrity": "sha512-QQ==", "license": "SSPL-1.0""#).contains("has the licence SSPL-1.0"));
}

#[test]
fn expressions_of_licences_are_read_as_spdx_defines_them() {
    for (expression, permitted) in [
        ("MIT", "True"),
        ("GPL-3.0-only", "False"),
        ("GPL-3.0-only OR MIT", "True"),
        ("GPL-3.0-only AND MIT", "False"),
        ("MIT/Apache-2.0", "True"),
        ("(MIT OR GPL-3.0-only) AND (Unicode-3.0)", "True"),
        ("MIT AND GPL-3.0-only OR Zlib", "True"),
        ("GPL-3.0-only OR MIT AND AGPL-3.0-only", "False"),
        ("Apache-2.0 WITH LLVM-exception", "True"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "False"),
        ("(MIT", "False"),
        ("MIT)", "False"),
        ("", "False"),
    ] {
        let found = python("print(permits(sys.argv[1], PERMISSIVE))", &[expression]);
        assert_eq!(found.trim(), permitted, "{expression}");
    }
}
