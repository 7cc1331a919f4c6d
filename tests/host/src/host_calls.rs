//! The state of the test host and the calls that it serves. All other calls return "not implemented" and are recorded.

use std::collections::{BTreeMap, HashMap};

use wasmtime::{Caller, Linker, Memory, Module, StoreLimits, TypedFunc, Val};

use super::guest_memory::{give, read, serialize, write};

pub type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// Decides whether a host call is refused: the status to return, or None to serve the call.
pub type Refuse = Box<dyn FnMut(&str) -> Option<u32> + Send>;

pub const NOT_FOUND: u32 = 1;
pub const BAD_ARGUMENT: u32 = 2;
pub const CAS_MISMATCH: u32 = 8;
pub const INTERNAL_FAILURE: u32 = 10;
pub const UNIMPLEMENTED: u32 = 12;

pub const REQUEST_HEADERS: u32 = 0;
pub const RESPONSE_HEADERS: u32 = 2;
pub const REQUEST_BODY: u32 = 0;
pub const RESPONSE_BODY: u32 = 1;
const CONFIGURATION: u32 = 7;

/// The statuses other than Ok with which a host may answer a call. For calls that the plugin makes through the SDK they
/// are the statuses that the SDK accepts, which include all statuses that Envoy returns. For all other calls any number
/// is allowed.
pub fn statuses(call: &str) -> &'static [u32] {
    match call {
        "proxy_get_buffer_bytes" | "proxy_record_metric" => &[NOT_FOUND],
        "proxy_increment_metric" => &[NOT_FOUND, BAD_ARGUMENT],
        "proxy_set_effective_context" => &[BAD_ARGUMENT],
        "proxy_http_call" => &[BAD_ARGUMENT, INTERNAL_FAILURE],
        "proxy_continue_stream" => &[],
        _ => &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 255, u32::MAX],
    }
}

/// The host's state of a stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    pub request: Headers,
    pub response: Headers,
    /// Properties by path; the parts of the path are joined by NUL.
    pub properties: HashMap<Vec<u8>, Vec<u8>>,
    /// True while the guest holds the request headers.
    pub held: bool,
    /// The filter state that the guest has set.
    pub written: BTreeMap<String, String>,
}

/// A series: the number of updates, and their sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    pub kind: u32,
    pub name: String,
    pub count: u64,
    pub sum: u64,
}

/// The host's side of the VM.
pub struct State {
    pub refuse: Refuse,
    pub streams: HashMap<u32, Stream>,
    pub metrics: Vec<Metric>,
    pub log: Vec<String>,
    /// Nanoseconds. Every read of the clock adds one.
    pub clock: u64,
    /// The calls that change traffic, and the calls that this host does not know.
    pub touched: Vec<String>,
    /// The shared data of all VMs, with version numbers.
    pub shared: HashMap<Vec<u8>, (Vec<u8>, u32)>,
    /// Streams that the guest resumed.
    pub resumed: Vec<u32>,
    /// Streams whose response the guest reset.
    pub closed: Vec<u32>,
    /// The percentage of a body that the guest can read.
    pub share: usize,
    pub configuration: Vec<u8>,
    pub active: u32,
    /// The header maps and the buffer that are accessible in the current callback.
    pub maps: &'static [u32],
    pub buffer: Option<(u32, Vec<u8>)>,
    pub memory: Option<Memory>,
    /// The limit on the guest's memory.
    pub limits: StoreLimits,
    pub malloc: Option<TypedFunc<u32, u32>>,
}

impl State {
    pub fn refusing(refuse: Refuse) -> Self {
        Self {
            refuse,
            streams: HashMap::new(),
            metrics: Vec::new(),
            log: Vec::new(),
            clock: 1_700_000_000_000_000_000,
            touched: Vec::new(),
            shared: HashMap::new(),
            resumed: Vec::new(),
            closed: Vec::new(),
            share: 100,
            configuration: Vec::new(),
            active: 0,
            maps: &[],
            buffer: None,
            memory: None,
            limits: StoreLimits::default(),
            malloc: None,
        }
    }
}

