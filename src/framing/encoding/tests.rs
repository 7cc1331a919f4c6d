//! Tests of all four decoders: results at any cut, and the limits of memory and work.

use std::io::Write;
use std::rc::Rc;

use flate2::Compression;

use super::*;
use crate::budget::{self, Budget};

fn share(side: Side) -> Share {
    Share::new(&Rc::default(), side, 0)
}

fn decoded(encoding: &str, bytes: &[u8], size: usize) -> Result<Vec<u8>, Unreadable> {
    let mut decoder = Decoder::new(encoding, share(Side::Response)).unwrap();
    let mut out = Vec::new();
    for piece in bytes.chunks(size) {
        decoder.feed(piece, |piece| out.extend_from_slice(piece))?;
    }
    Ok(out)
}

fn text() -> Vec<u8> {
    (0..4000).flat_map(|n| format!("data: {{\"n\":{}}}\n\n", n * n).into_bytes()).collect()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A br stream of one uncompressed block (RFC 7932, section 9.2).
fn brotli(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len() - 1).unwrap();
    // Window of 22 bits; not the last block; length in four nibbles; uncompressed; then the byte boundary.
    let header = 0b1011 | u64::from(length) << 7 | 1 << 23;
    let mut out = header.to_le_bytes()[..3].to_vec();
    out.extend_from_slice(text);
    out.push(3);
    out
}

/// A zstd frame with this window descriptor and these blocks (RFC 8878, section 3.1.1).
fn frame(window: u8, blocks: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window];
    for (at, block) in blocks.iter().enumerate() {
        let mut block = block.clone();
        block[0] |= u8::from(at + 1 == blocks.len());
        out.extend(block);
    }
    out
}

/// A block of one byte, repeated.
fn repeated(byte: u8, count: u32) -> Vec<u8> {
    let header = (count << 3 | 1 << 1).to_le_bytes();
    vec![header[0], header[1], header[2], byte]
}

/// A compressed block with this content.
fn compressed(content: &[u8]) -> Vec<u8> {
    let header = ((content.len() as u32) << 3 | 2 << 1).to_le_bytes();
    [&header[..3], content].concat()
}

#[test]
fn every_encoding_is_decoded_at_any_cut() {
    let text = text();
    let raw = zlib(&text)[2..].to_vec();
    for (encoding, bytes) in [
        ("gzip", gzip(&text)),
        ("X-GZIP", [gzip(&text[..100]), gzip(&text[100..])].concat()),
        ("deflate", zlib(&text)),
        ("deflate", raw),
        ("zstd", zstd(&text)),
        ("br", brotli(&text[..60_000])),
    ] {
        let text = if encoding == "br" { &text[..60_000] } else { &text };
        for size in [1, 2, 3, 100, 1000, usize::MAX] {
            let same = decoded(encoding, &bytes, size).as_deref() == Ok(text);
            assert!(same, "{encoding} in pieces of {size}");
        }
    }
}

#[test]
fn optional_fields_of_a_gzip_header_are_skipped_and_a_wrong_checksum_is_rejected() {
    let plain = gzip(b"hello");
    let data = &plain[10..];
    let header = [31, 139, 8, 0b1_1110, 0, 0, 0, 0, 0, 255];
    let fields = [&[3, 0, 1, 2, 3][..], b"name\0", b"comment\0", &[7, 7]].concat();
    let whole = [&header[..], &fields, data].concat();
    for size in [1, 3, usize::MAX] {
        assert_eq!(decoded("gzip", &whole, size).as_deref(), Ok(&b"hello"[..]));
        let padded = [&whole[..], &[0; 20]].concat();
        assert_eq!(decoded("gzip", &padded, size).as_deref(), Ok(&b"hello"[..]));
    }
    let mut wrong = plain.clone();
    let at = wrong.len() - 8;
    wrong[at] ^= 1;
    assert_eq!(decoded("gzip", &wrong, 100), Err(Unreadable));
    assert_eq!(decoded("gzip", &plain[..plain.len() - 4], 100).as_deref(), Ok(&b"hello"[..]));
}

/// A br stream: 50,000 times "ab", then "end".
const BROTLI_PACKED: &[u8] = &[
    0x5b, 0xa2, 0x86, 0x81, 0xdf, 0x48, 0x55, 0xfb, 0xcb, 0x30, 0x31, 0xb7, 0x22, 0x2b, 0x2b, 0x4d, 0x2e, 0x0b, 0x03,
    0x62, 0xf9, 0x05, 0xc8, 0x01,
];

