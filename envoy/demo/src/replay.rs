//! Sends a recorded call or runs the scripted agent, when somebody clicks a button of the live page.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use super::agent;
use super::client::{self, Http};

/// The work of a button. It returns a few words for people.
pub type Act = Pin<Box<dyn Future<Output = io::Result<String>> + Send>>;

/// A button of the live page. It sends a call, or a run of an agent, through the Envoy at the address.
pub struct Replay {
    pub title: String,
    pub act: Box<dyn Fn(SocketAddr) -> Act + Send + Sync>,
}

impl Replay {
    /// A call. `request` makes a new request each time.
    pub fn of_call(title: &str, request: impl Fn() -> Request<Full<Bytes>> + Send + Sync + 'static) -> Self {
        let act = move |envoy| -> Act {
            let request = request();
            Box::pin(async move {
                let reply = client::send(envoy, request, Http::One).await?;
                Ok(format!("status {}", reply.status))
            })
        };
        Self { title: title.to_owned(), act: Box::new(act) }
    }

    /// The run of [`agent::run`].
    pub fn of_agent(title: &str) -> Self {
        Self { title: title.to_owned(), act: Box::new(|envoy| Box::pin(agent::run(envoy))) }
    }
}
