//! The JavaScript package in a real runtime: a proxy in front of the upstream that prints each observation as a line of
//! JSON. Dropping the value stops it.

#![allow(clippy::print_stderr, reason = "the runtime's error output belongs in the output of the test")]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    Node,
    Deno,
    Workerd,
}

pub struct Edge {
    pub addr: SocketAddr,
    lines: Arc<Mutex<Vec<Value>>>,
    child: Child,
    folder: PathBuf,
}

impl Runtime {
    pub const ALL: [Runtime; 3] = [Runtime::Node, Runtime::Deno, Runtime::Workerd];

    fn command(self, folder: &Path, settings: &Value) -> Command {
        let script = |name: &str| folder.join(name);
        let settings = settings.to_string();
        match self {
            Runtime::Node => {
                let mut node = Command::new(from_environment("GAUGEWAY_NODE"));
                node.arg(script("node.mjs")).arg(settings);
                node
            }
            Runtime::Deno => {
                let mut deno = Command::new(binary("@deno/*/deno"));
                deno.args(["run", "--quiet", "--no-remote", "--no-config", "--allow-net=127.0.0.1", "--allow-read"]);
                deno.env("DENO_DIR", folder.join("deno")).env("DENO_NO_UPDATE_CHECK", "1");
                deno.arg(script("deno.mjs")).arg(settings);
                deno
            }
            Runtime::Workerd => {
                fs::write(folder.join("config.capnp"), capnp(&modules(folder), &settings)).unwrap();
                workerd(folder)
            }
        }
    }
}

impl Edge {
    pub async fn start(runtime: Runtime, upstream: SocketAddr, more: Value) -> Self {
        let folder = laid_out();
        let mut settings = json!({"upstream": format!("http://{upstream}"), "options": {}});
        settings.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        let command = runtime.command(&folder, &settings);
        Self::spawn(&format!("{runtime:?}"), command, folder).await
    }

    /// Starts the example Worker in workerd with the modules that wrangler would upload. Only its routes are changed,
    /// to point to the upstream.
    pub async fn deployed(upstream: SocketAddr) -> Self {
        let folder = project();
        let worker = Path::new(env!("CARGO_MANIFEST_DIR")).join("edge/worker");
        fs::create_dir(folder.join("src")).unwrap();
        for file in ["wrangler.jsonc", "package.json", "src/index.js"] {
            fs::copy(worker.join(file), folder.join(file)).unwrap();
        }
        let routes = format!("export const routes = {{openai: {{upstream: 'http://{upstream}'}}}};");
        fs::write(folder.join("src/routes.js"), routes).unwrap();
        let mut wrangler = Command::new(from_environment("GAUGEWAY_NODE"));
        wrangler
            .arg(Path::new(&from_environment("GAUGEWAY_RUNTIMES")).join("node_modules/wrangler/wrangler-dist/cli.js"));
        wrangler.args(["deploy", "--dry-run", "--outdir=out"]).current_dir(&folder);
        wrangler.env("CI", "1").env("WRANGLER_SEND_METRICS", "false").env("XDG_CONFIG_HOME", folder.join("config"));
        let output = wrangler.output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("WARNING"), "{said}");