#[test]
fn all_bytes_before_a_broken_connection_are_decoded() {
    // The last byte has only the last two letters. `encoded` is raised because the text exceeds the ratio of a small
    // body.
    let truncated = &BROTLI_PACKED[..BROTLI_PACKED.len() - 1];
    for size in [1, 7, usize::MAX] {
        let mut decoder = Decoder::new("br", share(Side::Response)).unwrap();
        decoder.encoded = 10_000;
        let mut length = 0;
        truncated.chunks(size).for_each(|piece| decoder.feed(piece, |piece| length += piece.len()).unwrap());
        assert_eq!(length, 100_001, "in pieces of {size}");
    }
}

/// A br stream: 64 MiB of zeros with a window of 4 MiB.
const BROTLI_BOMB: &[u8] = &[
    0xcb, 0xff, 0xff, 0x3f, 0xf8, 0x27, 0x00, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x8f, 0xff, 0xff, 0x7f, 0xf0, 0x4f,
    0x00, 0xc4, 0x61, 0x11, 0x80, 0xee, 0xfd, 0x1f, 0xff, 0xff, 0xff, 0xe0, 0x9f, 0x00, 0x88, 0xc3, 0x02, 0x00, 0xdd,
    0xfb, 0x3f, 0xfe, 0xff, 0xff, 0xc1, 0x3f, 0x01, 0x10, 0x87, 0x05, 0x00, 0xba, 0xf7, 0x7f, 0xfc, 0xff, 0xff, 0x83,
    0x7f, 0x02, 0x20, 0x0e, 0x0b, 0x00, 0x74, 0xef, 0xff, 0xf8, 0xff, 0xff, 0x07, 0xff, 0x04, 0x40, 0x1c, 0x16, 0x00,
    0xe8, 0xde, 0xff, 0xf1, 0xff, 0xff, 0x0f, 0xfe, 0x09, 0x80, 0x38, 0x2c, 0x00, 0xd0, 0xbd, 0xff, 0xcb, 0xff, 0xff,
    0x3f, 0xfc, 0x13, 0x00, 0x71, 0x58, 0x00, 0xa0, 0x7b, 0xff, 0x07,
];

#[test]
fn a_decompression_bomb_is_rejected_at_the_limit_and_its_memory_is_released() {
    let zeros = vec![0; 16 << 20];
    for (encoding, bomb) in
        [("gzip", gzip(&zeros)), ("deflate", zlib(&zeros)), ("zstd", zstd(&zeros)), ("br", BROTLI_BOMB.to_vec())]
    {
        for side in [Side::Request, Side::Response] {
            for size in [61, 4096, usize::MAX] {
                let budget = Rc::new(Budget::default());
                let mut decoder = Decoder::new(encoding, Share::new(&budget, side, 0)).unwrap();
                let mut decoded = 0_u64;
                let result =
                    bomb.chunks(size).try_for_each(|piece| decoder.feed(piece, |out| decoded += out.len() as u64));
                assert_eq!(result, Err(Unreadable), "{encoding}");
                assert!(decoded <= FREE_BYTES + MAX_RATIO * bomb.len() as u64, "{encoding}: {decoded} bytes");
                assert!(budget.reserved() <= budget::DEFAULT / 4, "{encoding}");
                drop(decoder);
                assert_eq!(budget.reserved(), 0, "{encoding}");
            }
        }
    }
}

#[test]
fn one_call_decodes_a_bounded_number_of_bytes_and_zstd_goes_on_with_the_next_call() {
    // Text whose ratio is below the limit.
    let text: Vec<u8> =
        (0..100_000).flat_map(|n| format!("{{\"the number\":{}}}\n", n % 9973 * 31 % 9973).into_bytes()).collect();
    let text = &text[..3 << 19];
    assert_eq!(decoded("gzip", &gzip(text), 30_000).as_deref(), Ok(text));
    assert_eq!(decoded("gzip", &gzip(text), usize::MAX), Err(Unreadable));
    let mut decoder = Decoder::new("zstd", share(Side::Response)).unwrap();
    let mut out = Vec::new();
    let packed = zstd(text);
    decoder.feed(&packed, |piece| out.extend_from_slice(piece)).unwrap();
    assert!(decoder.has_pending_output() && out.len() as u64 <= MAX_WORK);
    decoder.feed(&[], |piece| out.extend_from_slice(piece)).unwrap();
    assert!(out == text && !decoder.has_pending_output());
}

