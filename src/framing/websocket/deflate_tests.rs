//! Tests of permessage-deflate.

use std::rc::Rc;

use flate2::{Compress, FlushCompress, Status};

use super::tests::{Received, assert_read, frame, read, share, text};
use super::*;
use crate::budget::{Budget, Side};

const KEY: Option<[u8; 4]> = Some([9, 0, 0xff, 0x80]);

const BY_DEFAULT: Compression = Compression { window_bits: 15, keeps_context: true };

/// Compresses messages with zlib.
struct Sender {
    compress: Compress,
    keeps_context: bool,
}

impl Sender {
    fn new(compression: Compression) -> Self {
        let compress = Compress::new_with_window_bits(flate2::Compression::best(), false, compression.window_bits);
        Sender { compress, keeps_context: compression.keeps_context }
    }

    /// The payload of a message (RFC 7692, section 7.2.1).
    fn message(&mut self, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len() * 2 + 100);
        let result = self.compress.compress_vec(data, &mut out, FlushCompress::Sync);
        assert!(matches!(result, Ok(Status::Ok)));
        if !self.keeps_context {
            self.compress.reset();
        }
        assert_eq!(out.split_off(out.len() - 4), [0, 0, 0xff, 0xff]);
        out
    }
}

/// Text that repeats what was `distance` bytes before, and some noise.
fn repetitive(distance: usize, length: usize) -> Vec<u8> {
    let mut seed = 7_u32;
    let mut out: Vec<u8> = Vec::new();
    while out.len() < length {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match out.len().checked_sub(distance) {
            Some(start) if seed >> 31 == 0 => out.extend_from_within(start..start + distance.min(40)),
            _ => out.extend(seed.to_be_bytes().map(|byte| b' ' + byte % 90)),
        }
    }
    out
}

#[test]
fn the_examples_of_rfc_7692_are_read() {
    // Section 7.2.3.1: one frame, and two fragments.
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    assert_read(false, Some(BY_DEFAULT), &frame(0xc1, &hello, None), &[text(b"Hello")]);
    let fragments = [frame(0x41, &hello[..3], None), frame(0x80, &hello[3..], None)].concat();
    assert_read(false, Some(BY_DEFAULT), &fragments, &[text(b"Hello")]);
    // Section 7.2.3.2: the second message refers back to the first one.
    let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
    let two = [frame(0xc1, &hello, KEY), frame(0xc1, &again, KEY)].concat();
    assert_read(true, Some(BY_DEFAULT), &two, &[text(b"Hello"), text(b"Hello")]);
    // Section 7.2.3.3: a block without compression.
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    assert_read(false, Some(BY_DEFAULT), &frame(0xc1, &stored, None), &[text(b"Hello")]);
    // Section 7.2.3.4: a block that says that it is the last one.
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    let two = [frame(0xc1, &last, None), frame(0xc1, &again, None)].concat();
    assert_read(false, Some(BY_DEFAULT), &two, &[text(b"Hello"), text(b"Hello")]);
    // Section 7.2.3.5: two blocks.
    let blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    assert_read(false, Some(BY_DEFAULT), &frame(0xc1, &blocks, None), &[text(b"Hello")]);
    // Section 7.2.3.6: an empty message.
    assert_read(false, Some(BY_DEFAULT), &frame(0xc1, &[0], None), &[text(b"")]);
}

#[test]
fn a_message_may_end_with_its_last_block_and_the_next_one_refers_back_to_it() {
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
    let two = [frame(0xc1, &last, None), frame(0xc1, &again, None)].concat();
    assert_read(false, Some(BY_DEFAULT), &two, &[text(b"Hello"), text(b"Hello")]);
}

