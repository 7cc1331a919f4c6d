//! Envoy's side of the plugin: raw bindings of proxy-wasm ABI 0.2.1 that never panic.
//!
//! The SDK's own calls panic on any status they do not list, and a panic cuts every stream of the worker. Here a status that
//! is not "ok" is simply nothing. Bound: what a call returns lives until it is dropped.

#![allow(unsafe_code)]

use core::ptr::null_mut;

/// A header map, as the ABI counts them.
#[derive(Clone, Copy)]
pub enum Map {
    /// The request's headers.
    Request = 0,
    /// The response's headers.
    Response = 2,
    /// Headers of the answer to a call of our own.
    Call = 6,
}

/// A buffer, as the ABI counts them.
#[derive(Clone, Copy)]
pub enum Buffer {
    /// The request's body.
    Request = 0,
    /// The response's body.
    Response = 1,
    /// The plugin's configuration.
    Configuration = 7,
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
    fn proxy_get_buffer_bytes(buffer: u32, start: usize, size: usize, out: *mut *mut u8, out_size: *mut usize) -> u32;
    fn proxy_get_property(path: *const u8, size: usize, out: *mut *mut u8, out_size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, out: *mut u32) -> u32;
    fn proxy_increment_metric(metric: u32, by: i64) -> u32;
    fn proxy_record_metric(metric: u32, value: u64) -> u32;
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
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, size: usize) -> u32;
    fn proxy_set_buffer_bytes(buffer: u32, start: usize, size: usize, bytes: *const u8, bytes_size: usize) -> u32;
    fn proxy_set_effective_context(id: u32) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        size: usize,
        out: *mut *mut u8,
        out_size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(key: *const u8, size: usize, value: *const u8, value_size: usize, cas: u32) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout: u32,
        out: *mut u32,
    ) -> u32;
}

/// What the host wrote for the guest. The host allocates it by calling the guest's own allocator for exactly `size` bytes.
fn returned(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Option<Vec<u8>> {
    let (mut pointer, mut size) = (null_mut(), 0_usize);
    let status = call(&raw mut pointer, &raw mut size);
    if status != 0 || pointer.is_null() {
        return None;
    }
    // SAFETY: our `malloc` made this block for exactly `size` bytes and gave it up; of no bytes nothing is ever freed.
    Some(unsafe { Vec::from_raw_parts(pointer, size, size) })
}

/// Writes a line to Envoy's log, as an error.
pub fn log_error(message: &str) {
    log(4, message);
}

/// Writes a line to Envoy's log, as a warning.
pub fn log_warning(message: &str) {
    log(3, message);
}

/// Most characters of a line in the log.
const LINE: usize = 500;

fn log(level: u32, message: &str) {
    // A key of a configuration may be of any length, and hold what would begin a line of its own.
    let line: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LINE).collect();
    // SAFETY: the host reads `line.len()` bytes and keeps nothing.
    unsafe { proxy_log(level, line.as_ptr(), line.len()) };
}

/// Nanoseconds since 1970; 0 where the host has no clock.
pub fn now() -> u64 {
    let mut nanos = 0;
    // SAFETY: the host writes one u64.
    unsafe { proxy_get_current_time_nanoseconds(&raw mut nanos) };
    nanos
}

/// One header's value.
pub fn header(map: Map, name: &str) -> Option<Vec<u8>> {
    // SAFETY: the host reads the name and writes pointer and size.
    returned(|out, size| unsafe { proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), out, size) })
}

/// All headers as the ABI serialises them; see [`pairs`].
pub fn headers(map: Map) -> Vec<u8> {
    // SAFETY: the host writes pointer and size.
    returned(|out, size| unsafe { proxy_get_header_map_pairs(map as u32, out, size) }).unwrap_or_default()
}

/// Takes apart what [`headers`] returned: a count, the sizes of all names and values, then each with a NUL behind it.
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

/// The other way round.
fn serialized(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = (pairs.len() as u32).to_le_bytes().to_vec();
    for (name, value) in pairs {
        out.extend_from_slice(&(name.len() as u32).to_le_bytes());
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    }
    for (name, value) in pairs {
        out.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    out
}

/// Sends a request to a cluster; false where it cannot be sent. The answer comes to the plugin's callback, also that there is
/// none after so many milliseconds.
pub fn call(cluster: &str, headers: &[(&str, &str)], body: &[u8], timeout: u32) -> bool {
    let (headers, trailers, mut token) = (serialized(headers), serialized(&[]), 0);
    // SAFETY: the host reads all of these and writes one u32.
    let status = unsafe {
        proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            trailers.as_ptr(),
            trailers.len(),
            timeout,
            &raw mut token,
        )
    };
    status == 0
}

