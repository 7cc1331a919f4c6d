//! The trace context of a request, and the span of an agent's run.
//!
//! Spec: W3C Trace Context, B3.

/// The trace context of a request, as in a `traceparent` header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceContext {
    /// The trace identifier.
    pub trace: [u8; 16],
    /// The span identifier. All zero if the request has no span.
    pub span: [u8; 8],
    /// True if the trace is recorded.
    pub sampled: bool,
}

/// The span of an agent's run. It starts with the run's first call and ends with the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunSpan {
    /// The trace identifier.
    pub trace: [u8; 16],
    /// The span identifier.
    pub span: [u8; 8],
    /// The identifier of the parent span. All zero if there is none.
    pub parent: [u8; 8],
    /// The start of the first call, in nanoseconds since 1970.
    pub start: u64,
}

impl RunSpan {
    /// The trace context of the run's span, for its children.
    pub fn context(self) -> TraceContext {
        TraceContext { trace: self.trace, span: self.span, sampled: true }
    }

    /// The identifier of the span of a tool that the run calls. `called_at` is when the model asked for it, `call` the hash of the
    /// call's identifier. So the span has a child before it is made.
    pub fn tool(self, called_at: u64, call: u64) -> [u8; 8] {
        self.context().derive(called_at, call)
    }
}

impl TraceContext {
    /// Parses a `traceparent` header. Returns None if it is not valid.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let version = parts.next().filter(|v| v.len() == 2 && *v != "ff")?;
        let context = TraceContext {
            trace: hex(parts.next()?)?,
            span: hex(parts.next()?)?,
            sampled: hex::<1>(parts.next()?)?.first().is_some_and(|flags| flags & 1 == 1),
        };
        // Only versions after 00 may have further fields.
        let known = version != "00" || parts.next().is_none();
        (known && context.trace != [0; 16] && context.span != [0; 8]).then_some(context)
    }

    /// Parses a B3 single header: `TRACE-SPAN-SAMPLED`. The trace identifier has 16 or 32 digits. Returns None if it is not valid.
    pub fn parse_b3(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (trace, span) = (parts.next()?, hex(parts.next()?)?);
        let trace = if trace.len() == 16 { hex(&format!("{trace:0>32}"))? } else { hex(trace)? };
        // A missing flag defers the decision; `d` stands for debug.
        let sampled = parts.next().is_none_or(|sampled| matches!(sampled, "1" | "d" | "true"));
        (trace != [0; 16] && span != [0; 8]).then_some(TraceContext { trace, span, sampled })
    }

    /// A new trace with the request's identifier (a UUID made by Envoy) as trace identifier. Returns None if it is not a UUID.
    pub fn of_request(id: &str) -> Option<Self> {
        Some(TraceContext::new_trace(hex(&id.replace('-', ""))?, 1.0))
    }

    /// A new trace. It is sampled if `share` (0 to 1) of all traces includes it.
    pub fn new_trace(trace: [u8; 16], share: f64) -> Self {
        TraceContext { trace, span: [0; 8], sampled: is_sampled(trace, share) }
    }

    /// The place of a request in a trace, by its headers `traceparent`, `b3` and `x-b3-*`; None if it has none that is valid.
    pub fn of_headers<T: AsRef<str>>(header: impl Fn(&str) -> Option<T>) -> Option<Self> {
        let b3 = || match header("b3") {
            Some(single) => TraceContext::parse_b3(single.as_ref()),
            None => {
                let (trace, span) = (header("x-b3-traceid")?, header("x-b3-spanid")?);
                let sampled = header("x-b3-sampled");
                let sampled = sampled.as_ref().map_or("1", T::as_ref);
                TraceContext::parse_b3(&format!("{}-{}-{sampled}", trace.as_ref(), span.as_ref()))
            }
        };
        header("traceparent").and_then(|value| TraceContext::parse(value.as_ref())).or_else(b3)
    }

    /// The span of a run whose first call, at `start`, has this trace context.
    pub fn run_span(&self, start: u64) -> RunSpan {
        RunSpan { trace: self.trace, span: self.derive(start, 0), parent: self.span, start }
    }

    /// Makes a span identifier from the trace identifier, the span identifier, the start time and `salt`. Workers cannot make
    /// equal ones. The start time is needed because calls have one trace context if Envoy makes no spans.
    pub fn derive(&self, start: u64, salt: u64) -> [u8; 8] {
        let (head, tail) = (self.trace.first_chunk().copied(), self.trace.last_chunk().copied());
        let own = [head, tail, Some(self.span)].map(|part| u64::from_le_bytes(part.unwrap_or_default()));
        let spread = |hash: u64, part: u64| {
            let mut hash = (hash ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
            hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            hash ^ hash >> 31
        };
        own.into_iter().chain([start, salt]).fold(0, spread).max(1).to_le_bytes()
    }
}

fn hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    let mut out = [0; N];
    if pairs.len() != N {
        return None;
    }
    for (slot, [high, low]) in out.iter_mut().zip(pairs) {
        *slot = digit(*high)? << 4 | digit(*low)?;
    }
    Some(out)
}

/// The value of a hexadecimal digit in lower case.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Returns true if a trace is sampled, if `share` (0 to 1) of all traces are. All calls of a trace get the same answer.
pub fn is_sampled(trace: [u8; 16], share: f64) -> bool {
    // The last bytes are random in every version of the specification.
    let [.., a, b, c, d, e, f, g] = trace;
    let random = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
    (random as f64) < share * (1_u64 << 56) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_share_of_traces_is_sampled() {
        let trace = |n: u64| {
            let mut trace = [7; 16];
            trace[8..].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            trace
        };
        let sampled = (0..10_000).filter(|n| is_sampled(trace(*n), 0.1)).count();
        assert!((900..1100).contains(&sampled), "{sampled}");
        assert!((0..100).all(|n| is_sampled(trace(n), 1.0) && !is_sampled(trace(n), 0.0)));
    }
}
