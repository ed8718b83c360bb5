//! Go's duration grammar: `300ms`, `1.5h`, `1m5s`, and a bare `0`.

/// The units, longest name first where one begins another, in nanoseconds.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Digits beyond these of one number are refused: 18 hold every duration a Go program can.
const DIGITS_MAX: usize = 18;

/// The text as nanoseconds, below 0 too; none if it is not of Go's grammar or beyond 64 bits.
#[must_use]
pub fn parse_ns(text: &str) -> Option<i64> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if unsigned == "0" {
        return Some(0);
    }
    if unsigned.is_empty() {
        return None;
    }
    let mut rest = unsigned;
    let mut sum_ns: i128 = 0;
    while !rest.is_empty() {
        let whole;
        (whole, rest) = digits(rest);
        let mut fraction = "";
        if let Some(after) = rest.strip_prefix('.') {
            (fraction, rest) = digits(after);
        }
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let (name, unit_ns) = UNITS.iter().find(|(name, _)| {
            // `m` must not take the first letter of `ms`.
            rest.strip_prefix(name)
                .is_some_and(|after| after.is_empty() || after.starts_with(begins_number))
        })?;
        rest = &rest[name.len()..];
        sum_ns += number(whole)? * unit_ns;
        sum_ns += number(fraction)? * unit_ns / 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    }
    i64::try_from(sign * sum_ns).ok()
}

fn begins_number(letter: char) -> bool {
    letter.is_ascii_digit() || letter == '.'
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// An unsigned number of at most [`DIGITS_MAX`] digits; no digits are 0.
fn number(digits: &str) -> Option<i128> {
    match digits.len() {
        0 => Some(0),
        1..=DIGITS_MAX => digits.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::parse_ns;

    #[test]
    fn the_grammar() {
        let cases = [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("0s", Some(0)),
            ("1m5s", Some(65_000_000_000)),
            ("500ms", Some(500_000_000)),
            ("1.5h", Some(5_400_000_000_000)),
            (".5s", Some(500_000_000)),
            ("5.s", Some(5_000_000_000)),
            ("1h0.25m3µs4us5μs6ns", Some(3_615_000_012_006)),
            ("-1s", Some(-1_000_000_000)),
            ("+1s", Some(1_000_000_000)),
            ("9223372036s", Some(9_223_372_036_000_000_000)),
            ("9223372037s", None),
            ("10", None),
            ("", None),
            ("-", None),
            (".", None),
            (".s", None),
            ("s", None),
            ("1 s", None),
            ("1s ", None),
            ("1d", None),
            ("1sec", None),
            ("1m5", None),
            ("1e3s", None),
            ("--1s", None),
            ("1234567890123456789s", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse_ns(text), want, "{text:?}");
        }
    }
}
