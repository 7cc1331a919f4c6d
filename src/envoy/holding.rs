//! Finds out if the host runs the body's callbacks while the headers of a request are held.
//!
//! Envoy does if the plugin's configuration in Envoy has `allow_on_headers_stop_iteration`. Other hosts keep the body back until
//! the headers have gone on, so a held request would hang there. The plugin cannot read that setting. What tells the two apart:
//!
//! - A body callback for a held request proves that the host can hold headers. It can from then on: the setting belongs to the
//!   configuration, as this state does.
//! - Until then, a tick compares `request.total_size` with the size of the headers. If bytes of the body have come to the host
//!   and no callback after [`GRACE`], the request is released. If its body then comes [`AT_ONCE`], the host had kept it back.
//!   After [`FAILURES`] such requests the host counts as unable, and no request is held any more.
//! - A request whose body has not come to the host shows nothing, however slow its client is. It stays held.
//!
//! A filter before the plugin may keep bodies back too, but it does so after the release as well. Memory: 40 bytes for each held
//! request until the host has shown what it can do.

use std::cell::{Cell, RefCell};

use proxy_wasm::hostcalls;

use super::host;
use crate::exchange::Head;

/// How long a request stays held after its body has come to the host, in nanoseconds.
const GRACE: u64 = 250_000_000;
/// A body that comes within this time after the release was kept back by the host, in nanoseconds.
const AT_ONCE: u64 = 20_000_000;
/// Number of bodies that the host kept back after which it counts as unable to hold headers.
const FAILURES: u32 = 3;

/// Whether the host can hold headers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Ability {
    #[default]
    Unknown,
    Able,
    Unable,
}

/// A held request, while it is not known what the host can do.
struct Waiting {
    stream: u32,
    /// Size of its headers, in bytes.
    headers: u64,
    /// The last time at which no byte of its body had come to the host.
    since: u64,
    /// When it was released. 0 if it was not.
    released: u64,
}

/// The requests of a configuration whose headers are held.
#[derive(Default)]
pub struct Holding {
    ability: Cell<Ability>,
    waiting: RefCell<Vec<Waiting>>,
    failures: Cell<u32>,
}

impl Holding {
    /// Registers a request whose headers have `headers` bytes. Returns true if it may be held.
    pub fn add(&self, stream: u32, headers: u64, now: u64) -> bool {
        match self.ability.get() {
            Ability::Able => true,
            // Without a clock a request could not be released.
            Ability::Unknown if now > 0 => self
                .waiting
                .try_borrow_mut()
                .map(|mut waiting| waiting.push(Waiting { stream, headers, since: now, released: 0 }))
                .is_ok(),
            Ability::Unknown | Ability::Unable => false,
        }
    }

    /// Returns true if the host has shown that it can hold headers.
    pub fn is_able(&self) -> bool {
        self.ability.get() == Ability::Able
    }

    /// The body of a request comes. Returns true if the request is still held.
    pub fn body_came(&self, stream: u32, now: u64) -> bool {
        let Some(released) = self.remove(stream) else {
            self.body_came_while_held();
            return true;
        };
        if released == 0 {
            self.body_came_while_held();
            return true;
        }
        if self.ability.get() == Ability::Unknown && now.saturating_sub(released) <= AT_ONCE {
            self.failures.set(self.failures.get().saturating_add(1));
            if self.failures.get() >= FAILURES {
                self.ability.set(Ability::Unable);
                log::warn!(
                    "stream_usage.inject does nothing: this host does not run the body's callbacks while headers are held (allow_on_headers_stop_iteration)"
                );
            }
        }
        false
    }

    /// The host showed the body of a request whose headers are held.
    pub fn body_came_while_held(&self) {
        if self.ability.get() != Ability::Able {
            self.ability.set(Ability::Able);
            if let Ok(mut waiting) = self.waiting.try_borrow_mut() {
                // The others stay held, and no longer need to be watched.
                waiting.retain(|request| request.released > 0);
            }
        }
    }

    /// Removes a request. Returns when it was released, and 0 if it was not. Returns None if it was not registered.
    pub fn remove(&self, stream: u32) -> Option<u64> {
        let mut waiting = self.waiting.try_borrow_mut().ok()?;
        let place = waiting.iter().position(|request| request.stream == stream)?;
        Some(waiting.swap_remove(place).released)
    }

    /// Releases the requests whose bodies the host keeps back. The effective context of later host calls may be one of their
    /// streams.
    pub fn release_stuck(&self, now: u64) {
        let Ok(mut waiting) = self.waiting.try_borrow_mut() else { return };
        for request in waiting.iter_mut().filter(|request| request.released == 0) {
            if hostcalls::set_effective_context(request.stream).is_err() {
                continue;
            }
            if !body_has_come(request.headers) {
                request.since = now;
            } else if now > 0 && (now.saturating_sub(request.since) > GRACE || now < request.since) {
                request.released = now;
                let _ = hostcalls::resume_http_request();
            }
        }
    }

    /// Returns true if a request is held, and the next tick must show if the host keeps its body back.
    pub fn needs_short_tick(&self) -> bool {
        self.waiting.try_borrow().is_ok_and(|waiting| waiting.iter().any(|request| request.released == 0))
    }
}

/// Size of headers as Envoy counts it, in bytes.
pub fn header_size(head: Head<'_>) -> u64 {
    head.0.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum()
}

/// Returns true if bytes of the body of the current request have come to the host, or if the host does not tell. `headers` is the
/// [`header_size`] of the request.
pub fn body_has_come(headers: u64) -> bool {
    let size = host::property("request\0total_size");
    size.as_deref().and_then(<[u8]>::first_chunk).is_none_or(|size| u64::from_le_bytes(*size) > headers)
}
