//! The units that have prices, and the exact cost. `prices.json` describes the notation of rates.
//!
//! A rate has at most 18 decimals, and all sums are sums of whole numbers. Only the result is rounded, to the nano-dollar, half
//! up.

use super::time::time_has_come;
use crate::observation::CostPart::{Audio, CacheRead, CacheWrite, Image, Input, Output, Reasoning, Requests, Tools};
use crate::observation::{Bill, CostPart, Quantities, Unpriced};

/// Maximum number of decimals of a rate in US dollars.
const DECIMALS: u32 = 18;

/// A common multiple of what rates are for: a million, a thousand, and the seconds of an hour.
const COMMON: u64 = 9_000_000;

/// In place of a rate: there is none.
const NONE: u128 = u128::MAX;

/// In place of a rate: that of the quantity of which this one is a part.
const SAME: u128 = NONE - 1;

/// A nano-dollar, in the unit of the sum.
const NANO: u128 = COMMON as u128 * 10u128.pow(DECIMALS - 9);

/// A quantity that can have a rate. Its index in [`UNITS`] is that of its name in [`Unpriced::NAMES`].
struct Unit {
    /// Its name in the price table.
    key: &'static str,
    /// The name as a number.
    code: u32,
    /// [`COMMON`], divided by how many of it the rate is for.
    scale: u64,
    /// Its properties. A whole has a subset of the properties of each of its parts.
    traits: u16,
    part: CostPart,
    count: fn(&Quantities<'_>) -> u64,
}

const IN: u16 = 1;
const OUT: u16 = 2;
const READ: u16 = 4;
const WRITTEN: u16 = 8;
const HOUR: u16 = 16;
const REASONED: u16 = 32;
const CITED: u16 = 64;
const AUDIO: u16 = 128;
const IMAGE: u16 = 256;
const VIDEO: u16 = 512;
/// A unit that is not part of another one.
const ALONE: u16 = 1024;

/// A quantity whose rate is for `per` of it.
const fn unit(key: &'static str, per: u64, traits: u16, part: CostPart, count: fn(&Quantities<'_>) -> u64) -> Unit {
    Unit { key, code: code(key), scale: COMMON / per, traits, part, count }
}

/// A name as a number, which is compared faster. All units have one or two letters; other names have the number of none.
const fn code(key: &str) -> u32 {
    match *key.as_bytes() {
        [a] => a as u32,
        [a, b] => (a as u32) << 8 | b as u32,
        _ => 0,
    }
}

const MILLION: u64 = 1_000_000;
const THOUSAND: u64 = 1_000;

/// Parts come before their wholes.
const UNITS: &[Unit] = &[
    unit("h", MILLION, IN | WRITTEN | HOUR, CacheWrite, |q| q.cache_write_1h),
    unit("ra", MILLION, IN | READ | AUDIO, Audio, |q| q.cached_audio),
    unit("ri", MILLION, IN | READ | IMAGE, Image, |q| q.cached_image),
    unit("r", MILLION, IN | READ, CacheRead, |q| q.cached),
    unit("w", MILLION, IN | WRITTEN, CacheWrite, |q| q.cache_write),
    unit("ia", MILLION, IN | AUDIO, Audio, |q| q.input_audio),
    unit("ii", MILLION, IN | IMAGE, Image, |q| q.input_image),
    unit("iv", MILLION, IN | VIDEO, Image, |q| q.input_video),
    unit("n", MILLION, OUT | REASONED, Reasoning, |q| q.reasoning),
    unit("c", MILLION, OUT | CITED, Output, |q| q.citations),
    unit("oa", MILLION, OUT | AUDIO, Audio, |q| q.output_audio),
    unit("oi", MILLION, OUT | IMAGE, Image, |q| q.output_image),
    unit("ov", MILLION, OUT | VIDEO, Image, |q| q.output_video),
    unit("i", MILLION, IN, Input, |q| q.input),
    unit("o", MILLION, OUT, Output, |q| q.output),
    unit("q", THOUSAND, ALONE, Requests, |q| u64::from(!q.further)),
    unit("s", THOUSAND, ALONE, Tools, |q| q.web_searches),
    unit("f", THOUSAND, ALONE, Tools, |q| q.file_searches),
    unit("a", 3_600, ALONE, Audio, |q| q.audio_seconds),
    unit("u", THOUSAND, ALONE, Requests, |q| q.search_units),
    unit("k", MILLION, ALONE, Audio, |q| q.characters),
    unit("p", THOUSAND, ALONE, Requests, |q| q.pages),
    unit("g", THOUSAND, ALONE, Image, |q| q.images),
    unit("x", THOUSAND, ALONE, Tools, |q| q.code_runs),
    unit("m", THOUSAND, ALONE, Tools, |q| q.maps_searches),
];