#[test]
fn messages_of_zlib_are_inflated_at_any_cut_with_and_without_context() {
    let words: Vec<Vec<u8>> = (0..6)
        .map(|n| {
            format!("{{\"type\":\"response.output_text.delta\",\"delta\":\"word {}\",\"n\":{n}}}", n * n).into_bytes()
        })
        .collect();
    for keeps_context in [true, false] {
        for (from_client, key) in [(false, None), (true, KEY)] {
            let compression = Compression { window_bits: 12, keeps_context };
            let mut sender = Sender::new(compression);
            let mut bytes = Vec::new();
            for (at, word) in words.iter().enumerate() {
                let packed = sender.message(word);
                let (start, rest) = packed.split_at(packed.len() / 2);
                bytes.extend(match at % 3 {
                    0 => frame(0xc1, &packed, key),
                    1 => [frame(0x41, start, key), frame(0x89, b"ping", key), frame(0x80, rest, key)].concat(),
                    _ => [frame(0x41, &[], key), frame(0x00, &packed, key), frame(0x80, &[], key)].concat(),
                });
                // A message that is not compressed changes no context.
                bytes.extend(frame(0x81, b"plain", key));
            }
            bytes.extend(frame(0x88, &[0x03, 0xe8], key));
            let mut expected: Vec<_> = words.iter().flat_map(|word| [text(word), text(b"plain")]).collect();
            expected.push(Received::Close(Some(1000)));
            assert_read(from_client, Some(compression), &bytes, &expected);
        }
    }
}

#[test]
fn every_window_is_large_enough_for_what_zlib_makes_with_it() {
    for window_bits in 9..=15 {
        for keeps_context in [true, false] {
            let compression = Compression { window_bits, keeps_context };
            let mut sender = Sender::new(compression);
            let window = 1 << window_bits;
            // The farthest distance that zlib uses is 262 bytes shorter than the window.
            let data = repetitive(window - 300, 5 * window);
            let messages: Vec<_> = data.chunks(window / 3).collect();
            let bytes: Vec<u8> = messages.iter().flat_map(|part| frame(0xc1, &sender.message(part), None)).collect();
            let expected: Vec<_> = messages.iter().map(|part| text(part)).collect();
            for size in [1, 2, 13, 500, 4000] {
                assert!(read(false, Some(compression), bytes.chunks(size)) == expected, "{window_bits} bits, {size}");
            }
        }
    }
}

#[test]
fn a_window_of_8_bits_is_read_as_one_of_9_because_zlib_makes_that() {
    let mut sender = Sender::new(Compression { window_bits: 9, keeps_context: true });
    let data = repetitive(210, 4000);
    let bytes: Vec<u8> = data.chunks(100).flat_map(|part| frame(0xc1, &sender.message(part), None)).collect();
    let expected: Vec<_> = data.chunks(100).map(text).collect();
    assert_read(false, Some(Compression { window_bits: 8, keeps_context: true }), &bytes, &expected);
}

#[test]
fn a_distance_beyond_the_agreed_window_is_an_error() {
    let mut sender = Sender::new(BY_DEFAULT);
    let data = repetitive(3000, 9000);
    let bytes = frame(0xc1, &sender.message(&data), None);
    let small = Some(Compression { window_bits: 10, keeps_context: true });
    assert_eq!(read(false, small, [&bytes[..]]).last(), Some(&Received::Error(FrameError::Encoding)));
    assert_eq!(read(false, Some(BY_DEFAULT), [&bytes[..]]), [text(&data)]);
}

#[test]
fn malformed_and_incomplete_messages_are_errors() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    for payload in [&[0xff; 8][..], &hello[..4], &[], &[0x06], &[0x00, 0x05, 0x00, 0xfa]] {
        let bytes = [frame(0xc1, payload, None), frame(0xc1, &hello, None)].concat();
        for size in 1..=bytes.len() {
            let seen = read(false, Some(BY_DEFAULT), bytes.chunks(size));
            assert_eq!(seen.last(), Some(&Received::Error(FrameError::Encoding)), "{payload:?} in pieces of {size}");
            assert!(!seen.contains(&text(b"Hello")));
        }
    }
}

