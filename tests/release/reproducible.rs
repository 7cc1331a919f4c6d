//! A release can be verified by anybody: the plugin does not depend on the folder or the machine that it was built on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Copies only what envoy/Dockerfile copies, so this also shows that its build context is complete.
#[test]
fn a_build_in_another_folder_gives_the_same_plugin_byte_for_byte() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let plugin = std::env::var("GAUGEWAY_WASM").expect("GAUGEWAY_WASM is not set: run ./build.sh test release");
    let copy = Folder(std::env::temp_dir().join(format!("gaugeway copy {}", std::process::id())));
    let needed = fs::read_to_string(root.join("envoy/Dockerfile.dockerignore")).unwrap();
    for file in needed.lines().filter_map(|line| line.strip_prefix('!')) {
        copy_all(&root.join(file), &copy.0.join(file));
    }
    // Uses the tools that the first build has downloaded.
    if root.join(".tools").exists() {
        std::os::unix::fs::symlink(root.join(".tools"), copy.0.join(".tools")).unwrap();
    }
    let output = Command::new(copy.0.join("build.sh"))
        .arg("wasm")
        .env("CARGO_TARGET_DIR", copy.0.join("elsewhere"))
        .output()
        .expect("cannot start build.sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (one, two) = (fs::read(plugin).unwrap(), fs::read(copy.0.join("dist/gaugeway.wasm")).unwrap());
    let differs = one.iter().zip(&two).position(|(one, two)| one != two);
    assert!(
        one == two,
        "the builds differ: {} and {} bytes, the first difference is at {differs:?}",
        one.len(),
        two.len()
    );
}

fn copy_all(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy_all(&from.join(&name), &to.join(&name));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
