//! The host calls that the SDK cannot make here. All functions are total: a status other than Ok is None, false or empty.
//!
//! The rule: a call of `proxy_wasm::hostcalls` is used unless it panics on a status that a host can return, or costs more. In
//! the SDK each call panics on every status that it does not list, and statuses outside of its `Status` (5, 6, 9, 11, 12)
//! are undefined behaviour. A panic ends all streams of the worker. A proxy without a feature answers 12 (Unimplemented)
//! to its calls: that is how [`super::capabilities`] detects it.
//!
//! | call | the SDK | when the host causes it, or what it costs |
//! |---|---|---|
//! | `log` | panics on all but Ok | in the logger and the panic hook, where a second panic loses the line |
//! | `get_current_time_nanoseconds` | panics on all but Ok; converts to `SystemTime` and back | a proxy without a clock |
//! | `get_header_map_value` | panics on BadArgument; the `String` form on bytes that are not UTF-8 | Envoy: `on_delete` of an upstream filter, the answer of a call that timed out |
//! | `get_header_map_pairs` | panics on all but Ok; two allocations per header | a proxy without header maps; the cost in every request |
//! | `replace_`, `remove_header_map_value` | panics on all but Ok | Envoy: BadArgument once the headers have gone on |
//! | `set_buffer_bytes` | panics on all but Ok | Envoy: BadArgument unless the range is empty or the whole buffer |
//! | `get_property` | two allocations for the path | the cost, five times in a request; a proxy without properties |
//! | `set_property` | panics on all but Ok; two allocations for the path | Envoy: BadArgument if another filter declared it read-only, NotFound without a stream; the cost, twenty times in a request |
//! | `call_foreign_function` | panics on Unimplemented | a proxy without foreign functions |
//! | `define_metric` | panics on all but Ok | a proxy without metrics |
//! | `set_tick_period_milliseconds` | panics on all but Ok | a proxy without timers |
//! | `get_`, `set_shared_data` | panics on all but Ok, NotFound, CasMismatch | a proxy without shared data |
//! | `done` | panics on all but Ok | Envoy: NotFound if the context is not waiting for it |
//! | `close_stream` | panics on all but Ok | a proxy that cannot reset a stream |
//! | `random_get` of WASI | does not have it | it returns a number of WASI's own, not a status of proxy-wasm |
//! | `send_local_response` | cannot set the response code details | access logs tell the plugin's replies by them |
//!
//! Made through the SDK: `http_call`, `get_buffer_bytes`, `increment_metric`, `record_metric`, `set_effective_context`,
//! `continue_stream`. It lists every status that Envoy has for them, and they are made only once a callback or another call
//! has shown that the host has the feature.

#![allow(unsafe_code)]

use core::ptr::null_mut;

use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType};

/// Writes a line to the log of the host.
pub fn log(level: LogLevel, line: &str) {
    // SAFETY: the host reads `line` and keeps no reference to it.
    unsafe { proxy_log(level as u32, line.as_ptr(), line.len()) };
}

/// Nanoseconds since 1970; 0 if the host has no clock.
pub fn now() -> u64 {
    let mut nanos = 0;
    // SAFETY: the host writes one u64.
    unsafe { proxy_get_current_time_nanoseconds(&raw mut nanos) };
    nanos
}

/// The value of one header.
pub fn header(map: MapType, name: &str) -> Option<Vec<u8>> {
    // SAFETY: the host reads `name` and writes pointer and size.
    returned(|out, size| unsafe { proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), out, size) })
}

/// All headers in the serialised form of the ABI; [`pairs`] parses it.
pub fn headers(map: MapType) -> Vec<u8> {
    // SAFETY: the host writes pointer and size.
    returned(|out, size| unsafe { proxy_get_header_map_pairs(map as u32, out, size) }).unwrap_or_default()
}

/// A part of a buffer. Empty if the host has none. An empty part costs no host call.
pub fn body(buffer: BufferType, start: usize, size: usize) -> Vec<u8> {
    if size == 0 {
        Vec::new()
    } else {
        proxy_wasm::hostcalls::get_buffer(buffer, start, size).ok().flatten().unwrap_or_default()
    }
}

