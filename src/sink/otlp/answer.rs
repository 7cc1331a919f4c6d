//! The answer of a collector to a request.
//!
//! Spec: OTLP 1, "OTLP/HTTP Response"; RFC 9110, section 10.2.3 (`Retry-After`) and 5.6.7 (dates).

const SECOND: u64 = 1_000_000_000;

/// Maximum number of bytes of the answer's body that are read.
pub const ANSWER_LIMIT: usize = 4096;

/// Maximum length of a collector's message in the log, in characters.
const MESSAGE: usize = 200;

/// The answer of a collector. The default is that there was none: the connection failed, or time was up.
#[derive(Debug, Default, PartialEq)]
pub struct CollectorAnswer {
    /// The HTTP status.
    pub status: Option<u16>,
    /// The time that the collector wants to be left alone, in nanoseconds.
    pub retry_after: Option<u64>,
    /// Number of items that it did not accept, although it accepted the request.
    pub rejected: u64,
    /// Why it did not accept them: cut, and without control characters. Empty if it did not say.
    pub message: String,
}

impl CollectorAnswer {
    /// Reads the answer from its status, its header `retry-after` and its body. `now` is in nanoseconds since 1970.
    pub fn read(status: Option<&[u8]>, retry_after: Option<&[u8]>, body: &[u8], now: u64) -> Self {
        let status = status.and_then(|status| core::str::from_utf8(status).ok()?.parse().ok());
        let retry_after = retry_after.and_then(|text| delay(core::str::from_utf8(text).ok()?.trim(), now));
        let mut answer = CollectorAnswer { status, retry_after, ..CollectorAnswer::default() };
        if answer.is_accepted() {
            answer.read_partial_success(body);
        }
        answer
    }

    /// Returns true if the request, or a part of it, was accepted.
    pub fn is_accepted(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// Returns true if the same request may be accepted later.
    pub fn is_retryable(&self) -> bool {
        self.status.is_none_or(|status| matches!(status, 429 | 502..=504))
    }

    /// Reads the field `partial_success`, which is the same in the responses for all signals.
    fn read_partial_success(&mut self, response: &[u8]) {
        for (field, value) in WireFields(response) {
            let (1, WireField::Bytes(partial)) = (field, value) else { continue };
            for (field, value) in WireFields(partial) {
                match (field, value) {
                    // A negative number has no meaning.
                    (1, WireField::Number(count)) => self.rejected = u64::try_from(count as i64).unwrap_or(0),
                    (2, WireField::Bytes(text)) => {
                        let text = String::from_utf8_lossy(text);
                        let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
                        self.message = clean.take(MESSAGE).collect();
                    }
                    _ => {}
                }
            }
        }
    }
}

/// The value of `retry-after` in nanoseconds: a number of seconds or a date.
fn delay(text: &str, now: u64) -> Option<u64> {
    let seconds = text.parse::<u32>().map(u64::from).ok();
    seconds.map(|seconds| seconds * SECOND).or_else(|| Some((date(text)? * SECOND).saturating_sub(now)))
}

/// The seconds since 1970 of a date such as `Sun, 06 Nov 1994 08:49:37 GMT`. Servers must not send the obsolete forms.
fn date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split_once(", ")?.1.split(' ');
    let day: u64 = parts.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as u64;
    let year: u64 = parts.next()?.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let mut seconds = 0;
    for (number, limit) in parts.next()?.splitn(3, ':').zip([24, 60, 61]) {
        seconds = seconds * 60 + number.parse::<u64>().ok().filter(|number| *number < limit)?;
    }
    // Days of years that begin in March, so that a leap day is the last of its year.
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    (parts.next() == Some("GMT")).then_some((days.checked_sub(719_469)?) * 86_400 + seconds)
}

/// The fields of a protobuf message, up to the first that is not valid. A string or message that is cut has what is there.
struct WireFields<'b>(&'b [u8]);

enum WireField<'b> {
    Number(u64),
    Bytes(&'b [u8]),
    Fixed,
}

