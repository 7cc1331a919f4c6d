//! Conversions between decimal text and `f64`.
//!
//! Exact for numbers of up to 15 digits and powers of ten up to 22. For other numbers, the last digit of the result may
//! differ. The conversions of the standard library are exact for all numbers, but their tables add 20 KiB to the
//! plugin.

use core::fmt::Write;

/// Powers of ten that `f64` represents exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// Exponent of the largest power in [`POWERS`].
const LARGEST_POWER: i32 = 22;
/// Ten to the power of [`GIANT_POWER`], which scales in one operation what [`LARGEST_POWER`] scales in eight.
const GIANT: f64 = 1e176;
const GIANT_POWER: i32 = 8 * LARGEST_POWER;
/// Largest mantissa that has room for another digit. Further digits are more than `f64` can represent.
const LARGEST_MANTISSA: u64 = (u64::MAX - 9) / 10;
/// `f64` represents all whole numbers below 2^53 exactly.
const EXACT_LIMIT: f64 = 9_007_199_254_740_992.0;

/// Parses a decimal number with optional minus sign, point and exponent. Returns None if the text is not such a number.
///
/// More lenient than RFC 8259, section 6: accepts leading zeros, and a point without digits on one of its sides. A
/// number that is too large becomes infinity.
#[inline(never)]
pub fn parse(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (digits, exponent) = match digits.split_once(['e', 'E']) {
        Some((digits, text)) => (digits, parse_exponent(text)?),
        None => (digits, 0),
    };
    let (mut mantissa, mut power, mut any, mut point) = (0u64, exponent, false, false);
    for byte in digits.bytes() {
        match byte {
            b'0'..=b'9' => {
                any = true;
                if mantissa <= LARGEST_MANTISSA {
                    (mantissa, power) = (mantissa * 10 + u64::from(byte - b'0'), power - i32::from(point));
                } else {
                    power += i32::from(!point);
                }
            }
            b'.' if !point => point = true,
            _ => return None,
        }
    }
    let value = if mantissa == 0 { 0.0 } else { scaled(mantissa as f64, power) };
    any.then_some(if text.starts_with('-') { -value } else { value })
}

/// Appends a number in JSON syntax with the fewest decimals that give the same number again. Appends nothing if the
/// number is not finite.
#[inline(never)]
pub fn write(out: &mut String, number: f64) {
    if !number.is_finite() {
        return;
    }
    if number < 0.0 {
        out.push('-');
    }
    let number = number.abs();
    // Writing to a String cannot fail.
    let _ = match shortest(number) {
        Some((digits, 0)) => write!(out, "{digits}"),
        Some((digits, decimals)) => {
            let one = 10u64.pow(decimals);
            write!(out, "{}.{:0width$}", digits / one, digits % one, width = decimals as usize)
        }
        None => {
            let mut power = 0;
            let mut mantissa = number;
            while mantissa >= 10.0 {
                (mantissa, power) = (mantissa / 10.0, power + 1);
            }
            while mantissa < 1.0 {
                (mantissa, power) = (mantissa * 10.0, power - 1);
            }
            write!(out, "{}e{}", (mantissa * 1e16).round() as u64, power - 16)
        }
    };
}