        let modules = fs::read_dir(folder.join("out")).unwrap().filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let kind = if name == "index.js" { "esModule" } else { "wasm" };
            let wanted = name == "index.js" || name.ends_with(".wasm");
            wanted.then(|| format!("(name = \"./{name}\", {kind} = embed \"out/{name}\")"))
        });
        let mut modules: Vec<_> = modules.collect();
        // The first module in the list is the Worker.
        modules.sort_by_key(|module| !module.contains("esModule"));
        fs::write(folder.join("config.capnp"), capnp(&modules, "")).unwrap();
        let command = workerd(&folder);
        Self::spawn("the Worker", command, folder).await
    }

    async fn spawn(name: &str, mut command: Command, folder: PathBuf) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let (kept, whose) = (Arc::clone(&lines), name.to_owned());
        tokio::spawn(async move {
            while let Ok(Some(line)) = output.next_line().await {
                match serde_json::from_str(&line) {
                    Ok(line) => kept.lock().unwrap().push(line),
                    Err(_) => eprintln!("{whose}: {line}"),
                }
            }
        });
        let mut edge = Self { addr: SocketAddr::from(([127, 0, 0, 1], 0)), lines, child, folder };
        let port = edge.wait_for(Duration::from_secs(60), |line| line["port"].as_u64()).await;
        let port = port.unwrap_or_else(|| panic!("{name} did not print its port"));
        edge.addr.set_port(u16::try_from(port).unwrap());
        edge
    }

    /// Returns the observation of the call with this `x-request-id`.
    pub async fn told(&self, id: &str, patience: Duration) -> Option<Value> {
        self.wait_for(patience, |line| (line["id"] == id).then(|| line.clone())).await
    }

    /// Number of observations so far.
    pub fn count(&self) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line["id"].is_string()).count()
    }

    pub fn errors(&self) -> Vec<String> {
        self.lines.lock().unwrap().iter().filter_map(|line| Some(line["error"].as_str()?.to_owned())).collect()
    }

    /// Resident memory of the runtime in KiB.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Returns the first result of `fits` over the printed lines, or None after the timeout.
    pub async fn wait_for<T>(&self, patience: Duration, fits: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let end = Instant::now() + patience;
        loop {
            let found = self.lines.lock().unwrap().iter().find_map(&fits);
            if found.is_some() || Instant::now() >= end {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        drop(self.child.start_kill());
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Creates a folder with the package and the test scripts, laid out like a project that uses the package.
pub fn laid_out() -> PathBuf {
    let folder = std::env::temp_dir().join(unique("edge"));
    fs::create_dir_all(folder.join("gaugeway")).unwrap();
    for (from, to) in [(package(), folder.join("gaugeway")), (scripts(), folder.clone())] {
        for file in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
    }
    // The scripts are modules by their file name.
    drop(fs::remove_file(folder.join("package.json")));
    folder
}

fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("gaugeway-{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The folder `dist/edge`.
pub fn package() -> PathBuf {
    from_environment("GAUGEWAY_EDGE").into()
}

/// Creates a project folder with the package installed.
pub fn project() -> PathBuf {
    let folder = std::env::temp_dir().join(unique("project"));
    let installed = folder.join("node_modules/gaugeway");
    fs::create_dir_all(&installed).unwrap();
    for file in fs::read_dir(package()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        fs::copy(&file, installed.join(file.file_name().unwrap())).unwrap();
    }
    fs::write(folder.join("package.json"), r#"{"type": "module"}"#).unwrap();
    folder
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/edge")
}

/// Path of a program in the installed npm packages. `*` stands for the platform.
pub fn binary(place: &str) -> PathBuf {
    let root = PathBuf::from(from_environment("GAUGEWAY_RUNTIMES")).join("node_modules");
    let (before, after) = place.split_once('*').unwrap();
    let (parent, start) = before.split_once('/').unwrap();
    let mut entries = fs::read_dir(root.join(parent)).unwrap().map(|entry| entry.unwrap().path());
    let fits = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(start);
    let found = entries.find(|path| fits(path) && path.join(&after[1..]).exists());
    found.unwrap_or_else(|| panic!("the npm packages have no {place} for this platform")).join(&after[1..])
}

fn workerd(folder: &Path) -> Command {
    let mut workerd = Command::new(binary("@cloudflare/workerd-*/bin/workerd"));
    workerd.args(["serve", "--socket-addr=http=127.0.0.1:0", "--control-fd=1"]).arg(folder.join("config.capnp"));
    workerd
}

/// The modules of the test Worker, each under the name by which others import it.
fn modules(folder: &Path) -> Vec<String> {
    let mut modules = Vec::new();
    for part in ["", "gaugeway"] {
        for entry in fs::read_dir(folder.join(part)).unwrap() {
            let name = Path::new(part).join(entry.unwrap().file_name()).to_string_lossy().into_owned();
            let wanted = !["gaugeway/node.js", "gaugeway/browser.js", "node.mjs", "deno.mjs", "bodies.mjs"]
                .contains(&name.as_str());
            match name.rsplit_once('.') {
                Some((_, "wasm")) => modules.push(format!("(name = {name:?}, wasm = embed {name:?})")),
                Some((_, "js" | "mjs")) if wanted => {
                    // The first module in the list is the Worker.
                    let at = if name == "worker.mjs" { 0 } else { modules.len() };
                    modules.insert(at, format!("(name = {name:?}, esModule = embed {name:?})"));
                }
                _ => {}
            }
        }
    }
    modules
}

fn capnp(modules: &[String], settings: &str) -> String {
    format!(
        "using Workerd = import \"/workerd/workerd.capnp\";
const config :Workerd.Config = (
  services = [
    (name = \"main\", worker = .worker),
    (name = \"internet\", network = (allow = [\"public\", \"private\"])),
  ],
  sockets = [(name = \"http\", address = \"127.0.0.1:0\", http = (), service = \"main\")],
);
const worker :Workerd.Worker = (
  compatibilityDate = \"2025-05-01\",
  modules = [{}],
  bindings = [(name = \"SETTINGS\", text = {})],
);
",
        modules.join(",\n    "),
        Value::String(settings.to_owned()),
    )
}

fn from_environment(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run ./build.sh test edge"))
}
