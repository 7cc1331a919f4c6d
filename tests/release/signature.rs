//! Signing and verifying a release offline, with keys that the test makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A folder with the files of a release, and keys beside it.
struct Release(PathBuf);

impl Release {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("gaugeway {name} {}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        let release = Release(folder);
        fs::create_dir_all(release.files()).unwrap();
        let plugin = std::env::var("GAUGEWAY_WASM").expect("GAUGEWAY_WASM is not set: run ./build.sh test release");
        fs::copy(plugin, release.files().join("gaugeway-1.2.3.wasm")).unwrap();
        for name in ["LICENSE", "NOTICE"] {
            fs::copy(root().join(name), release.files().join(name)).unwrap();
        }
        let provenance = release.provenance();
        fs::write(release.files().join("gaugeway-1.2.3.intoto.json"), provenance).unwrap();
        let sums = "sha256sum -- * >../SHA256SUMS && mv ../SHA256SUMS .";
        let made = Command::new("sh").args(["-c", sums]).current_dir(release.files()).status().unwrap();
        assert!(made.success());
        release
    }

    fn files(&self) -> PathBuf {
        self.0.join("release")
    }

    fn provenance(&self) -> Vec<u8> {
        let arguments = ["1.2.3", &"c".repeat(40), "1.95.0", &"d".repeat(40)];
        let script = root().join("tests/release/provenance.py");
        let output = Command::new("python3").arg(script).args(arguments).arg(self.files()).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        output.stdout
    }