#[test]
fn a_decompression_bomb_is_an_error_and_its_memory_is_released() {
    let bomb = Sender::new(BY_DEFAULT).message(&vec![0; 16 << 20]);
    let whole = frame(0xc2, &bomb, None);
    for size in [61, 4096, usize::MAX] {
        let budget = Rc::new(Budget::default());
        let share = Share::new(&budget, Side::Response, 0);
        let mut frames = Frames::new(false, Some(BY_DEFAULT), share).unwrap();
        let reserved = budget.reserved();
        assert!((32 << 10..44 << 10).contains(&reserved), "{reserved} bytes");
        let mut decoded = 0;
        let result = whole.chunks(size).try_for_each(|piece| {
            frames.push(piece, &mut |part| {
                if let Piece::Data(data) = part {
                    decoded += data.len();
                }
            })
        });
        assert_eq!(result, Err(FrameError::Encoding));
        assert!(decoded <= (68 << 10) + 192 * whole.len(), "{decoded} bytes");
        assert_eq!(budget.reserved(), 0);
    }
}

#[test]
fn many_small_bombs_are_an_error_too() {
    let mut sender = Sender::new(BY_DEFAULT);
    let zeros = vec![0; 64 << 10];
    let bytes: Vec<u8> = (0..100).flat_map(|_| frame(0xc2, &sender.message(&zeros), None)).collect();
    for size in [100, 1000] {
        let seen = read(false, Some(BY_DEFAULT), bytes.chunks(size));
        assert_eq!(seen.last(), Some(&Received::Error(FrameError::Encoding)));
    }
}

#[test]
fn the_work_of_one_call_is_bounded_by_the_bytes_that_it_brings() {
    let mut sender = Sender::new(BY_DEFAULT);
    let prose = repetitive(3000, 300_000);
    let bytes: Vec<u8> = (0..10).flat_map(|_| frame(0xc1, &sender.message(&prose), KEY)).collect();
    assert!(bytes.len() > 300_000, "{} bytes", bytes.len());
    assert!(read(true, Some(BY_DEFAULT), [&bytes[..]]) == vec![text(&prose); 10]);

    let mut sender = Sender::new(BY_DEFAULT);
    let silence = vec![b'A'; 6400];
    let bytes: Vec<u8> = (0..500).flat_map(|_| frame(0xc1, &sender.message(&silence), KEY)).collect();
    assert!(bytes.len() * 100 < 500 * silence.len(), "{} bytes", bytes.len());
    assert!(read(true, Some(BY_DEFAULT), bytes.chunks(1000)) == vec![text(&silence); 500]);
    assert_eq!(read(true, Some(BY_DEFAULT), [&bytes[..]]).last(), Some(&Received::Error(FrameError::Encoding)));
}

#[test]
fn a_muted_microphone_is_read_for_minutes() {
    let mut sender = Sender::new(BY_DEFAULT);
    // 100 milliseconds of silence: 24,000 samples of two bytes per second, in base64.
    let message = format!("{{\"type\":\"input_audio_buffer.append\",\"audio\":\"{}\"}}", "A".repeat(6400)).into_bytes();
    let mut frames = Frames::new(true, Some(BY_DEFAULT), share()).unwrap();
    let mut ended = 0;
    for _ in 0..3000 {
        let bytes = frame(0xc1, &sender.message(&message), KEY);
        frames.push(&bytes, &mut |part| ended += usize::from(part == Piece::End)).unwrap();
    }
    assert_eq!(ended, 3000);
}

#[test]
fn a_direction_without_room_for_the_window_is_refused() {
    let budget = Rc::new(Budget::for_one_decoder(100 << 10));
    let share = || Share::new(&budget, Side::Response, 0);
    let open = [(); 2].map(|()| Frames::new(false, Some(BY_DEFAULT), share()).unwrap());
    assert_eq!(Frames::new(false, Some(BY_DEFAULT), share()).err(), Some(NoRoom));
    let small = Compression { window_bits: 9, keeps_context: true };
    assert!(Frames::new(false, Some(small), share()).is_ok());
    drop(open);
    assert_eq!(budget.reserved(), 0);
}
