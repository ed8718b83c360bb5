//! What figures are counted in, and how people read them.

/// What a metric is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Things.
    Count,
    /// A share of 1.
    Share,
    /// Pod-seconds.
    PodSeconds,
    /// Money.
    Money,
}

impl Unit {
    /// A value as people read it.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            _ if value.is_infinite() => "never".to_owned(),
            Self::Ns => show_ns(value),
            Self::Count => rounded(value, 3),
            Self::Share => format!("{} %", rounded(value * 100.0, 2)),
            Self::PodSeconds => format!("{} pod-s", rounded(value, 1)),
            Self::Money => rounded(value, 4),
        }
    }
}

/// Four significant digits in the unit that fits.
fn show_ns(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns >= 1e9 => (ns / 1e9, "s"),
        ns if ns >= 1e6 => (ns / 1e6, "ms"),
        ns if ns >= 1e3 => (ns / 1e3, "us"),
        ns => (ns, "ns"),
    };
    let digits = match value {
        value if value >= 1000.0 => 0,
        value if value >= 100.0 => 1,
        value if value >= 10.0 => 2,
        _ => 3,
    };
    format!("{} {unit}", rounded(value, digits))
}

/// With at most that many decimals.
fn rounded(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_people_read_them() {
        for (unit, value, want) in [
            (Unit::Ns, 1.5e9, "1.5 s"),
            (Unit::Ns, 12_345_678.0, "12.35 ms"),
            (Unit::Ns, 0.0, "0 ns"),
            (Unit::Ns, f64::INFINITY, "never"),
            (Unit::Share, 0.1234567, "12.35 %"),
            (Unit::Count, 100.0, "100"),
            (Unit::PodSeconds, 1000.04, "1000 pod-s"),
        ] {
            assert_eq!(unit.show(value), want);
        }
    }
}