/// The first bytes of a buffer.
pub fn buffer(buffer: Buffer, size: usize) -> Option<Vec<u8>> {
    buffer_from(buffer, 0, size)
}

/// Bytes of a buffer, from one of them on.
pub fn buffer_from(buffer: Buffer, start: usize, size: usize) -> Option<Vec<u8>> {
    // SAFETY: the host writes pointer and size.
    returned(|out, out_size| unsafe { proxy_get_buffer_bytes(buffer as u32, start, size, out, out_size) })
}

/// Puts other bytes in the place of a buffer's, which are `size`, or before them where that is 0; false where the host does not.
pub fn set_buffer(buffer: Buffer, size: usize, bytes: &[u8]) -> bool {
    // SAFETY: the host reads the bytes.
    unsafe { proxy_set_buffer_bytes(buffer as u32, 0, size, bytes.as_ptr(), bytes.len()) == 0 }
}

/// Gives a header this value and no other; false where the host does not.
pub fn set_header(map: Map, name: &str, value: &str) -> bool {
    // SAFETY: the host reads name and value.
    unsafe { proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len()) == 0 }
}

/// Takes a header away; false where the host does not.
pub fn remove_header(map: Map, name: &str) -> bool {
    // SAFETY: the host reads the name.
    unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) == 0 }
}

/// Lets a stream's request go on that was held.
pub fn resume_request(stream: u32) {
    // SAFETY: plain numbers.
    unsafe {
        if proxy_set_effective_context(stream) == 0 {
            proxy_continue_stream(0);
        }
    }
}

/// A property by its path, whose parts are joined by NUL.
pub fn property(path: &str) -> Option<Vec<u8>> {
    // SAFETY: the host reads the path and writes pointer and size.
    returned(|out, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), out, size) })
}

/// Sets the stream's filter state `wasm.<name>`; false where the host does not take it.
pub fn set_property(name: &str, value: &str) -> bool {
    // SAFETY: the host reads name and value.
    unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) == 0 }
}

/// Defines a metric, or finds it: 0 is a counter, 1 a gauge, 2 a histogram.
pub fn define_metric(kind: u32, name: &str) -> Option<u32> {
    let mut metric = 0;
    // SAFETY: the host reads the name and writes one u32.
    let status = unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut metric) };
    (status == 0).then_some(metric)
}

/// Asks for a tick every so many milliseconds; false where the host has none.
pub fn set_tick(period: u32) -> bool {
    // SAFETY: a plain number.
    unsafe { proxy_set_tick_period_milliseconds(period) == 0 }
}

/// What all workers share under a key, and the version to set it by.
pub fn shared(key: &str) -> Option<(Vec<u8>, u32)> {
    let mut cas = 0;
    // SAFETY: the host reads the key and writes pointer, size and one u32.
    let value =
        returned(|out, size| unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), out, size, &raw mut cas) })?;
    Some((value, cas))
}

/// Sets what all workers share under a key, unless its version is another by now; 0 stands for any.
pub fn set_shared(key: &str, value: &[u8], cas: u32) -> bool {
    // SAFETY: the host reads key and value.
    unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) == 0 }
}

/// Answers the request in place of an upstream, in plain text.
pub fn answer(status: u32, body: &str) {
    const DETAILS: &str = "gaugeway_feedback";
    // One header, as the ABI serialises maps: a count, two sizes, name and value with a NUL behind each.
    const HEADERS: &[u8] = b"\x01\0\0\0\x0c\0\0\0\x0a\0\0\0content-type\0text/plain\0";
    // SAFETY: the host reads what it is shown and keeps nothing.
    unsafe {
        proxy_send_local_response(
            status,
            DETAILS.as_ptr(),
            DETAILS.len(),
            body.as_ptr(),
            body.len(),
            HEADERS.as_ptr(),
            HEADERS.len(),
            -1,
        )
    };
}

/// What is asked of the host from now on is asked for this context.
pub fn act_for(context: u32) -> bool {
    // SAFETY: a plain number.
    unsafe { proxy_set_effective_context(context) == 0 }
}

/// Adds to a counter.
pub fn increment(metric: u32, by: u64) {
    // SAFETY: plain numbers.
    unsafe { proxy_increment_metric(metric, i64::try_from(by).unwrap_or(i64::MAX)) };
}

/// Records a value in a histogram.
pub fn record(metric: u32, value: u64) {
    // SAFETY: plain numbers.
    unsafe { proxy_record_metric(metric, value) };
}