/// The rates that apply to an exchange.
struct Rates {
    /// In the order of [`UNITS`].
    by_unit: [u128; UNITS.len()],
    /// Multiplies the rates of tokens, in thousandths.
    factor: u128,
    /// True if there are rates for the tier.
    knows_tier: bool,
}

/// A quantity of an exchange.
struct Used {
    /// The index of the unit in [`UNITS`].
    index: usize,
    unit: &'static Unit,
    rate: u128,
    /// More than zero.
    count: u64,
}

/// The cost of the counted quantities, by rates in the notation of the price table. The rates of a later text replace those of
/// an earlier one.
pub fn bill(prices: &[&str], counted: &Quantities<'_>) -> Bill {
    let counted = counted.consistent();
    let rates = Rates::applying(prices, &counted);
    let used = rates.used(&counted);
    let mut bill = Bill { unpriced: rates.unpriced(&used, &counted), ..Bill::default() };
    let mut sums = [0u128; CostPart::ALL.len()];
    let mut add = |part: CostPart, price: u128| {
        if let Some(sum) = sums.get_mut(part as usize) {
            *sum = sum.saturating_add(price);
        }
    };
    // Traits and counts of the parts so far. Their wholes do not count them again.
    let mut paid: Vec<(u16, u64)> = Vec::with_capacity(used.len());
    for Used { unit, rate, count: whole, .. } in used.iter().filter(|used| used.rate < SAME) {
        let is_whole_of = |traits: u16| unit.traits != ALONE && traits & unit.traits == unit.traits;
        let parts = paid.iter().filter(|(traits, _)| is_whole_of(*traits));
        let apart = parts.fold(0, |sum: u64, (_, count)| sum.saturating_add(*count));
        let count = whole.saturating_sub(apart);
        paid.push((unit.traits, count));
        let factor = if unit.traits & (IN | OUT) == 0 { 1000 } else { rates.factor };
        let price = |count: u64| {
            let price = rate.saturating_mul(u128::from(count)).saturating_mul(u128::from(unit.scale));
            if factor == 1000 { price } else { price.saturating_mul(factor) / 1000 }
        };
        // A quantity that has the rate of its whole is a part of the cost nevertheless.
        let mut left = count;
        for Used { unit: part, rate: own, count, .. } in &used {
            let is_part = part.traits != unit.traits && is_whole_of(part.traits);
            if is_part && (*own == SAME || *own == NONE && part.key == "n") {
                let count = left.min(*count);
                add(part.part, price(count));
                left -= count;
            }
        }
        add(unit.part, price(left));
    }
    if counted.cached > 0 {
        bill.cache_savings = rates.cache_savings(&counted);
    }
    bill.parts = rounded(sums);
    bill
}

/// The sums in nano-dollars, so that their total is the rounded total of the sums.
fn rounded(sums: [u128; CostPart::ALL.len()]) -> [u64; CostPart::ALL.len()] {
    let (mut sum, mut before) = (0u128, 0u64);
    sums.map(|part| {
        if part == 0 {
            return 0;
        }
        sum = sum.saturating_add(part);
        let total = nanos(sum);
        let rounded = total - before;
        before = total;
        rounded
    })
}