#[test]
fn a_long_body_has_a_smaller_ratio_than_a_short_one() {
    let text: Vec<u8> = (0..100_000_u64).flat_map(|n| format!("{:>99}\n", n % 9973 * 31 % 9973).into_bytes()).collect();
    let packed = gzip(&text[..LONG_REQUEST as usize + 1]);
    let mut decoder = Decoder::new("gzip", share(Side::Request)).unwrap();
    let mut decoded = 0;
    let result = packed.chunks(500).try_for_each(|piece| decoder.feed(piece, |out| decoded += out.len() as u64));
    assert_eq!((result, decoded <= LONG_REQUEST), (Err(Unreadable), true));
    assert!(packed.len() as u64 * MAX_RATIO > LONG_REQUEST, "the ratio of a short body would allow it");
}

#[test]
fn memory_grows_with_the_output() {
    let measure = |encoding: &str, bytes: &[u8], side: Side| {
        let budget = Rc::new(Budget::default());
        let mut decoder = Decoder::new(encoding, Share::new(&budget, side, 0)).unwrap();
        let before = budget.reserved();
        let result = decoder.feed(bytes, |_| {});
        (before, result, budget.reserved())
    };
    let (response, request) = (Side::Response, Side::Request);
    for (encoding, bytes) in [("gzip", gzip(b"hello")), ("deflate", zlib(b"hello")), ("br", brotli(b"hello"))] {
        let (before, result, after) = measure(encoding, &bytes, response);
        assert_eq!((before, result), (0, Ok(())), "{encoding}");
        assert!(after < 24 << 10, "{encoding}: {after} bytes");
    }
    // The frame header announces a window of 8 MiB, which reserves nothing. 64 blocks of 128 KiB fill it.
    let start = frame(0x68, &[repeated(b'a', 1), repeated(b'a', 1)]);
    let (_, result, after) = measure("zstd", &start[..start.len() - 4], response);
    assert_eq!(result, Ok(()));
    assert!(after < 32 << 10, "{after} bytes");
    let full = frame(0x68, &vec![repeated(b'a', 128 << 10); 65]);
    let mut decoder = Decoder::new("zstd", share(response)).unwrap();
    decoder.encoded = 1 << 20;
    assert_eq!(
        decoder.feed(&full[..full.len() - 4], |_| {}),
        Err(Unreadable),
        "an address has a quarter of the budget"
    );
    assert_eq!(measure("zstd", &start, request).1, Err(Unreadable), "a request's window is smaller");
}

#[test]
fn a_body_that_needs_more_memory_than_the_budget_has_is_unreadable() {
    let text = text();
    for (encoding, bytes) in
        [("gzip", gzip(&text)), ("deflate", zlib(&text)), ("zstd", zstd(&text)), ("br", brotli(&text[..60_000]))]
    {
        let budget = Rc::new(Budget::new(64 << 10));
        let mut decoder = Decoder::new(encoding, Share::new(&budget, Side::Response, 0)).unwrap();
        assert_eq!(decoder.feed(&bytes, |_| {}), Err(Unreadable), "{encoding}");
        assert!(budget.reserved() <= 16 << 10, "{encoding}");
    }
}

#[test]
fn zstd_blocks_with_invalid_sizes_are_rejected_before_they_are_decoded() {
    // 2^20 - 1 equal literals in five bytes; 98,047 sequences in ten bytes.
    let literals = [&[0b1101_1101 | 0xf0, 0xff, 0xff, b'a'][..], &[0]].concat();
    let sequences = [&[0b1 << 3, b'a'][..], &[255, 0xff, 0xff, 0b0101_0100, 0, 0, 0, 1]].concat();
    for content in [literals, sequences] {
        let bytes = frame(0x50, &[compressed(&content), repeated(b'a', 1)]);
        assert_eq!(decoded("zstd", &bytes, usize::MAX), Err(Unreadable));
    }
}

#[test]
fn bytes_of_another_format_are_unreadable() {
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        assert_eq!(decoded(encoding, &[0xff; 64], 64), Err(Unreadable), "{encoding}");
    }
    assert!(Decoder::new("compress", share(Side::Request)).is_none());
}

#[test]
fn a_window_larger_than_the_limit_is_rejected_when_it_is_needed() {
    // A frame with a window of 2^27 bytes (window descriptor 0x88).
    assert_eq!(decoded("zstd", &frame(0x88, &[repeated(b'a', 1)]), 20), Err(Unreadable));
    // The br bomb has one block of 16 MiB, which needs the whole window of 4 MiB.
    let mut decoder = Decoder::new("br", share(Side::Request)).unwrap();
    assert_eq!(decoder.feed(BROTLI_BOMB, |_| {}), Err(Unreadable));
}

