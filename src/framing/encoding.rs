//! Content encodings, undone as the bytes pass: gzip, deflate, br and zstd, by the libraries that know them.
//!
//! Bound: the encoding's window (gzip and deflate 32 KiB, br 4 MiB, zstd 8 MiB) and one piece of output. What expands more
//! than [`RATIO`] times, or needs a larger window, is not read further. Spec: RFC 9110 section 8.4, RFC 1951, 1952, 7932, 8878.

use std::io::{self, Read, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Most bytes one byte may become, over what the first [`FREE`] bytes of output need. JSON compresses 5 to 40 times.
const RATIO: u64 = 200;
const FREE: u64 = 1 << 20;
/// Compressed bytes given to a decoder at a time, so that its output stays small.
const SLICE: usize = 512;
/// Largest window of zstd: what RFC 9659 lets a content encoding ask for.
const ZSTD_WINDOW: u64 = 8 << 20;
/// Largest window of br, as a power of two.
const BR_WINDOW: u8 = 22;

/// What cannot be read any further.
#[derive(Debug, PartialEq)]
pub struct Unreadable;

/// A content encoding being undone.
pub struct Decoder {
    kind: Kind,
    taken: u64,
    given: u64,
}

enum Kind {
    Gzip(Box<MultiGzDecoder<Output>>),
    /// What HTTP calls deflate is zlib's format or, from some servers, the bare one; the first bytes tell.
    Deflate(Vec<u8>),
    Zlib(Box<ZlibDecoder<Output>>),
    Bare(Box<DeflateDecoder<Output>>),
    Brotli(Option<Box<DecompressorWriter<Output>>>),
    Zstd(Box<Zstd>),
}

/// Most bytes that come of one slice: br packs any number of them into a few.
const PIECE: usize = 2 << 20;

/// Takes a decoder's output up to the next time it is emptied.
#[derive(Default)]
struct Output(Vec<u8>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > PIECE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    /// The decoder for a `content-encoding`; None where it is not one of the four.
    pub fn new(encoding: &str) -> Option<Self> {
        let kind = match encoding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Kind::Gzip(Box::new(MultiGzDecoder::new(Output::default()))),
            "deflate" => Kind::Deflate(Vec::new()),
            "br" => Kind::Brotli(None),
            "zstd" => Kind::Zstd(Box::default()),
            _ => return None,
        };
        Some(Decoder { kind, taken: 0, given: 0 })
    }

    /// Whether output comes late: what zstd's library decodes stays with it until its window or the frame is full.
    pub fn is_late(&self) -> bool {
        matches!(self.kind, Kind::Zstd(_))
    }

    /// Undoes `bytes` and passes the result to `out`.
    ///
    /// # Errors
    /// The bytes are not of this encoding, expand beyond reason, or ask for too large a window.
    pub fn feed(&mut self, bytes: &[u8], mut out: impl FnMut(&[u8])) -> Result<(), Unreadable> {
        for slice in bytes.chunks(SLICE) {
            self.taken += slice.len() as u64;
            let (taken, given) = (self.taken, &mut self.given);
            self.kind.write(slice, &mut |piece| {
                *given += piece.len() as u64;
                if *given > FREE + taken * RATIO {
                    return Err(Unreadable);
                }
                out(piece);
                Ok(())
            })?;
        }
        Ok(())
    }
}

type Out<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Unreadable>;

impl Kind {
    fn write(&mut self, slice: &[u8], out: Out<'_>) -> Result<(), Unreadable> {
        if let Kind::Deflate(held) = self {
            held.extend_from_slice(slice);
            let [first, second, ..] = held.as_slice() else { return Ok(()) };
            let zlib = first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0;
            let held = core::mem::take(held);
            *self = if zlib {
                Kind::Zlib(Box::new(ZlibDecoder::new(Output::default())))
            } else {
                Kind::Bare(Box::new(DeflateDecoder::new(Output::default())))
            };
            return self.write(&held, out);
        }
        match self {
            Kind::Gzip(decoder) => pass(&mut **decoder, slice, |d| &mut d.get_mut().0, out),
            Kind::Zlib(decoder) => pass(&mut **decoder, slice, |d| &mut d.get_mut().0, out),
            Kind::Bare(decoder) => pass(&mut **decoder, slice, |d| &mut d.get_mut().0, out),
            Kind::Brotli(decoder) => {
                if decoder.is_none() && slice.first().is_some_and(|byte| brotli_window(*byte) > BR_WINDOW) {
                    return Err(Unreadable);
                }
                let decoder = decoder.get_or_insert_with(|| Box::new(DecompressorWriter::new(Output::default(), 4096)));
                pass(&mut **decoder, slice, |d| &mut d.get_mut().0, out)?;
                // Out of input, the library gives one buffer of what it has decoded, and the rest when it is called again.
                while decoder.write(&[]).is_ok() && !decoder.get_mut().0.is_empty() {
                    out(&decoder.get_mut().0)?;
                    decoder.get_mut().0.clear();
                }
                Ok(())
            }
            Kind::Zstd(decoder) => decoder.write(slice, out),
            Kind::Deflate(_) => Ok(()),
        }
    }
}

