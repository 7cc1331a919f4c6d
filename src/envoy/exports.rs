//! What the host calls: the callbacks of proxy-wasm ABI 0.2.1, each handed to the plugin or stream it is for.
//!
//! Written out here because the SDK's own dispatch looks in three tables for each call, and panics on what it does not know.
//! An identifier nobody knows is passed over. Bound: one entry a stream.

#![allow(unsafe_code)]

use core::ptr::{NonNull, null_mut};
use std::alloc::{Layout, alloc};
use std::cell::RefCell;
use std::collections::HashMap;

use super::{Plugin, Stream};
use crate::bytes::mix::BuildNumbers;

/// Headers, bodies and trailers go on at once.
const CONTINUE: u32 = 0;
/// A request waits, with what has come of its body.
const HOLD: u32 = 1;

/// The contexts of this VM. The host numbers them one after the other.
struct Contexts {
    plugins: Vec<(u32, Plugin)>,
    streams: HashMap<u32, Stream, BuildNumbers>,
}

thread_local! {
    static CONTEXTS: RefCell<Contexts> = const {
        RefCell::new(Contexts { plugins: Vec::new(), streams: HashMap::with_hasher(BuildNumbers::new()) })
    };
}

fn contexts<T: Default>(call: impl FnOnce(&mut Contexts) -> T) -> T {
    // The host enters once at a time; were it not to, the second call does nothing.
    CONTEXTS.with(|contexts| contexts.try_borrow_mut().map(|mut contexts| call(&mut contexts)).unwrap_or_default())
}

fn plugin<T: Default>(id: u32, call: impl FnOnce(&mut Plugin) -> T) -> T {
    contexts(|all| all.plugins.iter_mut().find(|(known, _)| *known == id).map(|(_, plugin)| call(plugin)))
        .unwrap_or_default()
}

fn stream(id: u32, call: impl FnOnce(&mut Stream)) -> u32 {
    contexts(|all| all.streams.get_mut(&id).map(call));
    CONTINUE
}

fn holding(id: u32, call: impl FnOnce(&mut Stream) -> bool) -> u32 {
    let holds = contexts(|all| all.streams.get_mut(&id).map(call));
    if holds == Some(true) { HOLD } else { CONTINUE }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {}

/// Room for what a host call returns, which that call's caller gives back. Null where there is none: the host's call fails.
#[unsafe(no_mangle)]
extern "C" fn malloc(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        Ok(layout) if size > 0 => {
            // SAFETY: the size is not zero.
            unsafe { alloc(layout) }
        }
        Ok(_) => NonNull::dangling().as_ptr(),
        Err(_) => null_mut(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(id: u32, parent: u32) {
    contexts(|all| {
        if parent == 0 {
            all.plugins.push((id, Plugin::default()));
        } else if let Some((_, plugin)) = all.plugins.iter().find(|(known, _)| *known == parent) {
            all.streams.insert(id, plugin.stream(id));
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_: u32, _: usize) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(id: u32, size: usize) -> u32 {
    plugin(id, |plugin| u32::from(plugin.on_configure(size)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(id: u32) {
    if plugin(id, Plugin::on_tick) {
        contexts(|all| all.streams.values_mut().for_each(Stream::on_tick));
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(id: u32, _: u32, _: usize, _: usize, _: usize) {
    plugin(id, Plugin::on_http_call_response);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(id: u32, _: usize, end: u32) -> u32 {
    holding(id, |stream| stream.on_request_headers(end != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(id: u32, size: usize, end: u32) -> u32 {
    holding(id, |stream| stream.on_request_body(size, end != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(id: u32, _: usize) -> u32 {
    holding(id, Stream::on_request_trailers)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(id: u32, _: usize, end: u32) -> u32 {
    stream(id, |stream| stream.on_response_headers(end != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(id: u32, size: usize, end: u32) -> u32 {
    stream(id, |stream| stream.on_response_body(size, end != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_trailers(id: u32, _: usize) -> u32 {
    stream(id, Stream::on_response_trailers)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(id: u32) {
    stream(id, Stream::report);
}

/// What a stream came to that was not logged, as an upstream filter's is not, is reported here: `proxy_on_done` comes right
/// before, and each callback costs half a microsecond.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(id: u32) {
    // Dropped when nothing is borrowed any more.
    let stream = contexts(|all| all.streams.remove(&id));
    let plugin = contexts(|all| {
        let at = all.plugins.iter().position(|(known, _)| *known == id && stream.is_none())?;
        Some(all.plugins.swap_remove(at))
    });
    drop((stream, plugin));
}
