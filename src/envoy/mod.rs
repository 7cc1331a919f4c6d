//! The Envoy shell: passes the callbacks of proxy-wasm to an [`Exchange`](crate::exchange::Exchange) and writes its results
//! to the host.
//!
//! The exports, the dispatch, the contexts and the types are those of the `proxy-wasm` SDK; messages go through `log`.
//! [`host`] declares the host calls for which the SDK does not serve, with the reasons. No callback changes or holds traffic,
//! except in [`inject`] and [`feedback`], which the configuration enables. A host call that returns data takes 1-4 µs, so
//! nothing is read twice.

mod address;
mod answer;
mod asked;
mod attempt;
mod capabilities;
mod conversations;
mod early;
mod export;
mod feedback;
mod filter_state;
mod holding;
mod host;
mod inject;
mod late;
mod logger;
mod memory;
mod metrics;
mod redirect;
mod resumable;
mod role;
mod room;
mod root;
mod rpc;
mod rpc_paths;
mod secret;
mod series_list;
mod series_name;
mod shared;
mod socket;
mod sorting;
mod stream;
mod worker_metrics;

proxy_wasm::main! {{
    logger::install();
    proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
}}