/// Gives a decoder bytes, and what it wrote to `out`. What follows the end of the encoded body is let be.
fn pass<D: Write>(
    decoder: &mut D,
    mut slice: &[u8],
    output: fn(&mut D) -> &mut Vec<u8>,
    out: Out<'_>,
) -> Result<(), Unreadable> {
    while !slice.is_empty() {
        // What is decoded would else wait for the next bytes.
        let taken = decoder.write(slice).and_then(|taken| decoder.flush().map(|()| taken));
        // Envoy sees a client's bytes as they come: what is decoded before an error is as good as without it.
        let decoded = output(decoder);
        if !decoded.is_empty() {
            out(decoded)?;
            decoded.clear();
        }
        match taken {
            Ok(0) => return Ok(()),
            Ok(taken) => slice = slice.get(taken..).unwrap_or_default(),
            Err(_) => return Err(Unreadable),
        }
    }
    Ok(())
}

/// The window of a br stream as a power of two, from its first byte (RFC 7932, section 9.1).
fn brotli_window(byte: u8) -> u8 {
    match (byte & 1, byte >> 1 & 7, byte >> 4 & 7) {
        (0, _, _) => 16,
        (_, 0, 0) => 17,
        // Reserved: the "large window" extension.
        (_, 0, 1) => u8::MAX,
        (_, 0, bits) => 8 + bits,
        (_, bits, _) => 17 + bits,
    }
}

/// Blocks are given to the library one at a time: it decodes all it gets, and a block of 4 bytes may become 128 KiB.
struct Zstd {
    decoder: FrameDecoder,
    /// A frame's header or a block that is not whole yet; at most 128 KiB.
    held: Vec<u8>,
    started: bool,
}

impl Default for Zstd {
    fn default() -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW);
        Zstd { decoder, held: Vec::new(), started: false }
    }
}

/// Longest frame header.
const ZSTD_HEADER: usize = 18;
/// Longest block.
const ZSTD_BLOCK: usize = 128 << 10;

