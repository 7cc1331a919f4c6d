//! Tests of the frame reader: frames at any cut, malformed frames, and its size.

use std::rc::Rc;

use super::*;
use crate::budget::{Budget, Side};

/// The messages that were read, each as a whole.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Received {
    Message { is_text: bool, data: Vec<u8> },
    Open { is_text: bool, data: Vec<u8> },
    Close(Option<u16>),
    Error(FrameError),
}

pub(super) fn share() -> Share {
    Share::new(&Rc::new(Budget::default()), Side::Response, 0)
}

/// Reads pieces of one direction.
pub(super) fn read<'b>(
    from_client: bool,
    compression: Option<Compression>,
    pieces: impl IntoIterator<Item = &'b [u8]>,
) -> Vec<Received> {
    let mut frames = Frames::new(from_client, compression, share()).unwrap();
    let mut all = Vec::new();
    for piece in pieces {
        let result = frames.push(piece, &mut |part| match (part, all.last_mut()) {
            (Piece::Close(status), _) => all.push(Received::Close(status)),
            (Piece::Data(new), Some(Received::Open { data, .. })) => data.extend_from_slice(new),
            (Piece::End, Some(Received::Open { is_text, data })) => {
                let whole = Received::Message { is_text: *is_text, data: std::mem::take(data) };
                *all.last_mut().unwrap() = whole;
            }
            (Piece::Start { is_text }, None | Some(Received::Message { .. })) => {
                all.push(Received::Open { is_text, data: Vec::new() });
            }
            (part, last) => panic!("{part:?} after {last:?}"),
        });
        if let Err(error) = result {
            assert_eq!(frames.push(piece, &mut |part| panic!("{part:?} after an error")), Err(error));
            all.push(Received::Error(error));
            break;
        }
    }
    all
}

/// A frame with the smallest possible length field. The first byte has the flags and the opcode.
pub(super) fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let length = payload.len();
    let field = match length {
        0..126 => vec![length as u8],
        126..65_536 => [&[126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[127][..], &(length as u64).to_be_bytes()].concat(),
    };
    with_length(first, &field, payload, key)
}

/// A frame with this length field.
fn with_length(first: u8, field: &[u8], payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mut out = [&[first], field].concat();
    out[1] |= if key.is_some() { MASKED } else { 0 };
    out.extend(key.into_iter().flatten());
    let key = key.unwrap_or_default();
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// Asserts that the bytes are read as `expected`: whole, cut once anywhere, and in pieces of every size up to 40.
pub(super) fn assert_read(from_client: bool, compression: Option<Compression>, bytes: &[u8], expected: &[Received]) {
    assert_eq!(read(from_client, compression, [bytes]), expected);
    for cut in 0..bytes.len() {
        assert_eq!(read(from_client, compression, [&bytes[..cut], &bytes[cut..]]), expected, "cut at {cut}");
    }
    for size in 1..40 {
        assert_eq!(read(from_client, compression, bytes.chunks(size)), expected, "in pieces of {size}");
    }
}

pub(super) fn text(data: &[u8]) -> Received {
    Received::Message { is_text: true, data: data.to_vec() }
}

fn binary(data: &[u8]) -> Received {
    Received::Message { is_text: false, data: data.to_vec() }
}

const KEY: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);

#[test]
fn the_examples_of_rfc_6455_are_read() {
    // Section 5.7.
    assert_read(false, None, &[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f], &[text(b"Hello")]);
    let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_read(true, None, &masked, &[text(b"Hello")]);
    let fragments = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
    assert_read(false, None, &fragments, &[text(b"Hello")]);
    assert_read(false, None, &[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f], &[]);
    let pong = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_read(true, None, &pong, &[]);
    let bytes: Vec<u8> = (0..=255).collect();
    let medium = [&[0x82, 0x7e, 0x01, 0x00][..], &bytes].concat();
    assert_read(false, None, &medium, &[binary(&bytes)]);
    let long = bytes.repeat(256);
    let whole = [&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0][..], &long].concat();
    for size in [1, 7, 1000, 1024, 1025, usize::MAX] {
        assert_eq!(read(false, None, whole.chunks(size)), [binary(&long)]);
    }
}

#[test]
fn messages_are_the_same_at_any_cut_with_fragments_and_pings_in_between() {
    let long: Vec<u8> = (0..700_u32).map(|n| (n * n) as u8).collect();
    for (from_client, key) in [(false, None), (true, KEY), (true, Some([0; 4])), (true, Some([1, 2, 3, 4]))] {
        let bytes = [
            frame(0x81, b"{\"type\":\"response.create\"}", key),
            frame(0x81, b"", key),
            frame(0x02, &long[..130], key),
            frame(0x89, b"are you there", key),
            frame(0x00, b"", key),
            frame(0x00, &long[130..131], key),
            frame(0x8a, b"", key),
            frame(0x00, &long[131..135], key),
            frame(0x80, &long[135..], key),
            frame(0x01, b"", key),
            frame(0x80, b"", key),
            // Longer length fields than needed.
            with_length(0x82, &[126, 0, 3], b"abc", key),
            with_length(0x82, &[127, 0, 0, 0, 0, 0, 0, 0, 3], b"abc", key),
            frame(0x88, &[&[0x03, 0xe9][..], b"good bye"].concat(), key),
            frame(0x81, b"nothing is read after a close frame", key),
            vec![0xff; 9],
        ]
        .concat();
        let message = text(b"{\"type\":\"response.create\"}");
        let short = binary(b"abc");
        let expected =
            [message, text(b""), binary(&long), text(b""), short.clone(), short, Received::Close(Some(1001))];
        assert_read(from_client, None, &bytes, &expected);
    }
}