/// The names and values in serialised headers: a count, the sizes of all names and values, then each of them with a NUL after it.
pub fn pairs(serialized: &[u8]) -> Vec<(&[u8], &[u8])> {
    let Some((count, sizes)) = serialized.split_first_chunk::<4>() else { return Vec::new() };
    let count = u32::from_le_bytes(*count) as usize;
    let Some((sizes, mut text)) = sizes.split_at_checked(count.saturating_mul(8)) else { return Vec::new() };
    let mut take = |size: &[u8]| {
        let size = u32::from_le_bytes(*size.first_chunk()?) as usize;
        let (value, rest) = text.split_at_checked(size)?;
        text = rest.get(1..)?;
        Some(value)
    };
    sizes.chunks_exact(8).map_while(|size| Some((take(size.get(..4)?)?, take(size.get(4..)?)?))).collect()
}

/// Sets a header to one value. Returns whether the host did.
pub fn set_header(map: MapType, name: &str, value: &str) -> bool {
    // SAFETY: the host reads `name` and `value`.
    unsafe { proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len()) == 0 }
}

/// Removes a header. Returns whether the host did.
pub fn remove_header(map: MapType, name: &str) -> bool {
    // SAFETY: the host reads `name`.
    unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) == 0 }
}

/// Replaces the first `size` bytes of a buffer, which must be none or all of them. Returns whether the host did.
pub fn set_buffer(buffer: BufferType, size: usize, bytes: &[u8]) -> bool {
    // SAFETY: the host reads `bytes`.
    unsafe { proxy_set_buffer_bytes(buffer as u32, 0, size, bytes.as_ptr(), bytes.len()) == 0 }
}

/// A property. The parts of its path are joined by NUL.
pub fn property(path: &str) -> Option<Vec<u8>> {
    // SAFETY: the host reads `path` and writes pointer and size.
    returned(|out, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), out, size) })
}

/// Returns true if the host knows the property. Its value may be empty.
pub fn has_property(path: &str) -> bool {
    let mut status = 0;
    returned(|out, size| {
        // SAFETY: the host reads `path` and writes pointer and size.
        status = unsafe { proxy_get_property(path.as_ptr(), path.len(), out, size) };
        status
    });
    status == 0
}

/// Sets the filter state `wasm.<name>` of the stream. Returns whether the host did.
pub fn set_property(name: &str, value: &str) -> bool {
    // SAFETY: the host reads `name` and `value`.
    unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) == 0 }
}

/// How long filter state lasts, as Envoy numbers it.
#[derive(Clone, Copy)]
pub enum LifeSpan {
    /// Until the stream ends, or is redirected internally.
    FilterChain = 0,
    /// Until the client's request is answered.
    Request = 1,
}

/// Declares the filter state `wasm.<name>`: a string that can be set only once if it is read-only. Only Envoy knows this.
pub fn declare_property(name: &str, is_read_only: bool, span: LifeSpan) {
    // The fields of envoy.source.extensions.common.wasm.DeclarePropertyArguments: name, readonly, type (1: string), span.
    let Ok(size) = u8::try_from(name.len()) else { return };
    let arguments =
        [&[0x0a, size & 0x7f], name.as_bytes(), &[0x10, is_read_only.into(), 0x18, 1, 0x28, span as u8]].concat();
    let function = "declare_property";
    // SAFETY: the host reads `function` and `arguments`, and writes pointer and size if the function returns something.
    returned(|out, size| unsafe {
        proxy_call_foreign_function(function.as_ptr(), function.len(), arguments.as_ptr(), arguments.len(), out, size)
    });
}

/// Defines a metric, or finds it if it is defined, and returns its identifier.
pub fn define_metric(kind: MetricType, name: &str) -> Option<u32> {
    let mut metric = 0;
    // SAFETY: the host reads `name` and writes one u32.
    let status = unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut metric) };
    (status == 0).then_some(metric)
}