impl Zstd {
    fn write(&mut self, slice: &[u8], out: Out<'_>) -> Result<(), Unreadable> {
        self.held.extend_from_slice(slice);
        loop {
            if self.started && self.decoder.is_finished() {
                return Ok(());
            }
            if !self.started {
                match self.decoder.init(self.held.as_slice()) {
                    Ok(()) => {
                        self.started = true;
                        let header = self.decoder.bytes_read_from_source() as usize;
                        self.held.drain(..header.min(self.held.len()));
                    }
                    // The header may not be whole yet.
                    Err(_) if self.held.len() < ZSTD_HEADER => return Ok(()),
                    Err(_) => return Err(Unreadable),
                }
            }
            let [a, b, c, ..] = self.held.as_slice() else { return Ok(()) };
            let header = u32::from_le_bytes([*a, *b, *c, 0]);
            let size = (header >> 3) as usize;
            // A repeated byte is stored once, whatever the size says.
            let stored = if header >> 1 & 3 == 1 { 1 } else { size };
            if size > ZSTD_BLOCK {
                return Err(Unreadable);
            }
            let Some(block) = self.held.get(..3 + stored) else { return Ok(()) };
            // The checksum behind the last block is not compared, so it need not be waited for.
            let block = block.chain([0; 4].as_slice());
            self.decoder.decode_blocks(block, BlockDecodingStrategy::UptoBlocks(1)).map_err(|_| Unreadable)?;
            self.held.drain(..3 + stored);
            if let Some(decoded) = self.decoder.collect() {
                out(&decoded)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;

    fn decoded(encoding: &str, bytes: &[u8], size: usize) -> Result<Vec<u8>, Unreadable> {
        let mut decoder = Decoder::new(encoding).unwrap();
        let mut out = Vec::new();
        for piece in bytes.chunks(size) {
            decoder.feed(piece, |piece| out.extend_from_slice(piece))?;
        }
        Ok(out)
    }

    fn text() -> Vec<u8> {
        (0..400).flat_map(|n| format!("data: {{\"n\":{}}}\n\n", n * n).into_bytes()).collect()
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

    /// A br stream of one stored block (RFC 7932, section 9.2).
    fn brotli(text: &[u8]) -> Vec<u8> {
        let length = u32::try_from(text.len() - 1).unwrap();
        // Window 22; not last; four nibbles of length; stored; then the byte boundary.
        let header = 0b1011 | u64::from(length) << 7 | 1 << 23;
        let mut out = header.to_le_bytes()[..3].to_vec();
        out.extend_from_slice(text);
        out.push(3);
        out
    }

    #[test]
    fn every_encoding_is_undone_in_any_cutting() {
        let text = text();
        let bare = zlib(&text)[2..].to_vec();
        for (encoding, bytes) in [
            ("gzip", gzip(&text)),
            ("X-GZIP", [gzip(&text[..100]), gzip(&text[100..])].concat()),
            ("deflate", zlib(&text)),
            ("deflate", bare),
            ("zstd", zstd(&text)),
            ("br", brotli(&text)),
        ] {
            for size in [1, 2, 3, 100, 1000, usize::MAX] {
                assert!(decoded(encoding, &bytes, size).as_ref() == Ok(&text), "{encoding} in pieces of {size}");
            }
        }
    }

    /// "ab" fifty thousand times, then "end".
    const BROTLI_PACKED: &[u8] = &[
        0x5b, 0xa2, 0x86, 0x81, 0xdf, 0x48, 0x55, 0xfb, 0xcb, 0x30, 0x31, 0xb7, 0x22, 0x2b, 0x2b, 0x4d, 0x2e, 0x0b,
        0x03, 0x62, 0xf9, 0x05, 0xc8, 0x01,
    ];

    #[test]
    fn of_a_stream_that_breaks_off_all_that_came_is_read() {
        // The last byte holds no more than the last two letters.
        let begun = &BROTLI_PACKED[..BROTLI_PACKED.len() - 1];
        for size in [1, 7, usize::MAX] {
            assert_eq!(decoded("br", begun, size).map(|text| text.len()), Ok(100_001), "in pieces of {size}");
        }
    }

    /// 64 MiB of zeros, packed with a window of 4 MiB.
    const BROTLI_BOMB: &[u8] = &[
        0xcb, 0xff, 0xff, 0x3f, 0xf8, 0x27, 0x00, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x8f, 0xff, 0xff, 0x7f, 0xf0,
        0x4f, 0x00, 0xc4, 0x61, 0x11, 0x80, 0xee, 0xfd, 0x1f, 0xff, 0xff, 0xff, 0xe0, 0x9f, 0x00, 0x88, 0xc3, 0x02,
        0x00, 0xdd, 0xfb, 0x3f, 0xfe, 0xff, 0xff, 0xc1, 0x3f, 0x01, 0x10, 0x87, 0x05, 0x00, 0xba, 0xf7, 0x7f, 0xfc,
        0xff, 0xff, 0x83, 0x7f, 0x02, 0x20, 0x0e, 0x0b, 0x00, 0x74, 0xef, 0xff, 0xf8, 0xff, 0xff, 0x07, 0xff, 0x04,
        0x40, 0x1c, 0x16, 0x00, 0xe8, 0xde, 0xff, 0xf1, 0xff, 0xff, 0x0f, 0xfe, 0x09, 0x80, 0x38, 0x2c, 0x00, 0xd0,
        0xbd, 0xff, 0xcb, 0xff, 0xff, 0x3f, 0xfc, 0x13, 0x00, 0x71, 0x58, 0x00, 0xa0, 0x7b, 0xff, 0x07,
    ];

    #[test]
    fn a_bomb_is_given_up_and_not_held() {
        let zeros = vec![0; 16 << 20];
        for (encoding, bomb, most) in [
            ("gzip", gzip(&zeros), PIECE),
            ("deflate", zlib(&zeros), PIECE),
            ("zstd", zstd(&zeros), ZSTD_WINDOW as usize),
            ("br", BROTLI_BOMB.to_vec(), PIECE),
        ] {
            let mut decoder = Decoder::new(encoding).unwrap();
            let mut largest = 0;
            let result =
                bomb.chunks(4096).try_for_each(|piece| decoder.feed(piece, |out| largest = largest.max(out.len())));
            assert_eq!(result, Err(Unreadable), "{encoding}");
            assert!(largest <= most, "{encoding}: a piece of {largest} bytes");
            if let Kind::Brotli(Some(decoder)) = &mut decoder.kind {
                assert!(decoder.get_mut().0.capacity() <= 2 * PIECE);
            }
        }
    }

    #[test]
    fn what_is_not_of_the_encoding_is_unreadable() {
        for encoding in ["gzip", "deflate", "br", "zstd"] {
            assert_eq!(decoded(encoding, &[0xff; 64], 64), Err(Unreadable), "{encoding}");
        }
        assert!(Decoder::new("compress").is_none());
    }

    #[test]
    fn a_window_larger_than_the_limit_is_refused() {
        // 1 + 0b111 << 1: 2^24 bytes
        assert_eq!(decoded("br", &[0b0000_1111, 0, 0], 3), Err(Unreadable));
        // A frame that asks for 2^27 bytes (window descriptor 0x88).
        assert_eq!(
            decoded("zstd", &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 20),
            Err(Unreadable)
        );
    }
}