/// A sum in nano-dollars, rounded half up.
fn nanos(sum: u128) -> u64 {
    u64::try_from(sum.saturating_add(NANO / 2) / NANO).unwrap_or(u64::MAX)
}

impl Rates {
    #[inline(never)]
    fn applying(prices: &[&str], counted: &Quantities<'_>) -> Self {
        let mut rates = Rates { by_unit: [NONE; UNITS.len()], factor: 1000, knows_tier: counted.tier.is_empty() };
        for text in prices {
            rates.read(text, counted);
        }
        rates
    }

    fn read(&mut self, text: &str, counted: &Quantities<'_>) {
        let mut holds = true;
        for word in text.split(' ') {
            let (key, amount) = word.split_at(word.bytes().take_while(u8::is_ascii_alphabetic).count());
            let when = amount.get(1..).unwrap_or_default();
            match amount.as_bytes().first() {
                Some(b';') => holds = true,
                Some(b'>') => holds &= when.parse().is_ok_and(|tokens: u64| counted.input > tokens),
                Some(b'@') => holds &= time_has_come(when, counted.at).unwrap_or(false),
                Some(b'*') if holds => {
                    self.factor = decimal(when).map_or(1000, |factor| factor / 10u128.pow(DECIMALS - 3))
                }
                Some(_) if holds => {
                    let code = code(key);
                    if let Some((_, rate)) = UNITS.iter().zip(&mut self.by_unit).find(|(unit, _)| unit.code == code) {
                        *rate = if amount == "=" { SAME } else { decimal(amount).unwrap_or(NONE) };
                    }
                }
                Some(_) => {}
                None => {
                    self.knows_tier |= key == counted.tier;
                    holds &= ["", counted.tier, counted.place, counted.search_context].contains(&key);
                }
            }
        }
    }

    fn of(&self, key: &str) -> u128 {
        let code = code(key);
        UNITS.iter().zip(&self.by_unit).find(|(unit, _)| unit.code == code).map_or(NONE, |(_, rate)| *rate)
    }

    /// The quantities that were used, in the order of [`UNITS`].
    fn used(&self, counted: &Quantities<'_>) -> Vec<Used> {
        let units = UNITS.iter().zip(self.by_unit).enumerate();
        let used = units.map(|(index, (unit, rate))| Used { index, unit, rate, count: (unit.count)(counted) });
        used.filter(|used| used.count > 0).collect()
    }

    /// The quantities without a rate of their own. Reasoning and citations are output, and a request has a price only at some
    /// providers.
    fn unpriced(&self, used: &[Used], counted: &Quantities<'_>) -> Unpriced {
        let mut unpriced = Unpriced::default();
        for Used { index, unit, .. } in used.iter().filter(|used| used.rate == NONE) {
            let is_known = match unit.key {
                "n" | "c" | "q" => true,
                // The length of audio and the number of images are only information if the tokens are billed.
                "a" | "g" => counted.input > 0 && self.of("i") < SAME,
                _ => false,
            };
            let whole = if unit.traits & IN > 0 { self.of("i") } else { self.of("o") };
            let is_free = unit.traits & ALONE == 0 && whole == 0;
            if !is_known && !is_free {
                unpriced.add(*index);
            }
        }
        if !self.knows_tier {
            unpriced.add(Unpriced::SERVICE_TIER);
        }
        unpriced
    }

