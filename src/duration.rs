//! Durations on the command line: a whole number and a unit, always.

use std::time::Duration;

/// Reads `500ms`, `30s`, `5m` or `1h`. A bare number is refused, `0` excepted.
///
/// # Errors
/// The rule that `text` breaks, worded to follow "must be".
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let rule = || "a whole number with a unit, ms, s, m or h (as in 30s)".to_owned();
    let unit_at = text.find(|character: char| !character.is_ascii_digit()).ok_or_else(rule)?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| rule())?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(rule()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_needs_its_unit() {
        let cases = [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("", None),
            ("30", None),
            ("s", None),
            ("1.5s", None),
            ("-1s", None),
            ("1 s", None),
            ("1d", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ];
        for (text, expected_ms) in cases {
            let parsed = parse(text).ok();
            assert_eq!(parsed, expected_ms.map(Duration::from_millis), "{text:?}");
        }
    }
}