/// Defines every function that the plugin imports.
pub fn serve(linker: &mut Linker<State>, module: &Module) -> wasmtime::Result<()> {
    lack(linker, module)?;
    linker.allow_shadowing(true);
    linker.func_wrap("env", "proxy_log", |mut guest: Caller<'_, State>, _: u32, at: u32, size: u32| {
        guarded(&mut guest, "proxy_log", |guest| {
            let line = String::from_utf8_lossy(&read(guest, at, size)).into_owned();
            guest.data_mut().log.push(line);
            Ok(0)
        })
    })?;
    linker.func_wrap("env", "proxy_get_current_time_nanoseconds", |mut guest: Caller<'_, State>, out: u32| {
        guarded(&mut guest, "proxy_get_current_time_nanoseconds", |guest| {
            guest.data_mut().clock += 1;
            let now = guest.data().clock;
            write(guest, out, &now.to_le_bytes())
        })
    })?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_value",
        |mut guest: Caller<'_, State>, map: u32, at: u32, size: u32, out: u32, out_size: u32| {
            guarded(&mut guest, "proxy_get_header_map_value", |guest| {
                let name = read(guest, at, size);
                let Some(headers) = headers(guest, map) else { return Ok(BAD_ARGUMENT) };
                let Some((_, value)) = headers.iter().find(|(key, _)| *key == name) else { return Ok(NOT_FOUND) };
                let value = value.clone();
                give(guest, &value, out, out_size)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_pairs",
        |mut guest: Caller<'_, State>, map: u32, out: u32, out_size: u32| {
            guarded(&mut guest, "proxy_get_header_map_pairs", |guest| {
                let Some(headers) = headers(guest, map) else { return Ok(BAD_ARGUMENT) };
                let serialized = serialize(headers);
                give(guest, &serialized, out, out_size)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_buffer_bytes",
        |mut guest: Caller<'_, State>, kind: u32, start: u32, size: u32, out: u32, out_size: u32| {
            guarded(&mut guest, "proxy_get_buffer_bytes", |guest| {
                let state = guest.data();
                let bytes = match &state.buffer {
                    _ if kind == CONFIGURATION => &state.configuration,
                    Some((which, bytes)) if *which == kind => bytes,
                    _ => return Ok(NOT_FOUND),
                };
                let bytes = bytes.get(start as usize..).unwrap_or_default();
                let most = (size as usize).min(bytes.len() * state.share / 100);
                let bytes = bytes[..most].to_vec();
                if bytes.is_empty() { Ok(NOT_FOUND) } else { give(guest, &bytes, out, out_size) }
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_property",
        |mut guest: Caller<'_, State>, at: u32, size: u32, out: u32, out_size: u32| {
            guarded(&mut guest, "proxy_get_property", |guest| {
                let path = read(guest, at, size);
                if path == b"plugin_root_id" {
                    return give(guest, b"gaugeway", out, out_size);
                }
                let state = guest.data();
                let value = state.streams.get(&state.active).and_then(|stream| stream.properties.get(&path)).cloned();
                value.map_or(Ok(NOT_FOUND), |value| give(guest, &value, out, out_size))
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_property",
        |mut guest: Caller<'_, State>, at: u32, size: u32, value: u32, value_size: u32| {
            guarded(&mut guest, "proxy_set_property", |guest| {
                let text = |bytes| String::from_utf8(bytes).expect("the plugin wrote text that is not UTF-8");
                let (name, value) = (text(read(guest, at, size)), text(read(guest, value, value_size)));
                let active = guest.data().active;
                let stream = guest
                    .data_mut()
                    .streams
                    .get_mut(&active)
                    .expect("the plugin set filter state without an active stream");
                stream.written.insert(name, value);
                Ok(0)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_define_metric",
        |mut guest: Caller<'_, State>, kind: u32, at: u32, size: u32, out: u32| {
            guarded(&mut guest, "proxy_define_metric", |guest| {
                let name = String::from_utf8(read(guest, at, size)).expect("the name of a series is not UTF-8");
                let metrics = &mut guest.data_mut().metrics;
                let place = metrics.iter().position(|metric| metric.name == name).unwrap_or(metrics.len());
                if place == metrics.len() {
                    metrics.push(Metric { kind, name, count: 0, sum: 0 });
                }
                write(guest, out, &(place as u32).to_le_bytes())
            })
        },
    )?;
    linker
        .func_wrap("env", "proxy_done", |mut guest: Caller<'_, State>| guarded(&mut guest, "proxy_done", |_| Ok(0)))?;
    linker.func_wrap("env", "proxy_set_tick_period_milliseconds", |mut guest: Caller<'_, State>, _: u32| {
        guarded(&mut guest, "proxy_set_tick_period_milliseconds", |_| Ok(0))
    })?;
    linker.func_wrap(
        "env",
        "proxy_get_shared_data",
        |mut guest: Caller<'_, State>, at: u32, size: u32, out: u32, out_size: u32, cas: u32| {
            guarded(&mut guest, "proxy_get_shared_data", |guest| {
                let key = read(guest, at, size);
                let Some((value, version)) = guest.data().shared.get(&key).cloned() else { return Ok(NOT_FOUND) };
                write(guest, cas, &version.to_le_bytes())?;
                give(guest, &value, out, out_size)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_shared_data",
        |mut guest: Caller<'_, State>, at: u32, size: u32, value: u32, value_size: u32, cas: u32| {
            guarded(&mut guest, "proxy_set_shared_data", |guest| {
                let (key, value) = (read(guest, at, size), read(guest, value, value_size));
                // Like Envoy, it compares versions only if there is a value.
                let shared = &mut guest.data_mut().shared;
                let version = shared.get(&key).map_or(0, |(_, version)| *version);
                if cas != 0 && version != 0 && cas != version {
                    return Ok(CAS_MISMATCH);
                }
                shared.insert(key, (value, version + 1));
                Ok(0)
            })
        },
    )?;
    linker.func_wrap("wasi_snapshot_preview1", "random_get", |mut guest: Caller<'_, State>, at: u32, size: u32| {
        guarded(&mut guest, "random_get", |guest| write(guest, at, &vec![7; size as usize]))
    })?;
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |mut guest: Caller<'_, State>, at: u32, size: u32, _: u32, _: u32, _: u32, _: u32| {
            guarded(&mut guest, "proxy_call_foreign_function", |guest| {
                Ok(if read(guest, at, size) == b"declare_property" { 0 } else { NOT_FOUND })
            })
        },
    )?;
    linker.func_wrap("env", "proxy_increment_metric", |mut guest: Caller<'_, State>, metric: u32, by: i64| {
        guarded(&mut guest, "proxy_increment_metric", |guest| Ok(emit(guest, metric, by as u64)))
    })?;
    change(linker)?;
    linker.func_wrap("env", "proxy_record_metric", |mut guest: Caller<'_, State>, metric: u32, value: u64| {
        guarded(&mut guest, "proxy_record_metric", |guest| Ok(emit(guest, metric, value)))
    })?;
    Ok(())
}

/// Defines the calls that change traffic.
fn change(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_replace_header_map_value",
        |mut guest: Caller<'_, State>, map: u32, at: u32, size: u32, value: u32, value_size: u32| {
            guarded(&mut guest, "proxy_replace_header_map_value", |guest| {
                let (name, value) = (read(guest, at, size), read(guest, value, value_size));
                touch(guest, "proxy_replace_header_map_value");
                let Some(headers) = headers_mut(guest, map) else { return Ok(BAD_ARGUMENT) };
                headers.retain(|(key, _)| *key != name);
                headers.push((name, value));
                Ok(0)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_remove_header_map_value",
        |mut guest: Caller<'_, State>, map: u32, at: u32, size: u32| {
            guarded(&mut guest, "proxy_remove_header_map_value", |guest| {
                let name = read(guest, at, size);
                touch(guest, "proxy_remove_header_map_value");
                let Some(headers) = headers_mut(guest, map) else { return Ok(BAD_ARGUMENT) };
                headers.retain(|(key, _)| *key != name);
                Ok(0)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_buffer_bytes",
        |mut guest: Caller<'_, State>, kind: u32, start: u32, size: u32, at: u32, length: u32| {
            guarded(&mut guest, "proxy_set_buffer_bytes", |guest| {
                let new = read(guest, at, length);
                touch(guest, "proxy_set_buffer_bytes");
                match &mut guest.data_mut().buffer {
                    Some((which, bytes)) if *which == kind && start == 0 && size == 0 => {
                        bytes.splice(0..0, new);
                        Ok(0)
                    }
                    Some((which, bytes)) if *which == kind && start == 0 && size as usize >= bytes.len() => {
                        *bytes = new;
                        Ok(0)
                    }
                    _ => Ok(BAD_ARGUMENT),
                }
            })
        },
    )?;
    linker.func_wrap("env", "proxy_set_effective_context", |mut guest: Caller<'_, State>, id: u32| {
        guarded(&mut guest, "proxy_set_effective_context", |guest| {
            let known = guest.data().streams.contains_key(&id);
            guest.data_mut().active = id;
            Ok(if known { 0 } else { BAD_ARGUMENT })
        })
    })?;
    linker.func_wrap("env", "proxy_close_stream", |mut guest: Caller<'_, State>, _: u32| {
        guarded(&mut guest, "proxy_close_stream", |guest| {
            let active = guest.data().active;
            guest.data_mut().closed.push(active);
            Ok(0)
        })
    })?;
    linker.func_wrap("env", "proxy_continue_stream", |mut guest: Caller<'_, State>, _: u32| {
        guarded(&mut guest, "proxy_continue_stream", |guest| {
            let active = guest.data().active;
            guest.data_mut().resumed.push(active);
            Ok(0)
        })
    })?;
    Ok(())
}

fn touch(guest: &mut Caller<'_, State>, name: &str) {
    guest.data_mut().touched.push(name.to_owned());
}

/// Defines every import as not implemented. Its use is recorded.
fn lack(linker: &mut Linker<State>, module: &Module) -> wasmtime::Result<()> {
    for import in module.imports() {
        let Some(kind) = import.ty().func().cloned() else { continue };
        let name = import.name().to_owned();
        linker.func_new(import.module(), import.name(), kind, move |mut guest, _, results| {
            let state = guest.data_mut();
            state.touched.push(name.clone());
            results[0] = Val::I32((state.refuse)(&name).unwrap_or(UNIMPLEMENTED) as i32);
            Ok(())
        })?;
    }
    Ok(())
}

/// Serves a call unless it is refused.
fn guarded(
    guest: &mut Caller<'_, State>,
    name: &str,
    call: impl FnOnce(&mut Caller<'_, State>) -> wasmtime::Result<u32>,
) -> wasmtime::Result<u32> {
    match (guest.data_mut().refuse)(name) {
        Some(status) => Ok(status),
        None => call(guest),
    }
}

fn headers<'a>(guest: &'a Caller<'_, State>, map: u32) -> Option<&'a Headers> {
    let state = guest.data();
    let stream = state.streams.get(&state.active).filter(|_| state.maps.contains(&map))?;
    match map {
        REQUEST_HEADERS => Some(&stream.request),
        RESPONSE_HEADERS => Some(&stream.response),
        _ => None,
    }
}

/// Headers can be changed from the start of their callback until they have been sent.
fn headers_mut<'a>(guest: &'a mut Caller<'_, State>, map: u32) -> Option<&'a mut Headers> {
    let state = guest.data_mut();
    let held = map == REQUEST_HEADERS && state.streams.get(&state.active)?.held;
    let stream = state.streams.get_mut(&state.active).filter(|_| held || state.maps.contains(&map))?;
    match map {
        REQUEST_HEADERS => Some(&mut stream.request),
        RESPONSE_HEADERS => Some(&mut stream.response),
        _ => None,
    }
}

fn emit(guest: &mut Caller<'_, State>, metric: u32, value: u64) -> u32 {
    let Some(metric) = guest.data_mut().metrics.get_mut(metric as usize) else { return NOT_FOUND };
    metric.count += 1;
    metric.sum += value;
    0
}