#[test]
fn the_tables_that_one_call_builds_are_bounded_however_few_bytes_describe_them() {
    // A member of 20 bytes that has one empty block with the fixed tables.
    let member = [[31, 139, 8, 0, 0, 0, 0, 0, 0, 255].as_slice(), &[3, 0], &[0; 8]].concat();
    assert_eq!(decoded("gzip", &member.repeat(20_000), usize::MAX), Err(Unreadable));
    assert_eq!(decoded("gzip", &member.repeat(20_000), 64 << 10).as_deref(), Ok(&[][..]));
    // Empty blocks of deflate with the fixed tables, four in five bytes.
    let blocks = [0b0000_0010, 0b0000_1000, 0b0010_0000, 0b1000_0000, 0].repeat(4000);
    assert_eq!(decoded("deflate", &blocks, usize::MAX), Err(Unreadable));
    assert_eq!(decoded("deflate", &blocks, 4 << 10).as_deref(), Ok(&[][..]));
}

#[test]
fn sequences_of_zstd_count_when_they_are_decoded_and_not_only_when_their_output_is_passed_on() {
    // 43,690 matches of 3 bytes in nine bytes.
    let matches = compressed(&[0, 255, 0xaa, 0x2b, 0b0101_0100, 0, 0, 0, 1]);
    let blocks: Vec<_> = [repeated(b'a', 8)].into_iter().chain(vec![matches; 24]).collect();
    // The window of 4 MiB is larger than all output.
    let bytes = frame(0x60, &blocks);
    let mut decoder = Decoder::new("zstd", share(Side::Request)).unwrap();
    decoder.encoded = 1 << 20;
    let mut out = Vec::new();
    let mut calls = 0;
    decoder.feed(&bytes, |piece| out.extend_from_slice(piece)).unwrap();
    while decoder.has_pending_output() {
        calls += 1;
        decoder.feed(&[], |piece| out.extend_from_slice(piece)).unwrap();
    }
    assert!(out == vec![b'a'; 8 + 24 * 3 * 43_690], "{} bytes", out.len());
    // One call decodes 12 of the blocks; one call passes on a third of the output.
    assert!(calls >= 4, "{calls} further calls");
}

/// Bits in the order of RFC 7932.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    fn put(&mut self, value: u64, count: usize) -> &mut Self {
        for at in 0..count {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> at & 1) as u8) << (self.count % 8);
            self.count += 1;
        }
        self
    }

    /// A prefix code of one symbol of so many bits.
    fn only(&mut self, symbol: u64, bits: usize) -> &mut Self {
        self.put(1, 4).put(symbol, bits)
    }

    /// A metablock of br that has one letter and 256 types of literals with 64 contexts each.
    fn metablock(&mut self) -> &mut Self {
        // Not the last one; a length of one byte; not stored.
        self.put(0, 1).put(0, 2).put(0, 16).put(0, 1);
        // 256 types of literals, with the codes of types and of lengths and the first length; one type of the others.
        self.put(0b1111, 4).put(127, 7).only(0, 9).only(25, 5).put(0, 24).put(0, 2);
        // Distances; the modes of contexts.
        self.put(0, 6).put(0, 64).put(0, 64).put(0, 64).put(0, 64).put(0, 64).put(0, 64).put(0, 64).put(0, 64);
        // A context map for two trees that is all zeros; one tree of distances.
        self.put(1, 4).put(0, 1).only(0, 1).put(0, 1).put(0, 1);
        // The trees of literals, commands and distances.
        self.only(b'a'.into(), 8).only(b'a'.into(), 8).only(8, 10).only(0, 6)
    }
}

#[test]
fn context_maps_of_br_count_as_work() {
    let stream = |metablocks: usize| {
        let mut bits = Bits::default();
        bits.put(0, 1);
        for _ in 0..metablocks {
            bits.metablock();
        }
        bits.put(3, 2);
        bits.bytes
    };
    assert_eq!(decoded("br", &stream(100), usize::MAX).as_deref(), Ok("a".repeat(100).as_bytes()));
    // 32 KiB that describe 400 maps of 16,384 entries.
    let bytes = stream(400);
    assert!(bytes.len() < 34 << 10);
    assert_eq!(decoded("br", &bytes, usize::MAX), Err(Unreadable));
    assert_eq!(decoded("br", &bytes, 8 << 10).as_deref(), Ok("a".repeat(400).as_bytes()));
}

#[test]
fn a_long_block_of_br_counts_as_tables_only_where_it_begins() {
    // 64 KiB of stored bytes: with the work of tables for each of them, one call would not have room for them.
    let text: Vec<u8> = text().into_iter().cycle().take(64 << 10).collect();
    assert!(text.len() as u64 * 17 > MAX_WORK);
    assert!(decoded("br", &brotli(&text), usize::MAX).as_deref() == Ok(&text));
}