/// Requests a tick every `period` milliseconds. Returns whether the host has ticks.
pub fn set_tick(period: u32) -> bool {
    // SAFETY: the argument is a number.
    unsafe { proxy_set_tick_period_milliseconds(period) == 0 }
}

/// Lets the host delete the current root context, which has answered `on_done` with false.
pub fn done() {
    // SAFETY: the call has no arguments.
    unsafe { proxy_done() };
}

/// A value that all workers share, and its version for [`set_shared`].
pub fn shared(key: &str) -> Option<(Vec<u8>, u32)> {
    let mut version = 0;
    // SAFETY: the host reads `key` and writes pointer, size and one u32.
    let value =
        returned(|out, size| unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), out, size, &raw mut version) })?;
    Some((value, version))
}

/// Sets a value that all workers share if its version is still `version`; 0 sets it in any case. Returns whether it was set.
pub fn set_shared(key: &str, value: &[u8], version: u32) -> bool {
    // SAFETY: the host reads `key` and `value`.
    unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version) == 0 }
}

/// Sets a value that all workers share if there is none.
pub fn create_shared(key: &str, value: &[u8]) {
    // Envoy counts versions from 1, once for each value that is set, so no value has this one. It compares versions only if there
    // is a value. Another host may refuse a version for a value that does not exist.
    if !set_shared(key, value, u32::MAX) && shared(key).is_none() {
        set_shared(key, value, 0);
    }
}

/// Random bytes that nobody outside the host can know. None if the host has none.
pub fn random() -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    // SAFETY: the host writes `bytes`.
    let status = unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) };
    (status == 0 && bytes != [0; 32]).then_some(bytes)
}

/// Replies to the request of the current stream in plain text, with these response code details and additional headers.
pub fn reply(status: u32, details: &str, headers: &[(&str, &str)], body: &str) {
    const NO_GRPC_STATUS: i32 = -1;
    let headers = serialized(&[&[("content-type", "text/plain")], headers].concat());
    // SAFETY: the host reads the arguments and keeps no reference to them.
    unsafe {
        proxy_send_local_response(
            status,
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    };
}

/// Resets the response of the current stream.
pub fn reset_response() {
    const RESPONSE: u32 = 1;
    // SAFETY: the argument is a number.
    unsafe { proxy_close_stream(RESPONSE) };
}

/// Headers in the serialised form that [`pairs`] parses.
fn serialized(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = (pairs.len() as u32).to_le_bytes().to_vec();
    out.extend(
        pairs.iter().flat_map(|(name, value)| [name.len(), value.len()]).flat_map(|size| (size as u32).to_le_bytes()),
    );
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(text.as_bytes());
        out.push(0);
    }
    out
}

/// The bytes that a host call returned. The host allocates them with the SDK's export `malloc`, of exactly this size.
fn returned(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Option<Vec<u8>> {
    let (mut pointer, mut size) = (null_mut(), 0_usize);
    let status = call(&raw mut pointer, &raw mut size);
    if status != 0 || pointer.is_null() {
        return None;
    }
    // SAFETY: the SDK's `malloc` leaked a boxed slice of exactly `size` bytes, and the host has written them.
    Some(unsafe { Vec::from_raw_parts(pointer, size, size) })
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(bytes: *mut u8, size: usize) -> u32;
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(out: *mut u64) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        key: *const u8,
        size: usize,
        out: *mut *mut u8,
        out_size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, out: *mut *mut u8, out_size: *mut usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, size: usize) -> u32;
    fn proxy_set_buffer_bytes(buffer: u32, start: usize, size: usize, bytes: *const u8, bytes_size: usize) -> u32;
    fn proxy_get_property(path: *const u8, size: usize, out: *mut *mut u8, out_size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        size: usize,
        arguments: *const u8,
        arguments_size: usize,
        out: *mut *mut u8,
        out_size: *mut usize,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, out: *mut u32) -> u32;
    fn proxy_close_stream(kind: u32) -> u32;
    fn proxy_done() -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        size: usize,
        out: *mut *mut u8,
        out_size: *mut usize,
        version: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(key: *const u8, size: usize, value: *const u8, value_size: usize, version: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
}