    /// Makes a key, and a file that trusts it.
    fn key(&self, name: &str) -> (PathBuf, PathBuf) {
        let (key, signers) = (self.0.join(name), self.0.join(format!("{name}.signers")));
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&key).status();
        assert!(made.expect("ssh-keygen").success());
        let public = fs::read_to_string(self.0.join(format!("{name}.pub"))).unwrap();
        fs::write(&signers, format!("release@gaugeway namespaces=\"gaugeway-release\" {public}")).unwrap();
        (key, signers)
    }

    fn sign(&self, key: &Path) {
        let output = build(&["sign".as_ref(), &self.files()], Some(key));
        assert!(output.status.success(), "{}", said(&output));
    }

    fn verify(&self, signers: &Path) -> Output {
        build(&["verify".as_ref(), &self.files(), signers], None)
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn build(arguments: &[&Path], key: Option<&Path>) -> Output {
    let mut command = Command::new(root().join("build.sh"));
    command.args(arguments).env_remove("GAUGEWAY_SIGNING_KEY");
    if let Some(key) = key {
        command.env("GAUGEWAY_SIGNING_KEY", key);
    }
    command.output().expect("cannot start build.sh")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn assert_refused(output: &Output, why: &str) {
    assert!(!output.status.success() && said(output).contains(why), "not {why:?}: {}", said(output));
}

#[test]
fn a_changed_byte_in_any_file_of_a_signed_release_is_refused() {
    let release = Release::new("changed");
    let (key, signers) = release.key("owner");
    release.sign(&key);
    let output = release.verify(&signers);
    assert!(output.status.success() && said(&output).contains("is signed by a trusted key"), "{}", said(&output));
    let mut count = 0;
    for file in fs::read_dir(release.files()).unwrap().map(|entry| entry.unwrap().path()) {
        let whole = fs::read(&file).unwrap();
        // The line break after a signature's armour has no meaning.
        let armour = usize::from(file.extension().is_some_and(|name| name == "sig"));
        for place in [0, whole.len() / 2, whole.len() - 1 - armour] {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            fs::write(&file, changed).unwrap();
            assert!(!release.verify(&signers).status.success(), "byte {place} of {} is not checked", file.display());
            count += 1;
        }
        fs::write(&file, whole).unwrap();
    }
    assert_eq!(count, 6 * 3, "the plugin, two texts, the provenance, the checksums and the signature");
    assert!(release.verify(&signers).status.success());
}

#[test]
fn a_file_that_is_missing_or_was_added_is_refused() {
    let release = Release::new("files");
    let (key, signers) = release.key("owner");
    release.sign(&key);
    for added in ["gaugeway-1.2.3-fast.wasm", ".hidden"] {
        fs::write(release.files().join(added), "other").unwrap();
        assert_refused(&release.verify(&signers), &format!("{added} is not part of the release"));
        fs::remove_file(release.files().join(added)).unwrap();
    }
    fs::remove_file(release.files().join("NOTICE")).unwrap();
    assert_refused(&release.verify(&signers), "was changed or is incomplete");
}

#[test]
fn an_unsigned_release_is_reported_as_unsigned() {
    let release = Release::new("unsigned");
    let (key, signers) = release.key("owner");
    assert_refused(&release.verify(&signers), "is not signed");
    assert_refused(&build(&["sign".as_ref(), &release.files()], None), "GAUGEWAY_SIGNING_KEY='' is not a file");
    release.sign(&key);
    assert!(release.verify(&signers).status.success());
}

#[test]
fn a_signature_by_another_key_or_for_another_purpose_is_refused() {
    let release = Release::new("other");
    let (key, signers) = release.key("owner");
    let (other, _) = release.key("other");
    release.sign(&other);
    assert_refused(&release.verify(&signers), "is by a key that is not trusted");
    // The owner's signature of the same bytes, made for something else.
    let sums = release.files().join("SHA256SUMS");
    fs::remove_file(release.files().join("SHA256SUMS.sig")).unwrap();
    let signed =
        Command::new("ssh-keygen").args(["-Y", "sign", "-n", "file", "-f"]).args([&key, &sums]).output().unwrap();
    assert!(signed.status.success(), "{}", said(&signed));
    assert_refused(&release.verify(&signers), "the signature of");
    release.sign(&key);
    assert!(release.verify(&signers).status.success());
}

#[test]
fn the_provenance_is_an_in_toto_statement_of_every_file_and_the_same_each_time() {
    let release = Release::new("provenance");
    let text = fs::read(release.files().join("gaugeway-1.2.3.intoto.json")).unwrap();
    let statement: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let sums = fs::read_to_string(release.files().join("SHA256SUMS")).unwrap();
    let subjects = statement["subject"].as_array().unwrap();
    assert_eq!(subjects.len(), 3, "{subjects:?}");
    for subject in subjects {
        let line = format!("{}  {}", subject["digest"]["sha256"].as_str().unwrap(), subject["name"].as_str().unwrap());
        assert!(sums.lines().any(|sum| sum == line), "{line} is not in {sums}");
    }
    let predicate = &statement["predicate"];
    assert!(predicate["runDetails"]["builder"]["id"].is_string());
    let definition = &predicate["buildDefinition"];
    assert!(definition["buildType"].is_string() && definition["externalParameters"].is_object());
    let inputs = definition["resolvedDependencies"].as_array().unwrap();
    assert_eq!(inputs[0]["digest"]["gitCommit"], "c".repeat(40));
    assert_eq!(inputs[1]["uri"], "pkg:generic/rustc@1.95.0");
    // The lock file has one checksum for each crate of the registry.
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for checksum in lock.lines().filter_map(|line| line.strip_prefix("checksum = ")) {
        let found = inputs.iter().any(|input| format!("{}", input["digest"]["sha256"]) == checksum);
        assert!(found, "no input has the checksum {checksum}");
    }
    for name in ["LICENSE", "NOTICE", "gaugeway-1.2.3.wasm"] {
        fs::copy(release.files().join(name), release.0.join(name)).unwrap();
    }
    fs::remove_file(release.files().join("gaugeway-1.2.3.intoto.json")).unwrap();
    fs::remove_file(release.files().join("SHA256SUMS")).unwrap();
    assert_eq!(release.provenance(), text);
    assert!(!String::from_utf8_lossy(&text).contains(root().to_str().unwrap()));
}