/// Returns true if the text is a number by the grammar of RFC 8259, section 6.
pub fn is_valid(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || whole > 1 && text.first() == Some(&b'0') {
        return false;
    }
    let mut rest = text.get(whole..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        rest = fraction.get(count..).unwrap_or_default();
        if count == 0 {
            return false;
        }
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

/// Parses an exponent with optional sign, clamped to a magnitude of 100,000.
fn parse_exponent(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut value = 0i32;
    for byte in digits.bytes() {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value = value.saturating_mul(10).saturating_add(i32::from(digit));
    }
    let value = value.min(100_000);
    (!digits.is_empty()).then_some(if text.starts_with('-') { -value } else { value })
}

/// `value` times ten to the power of `power`.
fn scaled(mut value: f64, power: i32) -> f64 {
    let mut left = power.clamp(-700, 700);
    while left > GIANT_POWER {
        (value, left) = (value * GIANT, left - GIANT_POWER);
    }
    while left < -GIANT_POWER {
        (value, left) = (value / GIANT, left + GIANT_POWER);
    }
    while left > LARGEST_POWER {
        (value, left) = (value * 1e22, left - LARGEST_POWER);
    }
    while left < -LARGEST_POWER {
        (value, left) = (value / 1e22, left + LARGEST_POWER);
    }
    if left < 0 { value / ten_to(-left) } else { value * ten_to(left) }
}

/// Ten to the power of `power`, which is from 0 to 22.
fn ten_to(power: i32) -> f64 {
    usize::try_from(power).ok().and_then(|at| POWERS.get(at)).copied().unwrap_or(1.0)
}

/// All digits of the number as a whole number, and how many of them are decimals: the fewest that give the same number
/// again. Returns None if the digits do not fit into 2^53 or more than 19 decimals are needed.
fn shortest(number: f64) -> Option<(u64, u32)> {
    let mut trials = POWERS.iter().take(20).zip(0..).map(|(power, decimals)| (number * power, *power, decimals));
    let fits = |(raised, power, _): &(f64, f64, u32)| *raised < EXACT_LIMIT && raised.round() / power == number;
    trials.find(fits).map(|(raised, _, decimals)| (raised.round() as u64, decimals))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(number: f64) -> String {
        let mut out = String::new();
        write(&mut out, number);
        out
    }

    #[test]
    fn numbers_of_up_to_15_digits_are_read_and_written_exactly() {
        for whole in [0u64, 1, 7, 10, 99, 1234, 123_456_789] {
            for decimals in 0..=9 {
                for offset in [0u64, 1, 5, 37] {
                    let digits = format!("{:0>10}", whole + offset);
                    let (before, after) = digits.split_at(digits.len() - decimals);
                    let text = format!("{before}.{after}");
                    let exact: f64 = text.parse().unwrap();
                    assert_eq!(parse(&text), Some(exact), "{text}");
                    assert_eq!(written(exact).parse::<f64>(), Ok(exact), "{text}");
                    assert_eq!(written(-exact).parse::<f64>(), Ok(-exact), "-{text}");
                }
            }
        }
        for (text, shown) in [
            ("0.7", "0.7"),
            ("1.0", "1"),
            ("40", "40"),
            ("-0.5", "-0.5"),
            ("7e-1", "0.7"),
            ("1E+2", "100"),
            ("1e-7", "0.0000001"),
            ("0.30000000000000004", "30000000000000004e-17"),
            ("9007199254740991", "9007199254740991"),
        ] {
            assert_eq!(written(parse(text).unwrap()), shown, "{text}");
        }
    }

    #[test]
    fn very_large_and_very_small_numbers_are_approximated() {
        for text in [
            "1e300",
            "123456789012345678901234567890",
            "4.9e-324",
            "1.5e308",
            "0.1234567890123456789",
            "7e-177",
            "3e176",
            "2.5e-200",
            "12345678901234567890e-330",
        ] {
            let exact: f64 = text.parse().unwrap();
            let near = |value: f64| (value - exact).abs() <= exact * 1e-14;
            assert!(near(parse(text).unwrap()), "{text}: {:?}", parse(text));
            assert!(near(written(exact).parse().unwrap()), "{text}: {}", written(exact));
        }
        assert_eq!(parse("1e400"), Some(f64::INFINITY));
        assert_eq!(parse("1e99999999999999999999"), Some(f64::INFINITY));
        assert_eq!(parse("1e-99999999999999999999"), Some(0.0));
        assert_eq!(parse(&"9".repeat(400)), Some(f64::INFINITY));
        assert_eq!((written(f64::INFINITY), written(f64::NAN)), (String::new(), String::new()));
    }

    #[test]
    fn text_that_is_not_a_number_is_rejected() {
        for text in ["", "-", ".", "e5", "1e", "1e+", "1.2.3", "1-2", "--1", "+1", "1e5e5", "0x10", "inf", "NaN", "1_0"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