    /// The amount that reading input from a cache saved, compared with the price of new input, in nano-dollars.
    fn cache_savings(&self, counted: &Quantities<'_>) -> u64 {
        let rate = |part: &str, whole: &str| if self.of(part) == SAME { self.of(whole) } else { self.of(part) };
        let saved = |read: u128, fresh: u128, count: u64| match (read, fresh) {
            (read, fresh) if read < SAME && fresh < SAME => {
                fresh.saturating_sub(read).saturating_mul(u128::from(count))
            }
            _ => 0,
        };
        let text = counted.cached.saturating_sub(counted.cached_audio).saturating_sub(counted.cached_image);
        let sum = saved(self.of("r"), self.of("i"), text)
            .saturating_add(saved(rate("ra", "r"), rate("ia", "i"), counted.cached_audio))
            .saturating_add(saved(rate("ri", "r"), rate("ii", "i"), counted.cached_image));
        nanos(sum.saturating_mul(u128::from(COMMON / MILLION)).saturating_mul(self.factor) / 1000)
    }
}

/// A decimal number in units of 10^-18. Returns None if it is not a decimal number, or has more than 18 decimals or 19 digits.
#[inline(never)]
pub fn decimal(text: &str) -> Option<u128> {
    let (mut number, mut decimals) = (0u64, None);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' => number = number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?,
            b'.' if decimals.is_none() => {
                decimals = Some(0);
                continue;
            }
            _ => return None,
        }
        decimals = decimals.map(|n| n + 1);
    }
    let zeros = DECIMALS.checked_sub(decimals.unwrap_or(0))?;
    Some(u128::from(number) * 10u128.pow(zeros))
}

#[cfg(test)]
mod tests {
    use super::super::time::day;
    use super::*;

    fn cost(prices: &str, counted: &Quantities<'_>) -> u64 {
        bill(&[prices], counted).total()
    }

