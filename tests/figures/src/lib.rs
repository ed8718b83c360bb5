//! Figures that benches take, and the table they print them in: Markdown, because the README shows
//! the very lines.

#![allow(clippy::print_stdout, reason = "what a bench is for")]

/// What many samples of one thing say.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// The middle sample.
    pub median: f64,
    /// The least. Where the work is the same each time, whatever else runs on the machine only adds
    /// to it, so this is the work's own cost, and how far the median lies above it tells how quiet
    /// the machine was.
    pub best: f64,
}

impl Figure {
    /// Of samples; not a number if there is none.
    #[must_use]
    pub fn of(samples: Vec<f64>) -> Self {
        let best = samples.iter().copied().fold(f64::NAN, f64::min);
        Self { median: median(samples.into_iter()), best }
    }

    /// How many times the other this is, like by like.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        Self { median: self.median / other.median, best: self.best / other.best }
    }

    /// So many times this.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { median: factor * self.median, best: factor * self.best }
    }
}

/// What a figure is to reach.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// Held by the least sample: for work that is the same each time.
    BestAtMost(f64),
    /// Held by the median.
    AtMost(f64),
    /// Held by the median.
    AtLeast(f64),
    /// There to compare with.
    None,
}

impl Goal {
    fn verdict(self, figure: Figure) -> String {
        let (bound, met) = match self {
            Self::BestAtMost(most) => (format!("best ≤ {most}"), figure.best <= most),
            Self::AtMost(most) => (format!("≤ {most}"), figure.median <= most),
            Self::AtLeast(least) => (format!("≥ {least}"), figure.median >= least),
            Self::None => return String::new(),
        };
        format!("{bound}: {}", if met { "met" } else { "MISSED" })
    }
}

/// Prints the head of a table of figures.
pub fn heading(title: &str) {
    println!("| {title:<58} |    median |      best | unit  | goal            |");
    println!("| {:-<58} | --------: | --------: | ----- | --------------- |", "");
}

/// Prints a figure: what it is, its unit, and whether it meets its goal.
pub fn row(what: &str, figure: Figure, unit: &str, goal: Goal) {
    println!("{}", line(what, figure, unit, goal));
}

fn line(what: &str, figure: Figure, unit: &str, goal: Goal) -> String {
    let [median, best] = [figure.median, figure.best].map(digits);
    format!("| {what:<58} | {median:>9} | {best:>9} | {unit:<5} | {:<15} |", goal.verdict(figure))
}

/// Three digits, or all before the point.
fn digits(figure: f64) -> String {
    let decimals = match figure.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{figure:.decimals$}")
}

/// The middle one; not a number if there is none.
#[must_use]
pub fn median(figures: impl Iterator<Item = f64>) -> f64 {
    quantile(figures, 0.5)
}

/// The least one that this share of all is not above (the nearest rank); not a number if there is
/// none.
#[must_use]
pub fn quantile(figures: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a share of a few thousand"
    )]
    let rank = (figures.len() as f64 * share).ceil() as usize;
    figures.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let figures = || (1..=100).rev().map(f64::from);
        for (share, figure) in [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            assert!((quantile(figures(), share) - figure).abs() < 1e-9, "{share}");
        }
        assert!(median([].into_iter()).is_nan());
    }

    #[test]
    fn a_row_says_whether_its_goal_is_met_and_by_what() {
        let figure = Figure::of(vec![17.0, 9.5, 18.0]);
        let verdict = |goal| {
            let line = line("work", figure, "ns", goal);
            line.split('|').rev().nth(1).unwrap().trim().to_owned()
        };
        assert_eq!(verdict(Goal::BestAtMost(12.0)), "best ≤ 12: met");
        assert_eq!(verdict(Goal::BestAtMost(9.0)), "best ≤ 9: MISSED");
        assert_eq!(verdict(Goal::AtMost(12.0)), "≤ 12: MISSED");
        assert_eq!(verdict(Goal::AtLeast(17.0)), "≥ 17: met");
        assert_eq!(verdict(Goal::None), "");
        let nothing = Figure::of(Vec::new());
        assert!(Goal::AtMost(1.0).verdict(nothing).ends_with("MISSED"), "no sample meets nothing");
    }

    #[test]
    fn digits_are_those_that_mean_something() {
        assert_eq!([0.634, 9.58, 17.06, 248.6].map(digits), ["0.63", "9.58", "17.1", "249"]);
    }
}