impl<'b> Iterator for WireFields<'b> {
    type Item = (u64, WireField<'b>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => WireField::Number(self.varint()?),
            1 => self.take(8).map(|_| WireField::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                WireField::Bytes(self.take(length.min(self.0.len()))?)
            }
            5 => self.take(4).map(|_| WireField::Fixed)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

impl<'b> WireFields<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let byte = *self.take(1)?.first()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
    use prost::Message;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
    const THEN: u64 = 784_111_777;

    fn answer(rejected_spans: i64, error_message: &str) -> Vec<u8> {
        let partial = ExportTracePartialSuccess { rejected_spans, error_message: error_message.into() };
        ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
    }

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let now = THEN * SECOND;
        for (text, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Mon, 07 Nov 1994 08:49:37 GMT", Some(86_400)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Some(0)),
            ("Thu, 29 Feb 1996 00:00:00 GMT", Some(825_552_000 - THEN)),
            ("Fri, 01 Mar 1996 00:00:00 GMT", Some(825_638_400 - THEN)),
            ("Tue, 01 Jan 2030 00:00:00 GMT", Some(1_893_456_000 - THEN)),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 06 Nov 1994 25:49:37 GMT", None),
            ("Sun, 06 Foo 1994 08:49:37 GMT", None),
            ("Sun, 00 Nov 1994 08:49:37 GMT", None),
        ] {
            let read = CollectorAnswer::read(Some(b"503"), Some(text.as_bytes()), b"", now).retry_after;
            assert_eq!(read, seconds.map(|seconds| seconds * SECOND), "{text}");
        }
        assert_eq!(delay("Thu, 01 Jan 1970 00:00:09 GMT", 0), Some(9 * SECOND));
    }

    #[test]
    fn only_the_statuses_of_the_specification_are_retryable() {
        let with = |status: Option<u16>| CollectorAnswer { status, ..CollectorAnswer::default() };
        assert!(
            [None, Some(429), Some(502), Some(503), Some(504)].into_iter().all(|status| with(status).is_retryable())
        );
        let others = (100..600).filter(|status| ![429, 502, 503, 504].contains(status));
        assert!(others.map(Some).all(|status| !with(status).is_retryable()));
        assert_eq!((100..600).filter(|status| with(Some(*status)).is_accepted()).count(), 100);
    }

    #[test]
    fn a_partial_success_says_what_was_rejected_and_why() {
        let read = |body: &[u8]| {
            let answer = CollectorAnswer::read(Some(b"200"), None, body, 0);
            (answer.rejected, answer.message)
        };
        assert_eq!(read(&answer(3, "too old")), (3, "too old".to_owned()));
        assert_eq!(read(&answer(0, "be careful")), (0, "be careful".to_owned()));
        assert_eq!(read(&answer(-1, "")), (0, String::new()));
        assert_eq!(read(&ExportTraceServiceResponse::default().encode_to_vec()), (0, String::new()));
        assert_eq!(read(&answer(1, "a\nb\x1b[31m\u{85}")), (1, "a b [31m ".to_owned()));
        assert_eq!(read(&answer(1, &"é".repeat(5_000))), (1, "é".repeat(MESSAGE)));
        assert_eq!(CollectorAnswer::read(Some(b"400"), None, &answer(3, "x"), 0).rejected, 0);
    }

    #[test]
    fn a_body_that_is_cut_or_is_no_protobuf_is_read_without_a_fault() {
        let whole = answer(300, "the end is missing");
        for length in 0..whole.len() {
            let read = CollectorAnswer::read(Some(b"200"), None, &whole[..length], 0);
            assert!([0, 300].contains(&read.rejected) && "the end is missing".starts_with(&read.message), "{length}");
        }
        for body in [&b"<html>"[..], &[0xff; 32], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1]] {
            assert_eq!(CollectorAnswer::read(Some(b"200"), None, body, 0).rejected, 0);
        }
        assert_eq!(CollectorAnswer::read(None, None, b"", 0), CollectorAnswer::default());
    }
}
