//! Internal redirects: Envoy follows a redirect itself, and sends the client's request through the filter chain again as
//! another stream, a leg of the same call. Only the leg that answers the client is reported.
//!
//! The data that the next leg needs is in filter state with the life span of the request. It is written when a leg is redirected
//! away and read only if the request has Envoy's header for redirects, so that other calls pay nothing.

use super::host::{self, LifeSpan};
use crate::exchange::Head;
use crate::sink::attributes::digits;

/// Filter state for the next leg.
const REDIRECT: &str = "gaugeway.redirect";
/// Envoy's response code details of a leg that was redirected away.
const DETAILS: &str = "internal_redirect";
/// Envoy sets this header in the requests that it redirects.
const ORIGINAL_URL: &str = "x-envoy-original-url";

/// Data of the earlier legs of a call that Envoy redirected internally.
pub struct EarlierLeg {
    /// When the call started: the start of the first leg, in nanoseconds since 1970.
    pub start: u64,
    /// True if the request was changed to ask for usage. The body is the changed one.
    pub asked_for_usage: bool,
}

/// Declares the filter state. Called by the root context: Envoy ignores declarations of streams.
pub fn declare() {
    host::declare_property(REDIRECT, false, LifeSpan::Request);
}

/// Returns true if these response code details say that the leg was redirected away.
pub fn is_redirected(details: &str) -> bool {
    details == DETAILS
}

impl EarlierLeg {
    /// Reads what the leg before left. None if there is none.
    pub fn take(head: Head<'_>) -> Option<Self> {
        head.bytes(ORIGINAL_URL)?;
        let value = host::property(REDIRECT)?;
        let (start, asked) = core::str::from_utf8(&value).ok()?.split_once(' ')?;
        Some(EarlierLeg { start: start.parse().ok()?, asked_for_usage: asked == "asked" })
    }

    /// Leaves this for the next leg.
    pub fn leave(&self) {
        let mut value = String::new();
        digits(&mut value, self.start, 1);
        value.push_str(if self.asked_for_usage { " asked" } else { " unchanged" });
        host::set_property(REDIRECT, &value);
    }
}
