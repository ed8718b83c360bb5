//! From figures to places on a chart.

use crate::scenario::Time;

/// Ticks of an axis of time: what fits below it without one running into the next.
const TICKS_MAX: u32 = 9;

/// Steps between ticks that people count in, in seconds.
const STEPS_S: [u64; 22] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    86_400, 172_800, 604_800, 1_209_600, 2_592_000,
];

/// From 0 to the most, from one place to another.
pub(in crate::report) struct Axis {
    most: f64,
    near: f64,
    far: f64,
}

impl Axis {
    /// `most` is above 0.
    pub(in crate::report) fn new(most: f64, near: f64, far: f64) -> Self {
        Self { most, near, far }
    }

    pub(in crate::report) fn at(&self, figure: f64) -> f64 {
        let share = (figure / self.most).clamp(0.0, 1.0);
        self.near + (self.far - self.near) * share
    }

    pub(in crate::report) fn most(&self) -> f64 {
        self.most
    }

    pub(in crate::report) fn near(&self) -> f64 {
        self.near
    }

    pub(in crate::report) fn far(&self) -> f64 {
        self.far
    }
}

/// Moments that are marked.
pub(super) fn ticks(end: Time) -> Vec<Time> {
    let fits = |step_s: &&u64| end.0 / (**step_s * Time::SECOND.0) < u64::from(TICKS_MAX);
    // Whatever is longer than months, or shorter than a second, is divided in as many parts.
    let step_ns = match (STEPS_S.iter().find(fits), end.0 / Time::SECOND.0) {
        (Some(step_s), 3..) => *step_s * Time::SECOND.0,
        _ => end.0 / 4,
    };
    let ticks = (0..=TICKS_MAX).map(|tick| step_ns.max(1).saturating_mul(tick.into()));
    ticks.take_while(|tick_ns| *tick_ns <= end.0).map(Time).collect()
}

/// A figure beside its axis.
pub(super) fn label(figure: f64) -> String {
    match figure {
        figure if figure >= 10_000.0 => format!("{:.0}k", figure / 1_000.0),
        figure if figure >= 10.0 => format!("{figure:.0}"),
        figure => {
            let text = format!("{figure:.2}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_at_moments_that_people_count_in() {
        for (end, want) in [
            ("10m", "0s 2m 4m 6m 8m 10m"),
            ("8h", "0s 1h 2h 3h 4h 5h 6h 7h 8h"),
            ("90s", "0s 15s 30s 45s 1m 1m15s 1m30s"),
            ("2s", "0s 500ms 1s 1.5s 2s"),
        ] {
            let told: Vec<_> =
                ticks(end.parse().unwrap()).iter().map(ToString::to_string).collect();
            assert_eq!(told.join(" "), want);
        }
        let year = ticks(Time(366 * 24 * 3_600_000_000_000));
        assert!((4..=10).contains(&year.len()), "{year:?}");
    }

    #[test]
    fn figures_are_short_beside_their_axis() {
        for (figure, want) in [(0.125, "0.12"), (3.0, "3"), (61.4, "61"), (123_456.0, "123k")] {
            assert_eq!(label(figure), want);
        }
    }
}
