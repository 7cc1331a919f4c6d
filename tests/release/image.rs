//! The image for Istio and Envoy Gateway, pushed to a real registry and read back as the products read it.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use serde_json::Value;

#[test]
fn an_image_pulled_from_a_registry_contains_the_plugin_byte_for_byte() {
    let folder = Folder::new("registry");
    let made = folder.0.join("made");
    make(&made);
    let registry = Registry::start(&folder.0);
    let remote = format!("docker://{}/gaugeway:1.2.3", registry.addr);
    let read = folder.0.join("read");
    skopeo(&["copy", "--dest-tls-verify=false", &format!("oci:{}:1.2.3", made.display()), &remote]);
    skopeo(&["copy", "--src-tls-verify=false", &remote, &format!("oci:{}:1.2.3", read.display())]);
    assert_eq!(digest(&read), digest(&made), "the registry returned another manifest");

    let manifest = blob(&read, &digest(&read));
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1, "{manifest}");
    assert_eq!(layers[0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    let mut tar = Vec::new();
    GzDecoder::new(&*bytes(&read, layers[0]["digest"].as_str().unwrap())).read_to_end(&mut tar).unwrap();
    let files = untar(&tar);
    assert_eq!(files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["plugin.wasm"]);
    let plugin = fs::read(setting("GAUGEWAY_WASM")).unwrap();
    assert!(
        files[0].1 == plugin,
        "the image has {} bytes instead of the plugin's {}, or other bytes",
        files[0].1.len(),
        plugin.len()
    );
}

#[test]
fn the_same_plugin_gives_the_same_image_byte_for_byte() {
    let folder = Folder::new("twice");
    let (one, two) = (folder.0.join("one"), folder.0.join("two"));
    make(&one);
    make(&two);
    assert_eq!(fs::read(one.join("index.json")).unwrap(), fs::read(two.join("index.json")).unwrap());
}

#[test]
fn a_file_that_is_not_a_wasm_module_is_rejected() {
    let folder = Folder::new("refused");
    let output = image(&root().join("Cargo.toml"), &folder.0.join("image"));
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Cargo.toml is not a WebAssembly module"), "{said}");
}

fn make(layout: &Path) {
    let output = image(Path::new(&setting("GAUGEWAY_WASM")), layout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn image(plugin: &Path, layout: &Path) -> std::process::Output {
    let mut python = Command::new("python3");
    python
        .arg(root().join("envoy/image.py"))
        .arg(plugin)
        .arg(layout)
        .arg("1.2.3")
        .output()
        .expect("cannot start python3")
}

fn digest(layout: &Path) -> String {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

fn blob(layout: &Path, digest: &str) -> Value {
    serde_json::from_slice(&bytes(layout, digest)).unwrap()
}

fn bytes(layout: &Path, digest: &str) -> Vec<u8> {
    fs::read(layout.join("blobs").join(digest.replace(':', "/"))).unwrap()
}

/// Names and contents of the regular files in a tar archive.
fn untar(mut tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    while tar.len() >= 512 && tar[0] != 0 {
        let text = |from: usize, to: usize| {
            let field = tar[from..to].split(|byte| *byte == 0).next().unwrap();
            String::from_utf8(field.to_vec()).unwrap()
        };
        let size = usize::from_str_radix(text(124, 136).trim(), 8).unwrap();
        files.push((text(0, 100), tar[512..512 + size].to_vec()));
        tar = &tar[512 + size.next_multiple_of(512)..];
    }
    files
}

fn skopeo(arguments: &[&str]) {
    let mut skopeo = Command::new(setting("GAUGEWAY_SKOPEO"));
    if let Ok(libraries) = std::env::var("GAUGEWAY_REGISTRY_LIBRARIES") {
        skopeo.env("LD_LIBRARY_PATH", libraries);
    }
    let output = skopeo.arg("--insecure-policy").args(arguments).output().expect("cannot start skopeo");
    assert!(output.status.success(), "skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

struct Registry {
    addr: SocketAddr,
    child: Child,
}

impl Registry {
    fn start(folder: &Path) -> Self {
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = folder.join("registry.yml");
        let storage = folder.join("storage");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {:?}}}}}\nhttp: {{addr: \"{addr}\"}}\n",
            storage.display().to_string()
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(folder.join("registry.log")).unwrap();
        let child = Command::new(setting("GAUGEWAY_REGISTRY"))
            .arg("serve")
            .arg(&config)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("cannot start docker-registry");
        let registry = Self { addr, child };
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(addr).is_err() {
            let log = || fs::read_to_string(folder.join("registry.log")).unwrap_or_default();
            assert!(Instant::now() < end, "the registry did not listen on {addr} in time: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("gaugeway-image-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run ./build.sh test release"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
