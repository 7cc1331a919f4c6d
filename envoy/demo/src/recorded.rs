//! The provider and the client of envoy/docker-compose.yaml, both from the repository's recorded exchanges.
//!
//! `recorded serve ADDRESS` answers calls at that address. `recorded send ADDRESS` sends about five calls per second to
//! it, without end; nineteen of twenty calls are successful ones.

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use crate::client::{self, Http};
use crate::fixtures::Fixture;
use crate::upstream::Upstream;

const PAUSE: Duration = Duration::from_millis(200);
/// A timeout that is longer than the slowest recording.
const PATIENCE: Duration = Duration::from_secs(30);

pub enum Never {}

/// Returns only on an error.
pub async fn run(arguments: &[String]) -> Result<Never, String> {
    let [word, address] = arguments else {
        return Err("usage: recorded serve ADDRESS, or recorded send ADDRESS".to_owned());
    };
    let address: SocketAddr = address.parse().map_err(|error| format!("{address} is not an IP:PORT: {error}"))?;
    match word.as_str() {
        "serve" => {
            let started = Upstream::start_at(address, Fixture::all()).await;
            let _upstream = started.map_err(|error| format!("cannot listen on {address}: {error}"))?;
            pending().await
        }
        "send" => send(address).await,
        _ => Err(format!("unknown command '{word}': use 'serve' or 'send'")),
    }
}

async fn send(address: SocketAddr) -> Result<Never, String> {
    let completed = |one: &Fixture| one.observation.get("gaugeway.outcome").is_some_and(|how| how == "completed");
    let (good, bad): (Vec<_>, Vec<_>) = Fixture::all().into_iter().partition(completed);
    let (mut good, mut bad) = (good.iter().cycle(), bad.iter().cycle());
    let mut calls = 0_u64;
    loop {
        calls += 1;
        let next = if calls.is_multiple_of(20) { bad.next() } else { good.next() };
        let fixture = next.ok_or("there are no recorded exchanges")?;
        // Errors are ignored, because containers start in any order and the other one may answer later.
        let call = client::send(address, client::request(fixture, &[]), Http::One);
        drop(tokio::time::timeout(PATIENCE, call).await);
        tokio::time::sleep(PAUSE).await;
    }
}