    fn q() -> Quantities<'static> {
        Quantities { input: 1000, output: 100, ..Quantities::default() }
    }

    #[test]
    fn a_part_without_a_rate_costs_the_same_as_its_whole() {
        let q = Quantities { cached: 200, cache_write: 300, cache_write_1h: 100, reasoning: 50, ..q() };
        assert_eq!(cost("i1 o2", &q), 1_200_000);
        assert_eq!(cost("i1 o2 w2", &q), 1_500_000);
        assert_eq!(cost("i1 o2 w2 h3", &q), 1_600_000);
        assert_eq!(cost("i1 o2 r.5 w2 h3 n4", &q), 1_600_000);
        assert_eq!(cost("n4", &q), 200_000);
    }

    #[test]
    fn tokens_with_two_properties_are_counted_once() {
        let q = Quantities { cached: 500, input_audio: 400, cached_audio: 300, ..q() };
        // 400 fresh text, 200 cached text, 100 fresh audio, 300 cached audio
        assert_eq!(cost("i1 r.1 ia10 ra5", &q), 400_000 + 20_000 + 1_000_000 + 1_500_000);
    }

    #[test]
    fn a_later_section_whose_conditions_hold_replaces_rates() {
        let prices = "i1 o2 ; >999 i2 ; batch i.5 ; >999 batch i.75 ; @2026-11-22 o4 ; @23:00-01:00 o- ; fast o8";
        let at = |tier, at| cost(prices, &Quantities { tier, at, ..q() });
        let noon = day("2026-11-21").unwrap() + 43_200;
        assert_eq!(at("", noon), 2_200_000);
        assert_eq!(at("batch", noon), 950_000);
        assert_eq!(at("fast", noon), 2_800_000);
        assert_eq!(at("", noon + 86_400), 2_400_000);
        assert_eq!(at("", noon + 43_200), 2_000_000);
        assert_eq!(at("", noon + 43_200 + 3_600), 2_400_000);
        assert_eq!(cost(prices, &Quantities { input: 999, at: noon, ..q() }), 1_199_000);
    }

    #[test]
    fn requests_searches_and_audio_seconds_have_their_own_units() {
        let q = Quantities { web_searches: 2, file_searches: 1, audio_seconds: 7, ..Quantities::default() };
        assert_eq!(cost("q12 s10 f2.5 a.36", &q), 12_000_000 + 20_000_000 + 2_500_000 + 700_000);
        assert_eq!(cost("a.37", &q), 719_444);
    }

    #[test]
    fn the_sum_is_rounded_half_up_and_only_once() {
        let q = |input, output| Quantities { input, output, ..Quantities::default() };
        assert_eq!(cost("i.0005", &q(1, 0)), 1);
        assert_eq!(cost("i.0004999", &q(1, 0)), 0);
        assert_eq!(cost("i.0003 o.0002", &q(1, 1)), 1);
        assert_eq!(cost("i.18000000000000002", &q(1_000_000_000, 0)), 180_000_000_000);
        assert_eq!(cost("i600 o600", &q(u64::MAX, u64::MAX)), u64::MAX);
    }

    #[test]
    fn the_parts_of_a_cost_add_up_to_it() {
        let q = Quantities { cached: 200, cache_write: 300, reasoning: 50, web_searches: 1, ..q() };
        let seen = bill(&["i1 o2 r.5 w2 s10"], &q);
        let part = |part: CostPart| seen.parts[part as usize];
        assert_eq!([Input, CacheRead, CacheWrite, Output].map(part), [500_000, 100_000, 600_000, 100_000]);
        assert_eq!([Reasoning, Tools, Audio].map(part), [100_000, 10_000_000, 0]);
        assert_eq!((seen.cache_savings, seen.unpriced.is_empty()), (100_000, true));
        // A third of a nano-dollar each.
        let thirds = Quantities { input: 1, output: 1, reasoning: 0, ..Quantities::default() };
        assert_eq!(bill(&["i.0004 o.0004"], &thirds).parts.iter().sum::<u64>(), 1);
    }

    #[test]
    fn a_quantity_without_a_rate_is_named() {
        let names = |prices: &[&str], q: &Quantities<'_>| bill(prices, q).unpriced.names().collect::<Vec<_>>();
        let audio = Quantities { input_audio: 5, output_audio: 5, reasoning: 5, ..q() };
        assert_eq!(names(&["i1 o2"], &audio), ["input_audio", "output_audio"]);
        assert_eq!(names(&["i1 o2", "ia= oa3"], &audio), Vec::<&str>::new());
        assert_eq!(names(&["i0 o0"], &audio), Vec::<&str>::new());
        assert_eq!(names(&["i1"], &q()), ["output"]);
        assert_eq!(names(&["i1 o2"], &Quantities { web_searches: 1, cached: 1, ..q() }), ["cache_read", "web_search"]);
        assert_eq!(names(&["i1 o2 ; flex i.5"], &Quantities { tier: "flex", ..q() }), Vec::<&str>::new());
        assert_eq!(names(&["i1 o2 ; flex i.5"], &Quantities { tier: "priority", ..q() }), ["service_tier"]);
    }

    #[test]
    fn a_place_multiplies_the_rates_of_tokens_only() {
        let q = Quantities { web_searches: 1, place: "us", ..q() };
        assert_eq!(cost("i1 o2 s10 ; us *1.1", &q), 1_320_000 + 10_000_000);
        assert_eq!(cost("i1 o2 s10 ; eu *1.1", &q), 1_200_000 + 10_000_000);
    }

    #[test]
    fn units_have_the_order_of_their_names() {
        let index = |key: &str| UNITS.iter().position(|unit| unit.key == key).unwrap();
        for (key, name) in
            [("h", "cache_write_1h"), ("r", "cache_read"), ("i", "input"), ("o", "output"), ("s", "web_search")]
        {
            assert_eq!(Unpriced::NAMES[index(key)], name);
        }
        for (key, name) in [("u", "search_units"), ("k", "characters"), ("p", "pages"), ("x", "code_execution")] {
            assert_eq!(Unpriced::NAMES[index(key)], name);
        }
        assert_eq!(UNITS.len(), Unpriced::SERVICE_TIER);
        assert!(CostPart::ALL.into_iter().enumerate().all(|(index, part)| part as usize == index));
    }
}
