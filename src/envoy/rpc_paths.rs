//! The paths at which requests may be MCP or A2A.

use std::cell::RefCell;
use std::collections::HashSet;

use proxy_wasm::types::MapType;

use super::host;
use super::shared::Shared;
use crate::bytes::mix::Mix;
use crate::rpc::{A2A_VERSION, MCP_SESSION, RpcHint, accepts_events, rest_base, rpc_hint};

/// Maximum number of paths at which a worker remembers that requests are JSON-RPC. A further one replaces any other, because clients may choose
/// paths.
const PATHS: usize = 256;

/// The paths at which requests were MCP or A2A, although the path does not suggest it, and the addresses of agents. The headers of requests there
/// are read at once.
#[derive(Default)]
pub struct RpcPaths(RefCell<HashSet<u64>>);

impl RpcPaths {
    /// Returns true if requests at this path, or at the address of its agent, were MCP or A2A.
    pub fn has(&self, path: &[u8]) -> bool {
        let Ok(paths) = self.0.try_borrow() else { return false };
        let path = core::str::from_utf8(path).unwrap_or_default();
        !paths.is_empty() && (paths.contains(&hash(path)) || paths.contains(&hash(rest_base(path))))
    }

    /// Remembers a path or the address of an agent, by its hash. A request there has succeeded: a failed one shows only what its client wanted.
    pub fn add(&self, path: u64) {
        let Ok(mut paths) = self.0.try_borrow_mut() else { return };
        if paths.insert(path)
            && paths.len() > PATHS
            && let Some(other) = paths.iter().copied().find(|other| *other != path)
        {
            paths.remove(&other);
        }
    }
}

/// The hash of a path without its query.
pub fn hash(path: &str) -> u64 {
    Mix::new(0).text(path.split('?').next().unwrap_or_default()).finish()
}

/// Returns true if the current request, with this path, may be MCP or A2A by its head. A path that suggests neither costs no host call, unless the
/// request has no body and the gateway has traffic of MCP.
pub fn may_be(shared: &Shared, path: &[u8], end_of_stream: bool) -> bool {
    let header = |name| host::header(MapType::HttpRequestHeaders, name);
    match rpc_hint(path) {
        Some(RpcHint::Mcp) => {
            header("accept").is_some_and(|accept| accepts_events(&accept)) || header(MCP_SESSION).is_some()
        }
        Some(RpcHint::A2a) => true,
        Some(RpcHint::Tasks) => shared.rpc_paths.has(path) || header(A2A_VERSION).is_some(),
        None if shared.rpc_paths.has(path) => true,
        None => end_of_stream && shared.asked.are_used() && header(MCP_SESSION).is_some(),
    }
}
