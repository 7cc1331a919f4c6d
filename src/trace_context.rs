//! Positions in a trace: the one that a request has, and the span of an agent's run.
//!
//! Spec: W3C Trace Context, B3.

/// A place in a trace, as a `traceparent` header says it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// The trace.
    pub trace: [u8; 16],
    /// The span.
    pub span: [u8; 8],
    /// The trace is recorded.
    pub sampled: bool,
}

/// A run's span, from its first call until it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// Its trace.
    pub trace: [u8; 16],
    /// Its span.
    pub span: [u8; 8],
    /// Whose child it is; all zero for nobody's.
    pub parent: [u8; 8],
    /// When its first call began, in nanoseconds since 1970.
    pub start: u64,
}

impl Run {
    /// The place of the run's own span.
    pub fn place(self) -> Place {
        Place { trace: self.trace, span: self.span, sampled: true }
    }
}

impl Place {
    /// Reads a `traceparent`; None where it is not one.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let version = parts.next().filter(|v| v.len() == 2 && *v != "ff")?;
        let place = Place {
            trace: hex(parts.next()?)?,
            span: hex(parts.next()?)?,
            sampled: hex::<1>(parts.next()?)?.first().is_some_and(|flags| flags & 1 == 1),
        };
        // Only later versions may say more.
        let known = version != "00" || parts.next().is_none();
        (known && place.trace != [0; 16] && place.span != [0; 8]).then_some(place)
    }

    /// Reads B3 in its one-header form, `TRACE-SPAN` with whether it is recorded behind it; the trace's name may be half as long.
    pub fn parse_b3(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (trace, span) = (parts.next()?, hex(parts.next()?)?);
        let trace = if trace.len() == 16 { hex(&format!("{trace:0>32}"))? } else { hex(trace)? };
        // Whoever leaves it open lets us decide; `d` stands for debugging.
        let sampled = parts.next().is_none_or(|sampled| matches!(sampled, "1" | "d" | "true"));
        (trace != [0; 16] && span != [0; 8]).then_some(Place { trace, span, sampled })
    }

    /// A trace of its own, named by the request's identifier (a UUID, as Envoy makes them).
    pub fn of_request(id: &str) -> Option<Self> {
        let trace = hex(&id.replace('-', ""))?;
        Some(Place { trace, span: [0; 8], sampled: true })
    }

    /// A run that begins under this place.
    pub fn run(&self, start: u64) -> Run {
        Run { trace: self.trace, span: self.derive(start, 0), parent: self.span, start }
    }

    /// An identifier made of the place's own, so that no two workers make the same one, and of when the exchange began:
    /// where Envoy makes no spans, the calls of one client's span are all at its place.
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
    let mut out = [0; N];
    let lower = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
    if digits.len() != 2 * N || !digits.bytes().all(lower) {
        return None;
    }
    for (at, slot) in out.iter_mut().enumerate() {
        *slot = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(out)
}

/// Whether a trace is among the share that is sampled, so that all its calls are or none is.
pub fn is_sampled(trace: [u8; 16], share: f64) -> bool {
    // The last bytes are random in every version of the standard.
    let [.., a, b, c, d, e, f, g] = trace;
    let place = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
    (place as f64) < share * (1_u64 << 56) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_sampled_as_a_whole_and_at_the_share_asked_for() {
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
