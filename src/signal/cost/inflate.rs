//! Unpacks the price table: deflate, of which only blocks with codes of their own, which is what the build script writes.
//!
//! 1 KiB of state and no tables built ahead: a crate for all of deflate is a tenth of the plugin. Spec: RFC 1951.

/// Lengths of the code of code lengths come in this order.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const END: u16 = 256;

/// The data, or None where it is not such a stream.
pub fn inflate(packed: &[u8]) -> Option<Vec<u8>> {
    let mut bits = Bits { bytes: packed.iter(), held: 0, count: 0 };
    let mut out = Vec::with_capacity(packed.len() * 5);
    loop {
        let last = bits.take(1)?;
        if bits.take(2)? != 2 {
            return None;
        }
        let (literals, distances) = codes(&mut bits)?;
        loop {
            match bits.symbol(&literals)? {
                END => break,
                symbol @ 0..END => out.push(symbol as u8),
                symbol => {
                    let length = match symbol - END - 1 {
                        n @ 0..8 => u32::from(n) + 3,
                        28 => 258,
                        n => stepped(u32::from(n), 4, &mut bits)? + 3,
                    };
                    let distance = match bits.symbol(&distances)? {
                        n @ 0..4 => u32::from(n) + 1,
                        n => stepped(u32::from(n), 2, &mut bits)? + 1,
                    };
                    let from = out.len().checked_sub(distance as usize)?;
                    for at in from..from + length as usize {
                        out.push(*out.get(at)?);
                    }
                }
            }
        }
        if last == 1 {
            return Some(out);
        }
    }
}

/// Numbers grow by a bit every `steps` symbols, after the first two groups.
fn stepped(symbol: u32, steps: u32, bits: &mut Bits<'_>) -> Option<u32> {
    let extra = symbol / steps - 1;
    Some(((symbol % steps + steps) << extra) + bits.take(extra)?)
}

fn codes(bits: &mut Bits<'_>) -> Option<(Code, Code)> {
    let literals = bits.take(5)? as usize + 257;
    let distances = bits.take(5)? as usize + 1;
    let mut lengths = [0; 19];
    for place in ORDER.iter().take(bits.take(4)? as usize + 4) {
        *lengths.get_mut(*place)? = bits.take(3)? as u8;
    }
    let code = Code::new(&lengths)?;
    let mut lengths = Vec::with_capacity(literals + distances);
    while lengths.len() < literals + distances {
        let (length, times) = match bits.symbol(&code)? {
            16 => (*lengths.last()?, bits.take(2)? + 3),
            17 => (0, bits.take(3)? + 3),
            18 => (0, bits.take(7)? + 11),
            length => (length as u8, 1),
        };
        lengths.resize(lengths.len() + times as usize, length);
    }
    Some((Code::new(lengths.get(..literals)?)?, Code::new(lengths.get(literals..)?)?))
}

/// A canonical Huffman code.
struct Code {
    /// How many words there are of each length.
    counts: [u16; 16],
    /// What they stand for, in their order.
    symbols: Vec<u16>,
}

impl Code {
    fn new(lengths: &[u8]) -> Option<Code> {
        let mut counts = [0; 16];
        let mut symbols = Vec::new();
        for length in 1..16 {
            let before = symbols.len();
            symbols.extend((0u16..).zip(lengths).filter(|(_, of)| **of == length).map(|(symbol, _)| symbol));
            *counts.get_mut(usize::from(length))? = (symbols.len() - before) as u16;
        }
        Some(Code { counts, symbols })
    }
}

struct Bits<'a> {
    bytes: core::slice::Iter<'a, u8>,
    held: u32,
    count: u32,
}

impl Bits<'_> {
    fn fill(&mut self) {
        while self.count < 16
            && let Some(byte) = self.bytes.next()
        {
            self.held |= u32::from(*byte) << self.count;
            self.count += 8;
        }
    }

    // Neither is worth its place in every caller.
    #[inline(never)]
    fn take(&mut self, wanted: u32) -> Option<u32> {
        self.fill();
        self.count = self.count.checked_sub(wanted)?;
        let taken = self.held & ((1 << wanted) - 1);
        self.held >>= wanted;
        Some(taken)
    }

    #[inline(never)]
    fn symbol(&mut self, code: &Code) -> Option<u16> {
        self.fill();
        let (mut bits, mut word, mut first, mut index) = (self.held, 0, 0, 0);
        for (length, count) in (1..).zip(code.counts.iter().skip(1)) {
            word |= bits & 1;
            bits >>= 1;
            let count = u32::from(*count);
            if word < first + count {
                self.count = self.count.checked_sub(length)?;
                self.held = bits;
                return code.symbols.get((index + word - first) as usize).copied();
            }
            index += count;
            first = (first + count) << 1;
            word <<= 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/prices.deflate"));

    #[test]
    fn the_table_unpacks_to_the_text_it_was_packed_from() {
        let text = include_str!("../prices.txt");
        let wanted: String = text.lines().filter(|l| !l.starts_with('#')).flat_map(|l| [l, "\n"]).collect();
        assert!(inflate(PACKED).unwrap() == wanted.as_bytes());
    }

    #[test]
    fn a_stream_that_was_cut_or_damaged_ends() {
        for end in (0..PACKED.len()).step_by(997) {
            assert_eq!(inflate(&PACKED[..end]), None, "{end}");
        }
        let whole = inflate(PACKED);
        for at in (0..PACKED.len()).step_by(997) {
            let mut damaged = PACKED.to_vec();
            damaged[at] ^= 0x5a;
            assert_ne!(inflate(&damaged), whole, "{at}");
        }
    }
}
