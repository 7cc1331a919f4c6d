//! The repository's recorded exchanges as a provider, and as a client that calls it: what envoy/docker-compose.yaml runs.
//!
//! `recorded serve ADDRESS` answers there. `recorded send ADDRESS` calls there, without end, about five times a second; nineteen
//! calls in twenty are such as succeed.

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use crate::client::{self, Http};
use crate::fixtures::Fixture;
use crate::upstream::Upstream;

const PAUSE: Duration = Duration::from_millis(200);
/// A client that waits longer than the slowest recording takes.
const PATIENCE: Duration = Duration::from_secs(30);

pub enum Never {}

/// Ends only when it cannot go on.
pub async fn run(arguments: &[String]) -> Result<Never, String> {
    let [word, address] = arguments else { return Err("say 'serve ADDRESS' or 'send ADDRESS'".to_owned()) };
    let address: SocketAddr = address.parse().map_err(|error| format!("{address} is no IP:PORT: {error}"))?;
    match word.as_str() {
        "serve" => {
            let started = Upstream::start_at(address, Fixture::all()).await;
            let _upstream = started.map_err(|error| format!("cannot listen on {address}: {error}"))?;
            pending().await
        }
        "send" => send(address).await,
        _ => Err(format!("'{word}' is neither 'serve' nor 'send'")),
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
        // Who does not answer now may do so later: containers start in any order.
        let call = client::send(address, client::request(fixture, &[]), Http::One);
        drop(tokio::time::timeout(PATIENCE, call).await);
        tokio::time::sleep(PAUSE).await;
    }
}
