//! The process of a tracing backend on loopback, with a folder of its own. Dropping the value ends it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use super::client;

pub struct Backend {
    pub folder: PathBuf,
    child: Child,
}

/// The first start creates the database tables, so it is slow.
pub const PATIENCE: Duration = Duration::from_secs(240);

impl Backend {
    /// Starts `command`, which gets the folder, and waits until a GET of `path` returns 200. Panics with the log if it
    /// does not.
    pub async fn start(name: &str, addr: SocketAddr, path: &str, command: impl FnOnce(&Path) -> Command) -> Self {
        let folder = std::env::temp_dir().join(format!("gaugeway-{name}-{}-{}", std::process::id(), addr.port()));
        fs::create_dir_all(&folder).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let child = command(&folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let mut backend = Self { folder, child };
        let end = Instant::now() + PATIENCE;
        while !client::get(addr, path).await.is_ok_and(|reply| reply.status == 200) {
            let ended = backend.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < end, "{name} does not answer: {}", backend.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        backend
    }

    /// The process id, for measuring its resources.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the process has ended")
    }

    /// Everything that the process has written.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        drop(self.child.start_kill());
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Different free ports. All are bound at once so that they differ.
pub fn free<const COUNT: usize>() -> [SocketAddr; COUNT] {
    let held = [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}

/// An environment variable that `./build.sh test` sets.
pub fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run ./build.sh test"))
}
