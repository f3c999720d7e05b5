//! Formats numbers for human readers.

use std::time::Duration;

/// Formats a number as `6,001,215`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats a number of things as `1 row`, `2 rows`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// Formats a number of bytes as `178.5 MB`, in powers of 1,000.
pub(crate) fn size(bytes: u64) -> String {
    scaled(bytes, 1, &[" B", " kB", " MB", " GB", " TB", " PB", " EB"])
}

/// Formats rows per second as `1.46 M rows/s`.
pub(crate) fn rate(rows: u64, time: Duration) -> String {
    let per_second = u128::from(rows) * 1_000_000 / time.as_micros().max(1);
    scaled(u64::try_from(per_second).unwrap_or(u64::MAX), 2, &["", " k", " M", " G", " T"]) + " rows/s"
}

/// Formats a duration as `12 ms`, `4.1 s` or `3 min 5 s`.
pub(crate) fn duration(time: Duration) -> String {
    match time.as_millis() {
        0..1_000 => format!("{} ms", time.as_millis()),
        1_000..100_000 => format!("{:.1} s", time.as_secs_f64()),
        _ => format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60),
    }
}

/// Divides by 1,000 until fewer than four digits are left before the decimal point, and appends the unit.
fn scaled(number: u64, decimals: usize, units: &[&str]) -> String {
    let number = u128::from(number);
    let mut divisor: u128 = 1;
    let mut units = units.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    while let (true, Some(next)) = (number / divisor >= 1_000, units.as_slice().first()) {
        divisor *= 1_000;
        unit = next;
        units.next();
    }
    let whole = number / divisor;
    let thousandths = number % divisor * 1_000 / divisor;
    let fraction = format!("{thousandths:03}");
    match fraction.get(..decimals) {
        Some(shown) if divisor > 1 && decimals > 0 => format!("{whole}.{shown}{unit}"),
        _ => format!("{whole}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!([0, 999, 1_000, 6_001_215].map(grouped), ["0", "999", "1,000", "6,001,215"]);
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(1_000, "row"), "1,000 rows");
    }

    #[test]
    fn sizes_and_rates_name_their_unit() {
        assert_eq!([0, 999, 1_000, 178_512_345].map(size), ["0 B", "999 B", "1.0 kB", "178.5 MB"]);
        assert_eq!(size(u64::MAX), "18.4 EB");
        assert_eq!(rate(6_001_215, Duration::from_millis(4_100)), "1.46 M rows/s");
        assert_eq!(rate(10, Duration::from_secs(1)), "10 rows/s");
        assert_eq!(rate(0, Duration::ZERO), "0 rows/s");
    }

    #[test]
    fn durations_fit_their_length() {
        let text = |ms| duration(Duration::from_millis(ms));
        assert_eq!([12, 4_100, 185_000].map(text), ["12 ms", "4.1 s", "3 min 5 s"]);
    }
}
