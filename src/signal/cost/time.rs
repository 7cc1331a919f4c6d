//! Days and daily periods at which rates apply. All times are UTC.

/// Returns true if `at` is on or after the day `when`, or within the daily period `when`. `at` is in seconds since
/// 1970. Returns None if `when` is neither a day nor a period.
pub fn time_has_come(when: &str, at: u64) -> Option<bool> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_from_1970() {
        let days = |text| day(text).map(|seconds| seconds / 86_400);
        assert_eq!(days("1970-01-01"), Some(0));
        assert_eq!(days("2000-02-29"), Some(11_016));
        assert_eq!(days("2026-11-22"), Some(20_779));
        assert_eq!(days("01:00-04:00"), None);
    }
}
