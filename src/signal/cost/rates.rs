//! The units that have prices, and the exact cost. `prices.json` describes the notation of rates.
//!
//! A rate has at most 18 decimals, and all sums are sums of whole numbers. Only the result is rounded, to the nano-dollar, half
//! up.

use crate::observation::Quantities;

/// Maximum number of decimals of a rate in US dollars.
const DECIMALS: u32 = 18;

/// A common multiple of all [`Unit::per`]: a million, a thousand, and the seconds of an hour.
const COMMON: u128 = 9_000_000;

/// In place of a rate: there is none.
const NONE: u128 = u128::MAX;

/// A nano-dollar, in the unit of the sum.
const NANO: u128 = COMMON * 10u128.pow(DECIMALS - 9);

/// A quantity that can have a rate.
struct Unit {
    /// Its name in the price table.
    key: &'static str,
    /// How many of it the rate is for.
    per: u32,
    /// Its properties. A whole has a subset of the properties of each of its parts.
    traits: u16,
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
const REQUEST: u16 = 1024;
const WEB: u16 = 2048;
const FILES: u16 = 4096;
const TIME: u16 = 8192;

const fn unit(key: &'static str, per: u32, traits: u16, count: fn(&Quantities<'_>) -> u64) -> Unit {
    Unit { key, per, traits, count }
}

const MILLION: u32 = 1_000_000;
const THOUSAND: u32 = 1_000;

/// Parts come before their wholes.
const UNITS: &[Unit] = &[
    unit("h", MILLION, IN | WRITTEN | HOUR, |q| q.cache_write_1h),
    unit("ra", MILLION, IN | READ | AUDIO, |q| q.cached_audio),
    unit("ri", MILLION, IN | READ | IMAGE, |q| q.cached_image),
    unit("r", MILLION, IN | READ, |q| q.cached),
    unit("w", MILLION, IN | WRITTEN, |q| q.cache_write),
    unit("ia", MILLION, IN | AUDIO, |q| q.input_audio),
    unit("ii", MILLION, IN | IMAGE, |q| q.input_image),
    unit("iv", MILLION, IN | VIDEO, |q| q.input_video),
    unit("n", MILLION, OUT | REASONED, |q| q.reasoning),
    unit("c", MILLION, OUT | CITED, |q| q.citations),
    unit("oa", MILLION, OUT | AUDIO, |q| q.output_audio),
    unit("oi", MILLION, OUT | IMAGE, |q| q.output_image),
    unit("ov", MILLION, OUT | VIDEO, |q| q.output_video),
    unit("i", MILLION, IN, |q| q.input),
    unit("o", MILLION, OUT, |q| q.output),
    unit("q", THOUSAND, REQUEST, |q| u64::from(!q.further)),
    unit("s", THOUSAND, WEB, |q| q.web_searches),
    unit("f", THOUSAND, FILES, |q| q.file_searches),
    unit("a", 3_600, TIME, |q| q.audio_seconds),
];

/// The cost in nano-dollars of the counted quantities, by rates in the notation of the price table.
pub fn cost(prices: &str, counted: &Quantities<'_>) -> u64 {
    let counted = counted.consistent();
    let rates = rates(prices, &counted);
    let mut sum = 0u128;
    // Traits and counts of the parts so far. Their wholes do not count them again.
    let mut paid = [(0, 0); UNITS.len()];
    for ((unit, rate), slot) in UNITS.iter().zip(rates).filter(|(_, rate)| *rate != NONE).zip(0..) {
        let parts = paid.iter().filter(|(traits, _)| traits & unit.traits == unit.traits);
        let apart = parts.fold(0, |sum: u64, (_, count)| sum.saturating_add(*count));
        let count = (unit.count)(&counted).saturating_sub(apart);
        if let Some(slot) = paid.get_mut(slot) {
            *slot = (unit.traits, count);
        }
        let price = rate.saturating_mul(u128::from(count)).saturating_mul(COMMON / u128::from(unit.per));
        sum = sum.saturating_add(price);
    }
    u64::try_from(sum.saturating_add(NANO / 2) / NANO).unwrap_or(u64::MAX)
}

/// The rates that apply, in the order of [`UNITS`].
#[inline(never)]
fn rates(prices: &str, counted: &Quantities<'_>) -> [u128; UNITS.len()] {
    let mut rates = [NONE; UNITS.len()];
    let mut holds = true;
    for word in prices.split(' ') {
        let (key, amount) = word.split_at(word.bytes().take_while(u8::is_ascii_alphabetic).count());
        let when = amount.get(1..).unwrap_or_default();
        match amount.as_bytes().first() {
            Some(b';') => holds = true,
            Some(b'>') => holds &= when.parse().is_ok_and(|tokens: u64| counted.input > tokens),
            Some(b'@') => holds &= time_has_come(when, counted.at).unwrap_or(false),
            Some(_) if holds => {
                if let Some((_, rate)) = UNITS.iter().zip(&mut rates).find(|(unit, _)| unit.key == key) {
                    *rate = decimal(amount).unwrap_or(NONE);
                }
            }
            Some(_) => {}
            None => holds &= key.is_empty() || key == counted.tier,
        }
    }
    rates
}

/// Returns true if `at` is on or after the day `when`, or within the daily period `when`. `at` is in seconds since
/// 1970. Returns None if `when` is neither a day nor a period.
fn time_has_come(when: &str, at: u64) -> Option<bool> {
    if let Some(from) = day(when) {
        return Some(at >= from);
    }
    let ([hours, minutes, to_hours, to_minutes], 4) = numbers(when)? else {
        return None;
    };
    let (from, to, now) = (hours * 60 + minutes, to_hours * 60 + to_minutes, at / 60 % 1440);
    Some(if from <= to { (from..to).contains(&now) } else { now >= from || now < to })
}

/// The beginning of a day such as `2026-11-22`, in seconds since 1970.
pub fn day(text: &str) -> Option<u64> {
    let ([year, month, day, _], 3) = numbers(text)? else {
        return None;
    };
    // Years begin in March, so the leap day is the last day of a year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    days.checked_sub(719_469)?.checked_mul(86_400)
}

/// Up to four numbers, separated by one character each, and how many there are.
#[inline(never)]
fn numbers(text: &str) -> Option<([u64; 4], usize)> {
    let mut numbers = [0; 4];
    let mut at = 0;
    for byte in text.bytes() {
        if byte.is_ascii_digit() {
            let number: &mut u64 = numbers.get_mut(at)?;
            *number = number.checked_mul(10)? + u64::from(byte - b'0');
        } else {
            at += 1;
        }
    }
    Some((numbers, at + 1))
}

/// A decimal number in units of 10^-18. Returns None if it is not a decimal number, or has too many digits.
#[inline(never)]
pub fn decimal(text: &str) -> Option<u128> {
    let (mut number, mut decimals) = (0u128, None);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' => number = number.checked_mul(10)?.checked_add(u128::from(byte - b'0'))?,
            b'.' if decimals.is_none() => {
                decimals = Some(0);
                continue;
            }
            _ => return None,
        }
        decimals = decimals.map(|n| n + 1);
    }
    number.checked_mul(10u128.pow(DECIMALS.checked_sub(decimals.unwrap_or(0))?)).filter(|number| *number != NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn days_count_from_1970() {
        let days = |text| day(text).map(|seconds| seconds / 86_400);
        assert_eq!(days("1970-01-01"), Some(0));
        assert_eq!(days("2000-02-29"), Some(11_016));
        assert_eq!(days("2026-11-22"), Some(20_779));
        assert_eq!(days("01:00-04:00"), None);
    }
}