#[test]
fn masked_payloads_longer_than_the_scratch_memory_are_unmasked() {
    let long: Vec<u8> = (0..5000_u32).map(|n| (n * n / 8) as u8).collect();
    let bytes = [frame(0x02, &long[..3001], KEY), frame(0x80, &long[3001..], KEY)].concat();
    for size in [1, 3, 8, 1023, 1024, 1025, 2049, usize::MAX] {
        assert_eq!(read(true, None, bytes.chunks(size)), [binary(&long)], "in pieces of {size}");
    }
}

#[test]
fn a_close_frame_may_have_no_status() {
    assert_read(false, None, &frame(0x88, b"", None), &[Received::Close(None)]);
    assert_read(true, None, &frame(0x88, b"", KEY), &[Received::Close(None)]);
    assert_read(true, None, &frame(0x88, &[0x03, 0xe8], KEY), &[Received::Close(Some(1000))]);
    let open = [frame(0x01, b"half", None), frame(0x88, &[0x03, 0xf3], None)].concat();
    let half = Received::Open { is_text: true, data: b"half".to_vec() };
    assert_read(false, None, &open, &[half, Received::Close(Some(1011))]);
}

#[test]
fn frames_that_break_a_rule_are_errors_and_nothing_is_read_after_them() {
    let good = frame(0x81, b"good", None);
    for (fault, bad) in [
        ("RSV1 without an agreement", frame(0xc1, b"x", None)),
        ("RSV2", frame(0xa1, b"x", None)),
        ("RSV3", frame(0x91, b"x", None)),
        ("reserved opcode 3", frame(0x83, b"x", None)),
        ("reserved opcode 7", frame(0x87, b"", None)),
        ("reserved opcode 11", frame(0x8b, b"x", None)),
        ("reserved opcode 15", frame(0x8f, b"x", None)),
        ("masked frame of a server", frame(0x81, b"x", KEY)),
        ("fragmented ping", frame(0x09, b"x", None)),
        ("compressed ping", frame(0xc9, b"x", None)),
        ("long ping", frame(0x89, &[b'x'; 126], None)),
        ("long close", frame(0x88, &[b'x'; 126], None)),
        ("close with half a status", frame(0x88, &[3], None)),
        ("fragmented close", frame(0x08, &[3, 232], None)),
        ("continuation without a start", frame(0x80, b"x", None)),
        ("length with the top bit", with_length(0x82, &[127, 0x80, 0, 0, 0, 0, 0, 0, 1], b"x", None)),
    ] {
        let bytes = [&good[..], &bad, &good].concat();
        for size in 1..=bytes.len() {
            let seen = read(false, None, bytes.chunks(size));
            assert_eq!(seen, [text(b"good"), Received::Error(FrameError::Framing)], "{fault}");
        }
    }
    let unmasked = [frame(0x81, b"good", KEY), good.clone()].concat();
    assert_read(true, None, &unmasked, &[text(b"good"), Received::Error(FrameError::Framing)]);
    for new in [frame(0x81, b"x", None), frame(0x02, b"", None)] {
        let bytes = [frame(0x01, b"open", None), new].concat();
        let open = Received::Open { is_text: true, data: b"open".to_vec() };
        assert_read(false, None, &bytes, &[open, Received::Error(FrameError::Framing)]);
    }
    let compressed = [frame(0x01, b"open", None), frame(0xc0, b"", None)].concat();
    let open = Received::Open { is_text: true, data: b"open".to_vec() };
    assert_read(false, None, &compressed, &[open, Received::Error(FrameError::Framing)]);
}

#[test]
fn a_frame_of_the_largest_length_is_read_as_it_comes() {
    let field = [&[127][..], &i64::MAX.to_be_bytes()].concat();
    let bytes = with_length(0x82, &field, &[b'x'; 100], None);
    assert_read(false, None, &bytes, &[Received::Open { is_text: false, data: vec![b'x'; 100] }]);
}

#[test]
fn a_reader_without_compression_is_small_and_reserves_nothing() {
    assert!(size_of::<Frames>() < 64, "{} bytes", size_of::<Frames>());
    let budget = Rc::new(Budget::default());
    let frames = Frames::new(true, None, Share::new(&budget, Side::Request, 0)).unwrap();
    assert_eq!((budget.reserved(), frames.inflate.is_none()), (0, true));
}
