//! How long things take: a number between 0 and 1 becomes a duration.

use std::sync::Arc;

/// z of the 99th percentile of the standard normal distribution, Φ⁻¹(0.99).
const Z_99: f64 = 2.326_347_874_040_841;

/// The longest duration drawn, in nanoseconds: a day. A heavy tail has no end of its own.
const NS_MAX: f64 = 86_400e9;

/// A distribution of durations in whole nanoseconds, each at most a day.
///
/// A draw is the inverse of the distribution function at a number strictly between 0 and 1, worked
/// out by functions that give the same digits on every machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Distribution {
    /// Always the same.
    Constant(u64),
    /// Evenly from the first, included, to the second, left out.
    Uniform(u64, u64),
    /// −mean · ln(1 − u).
    Exponential {
        /// In nanoseconds.
        mean_ns: u64,
    },
    /// p50 · e^(σ·Φ⁻¹(u)) with σ = ln(p99 ÷ p50) ÷ Φ⁻¹(0.99).
    LogNormal(LogNormal),
    /// One of two durations.
    Bimodal {
        /// The one, in nanoseconds.
        low_ns: u64,
        /// The other, in nanoseconds.
        high_ns: u64,
        /// How often it is the other, 0–1.
        high_share: f64,
    },
    /// Straight lines between known percentiles.
    Percentiles(Percentiles),
}

/// A log-normal distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogNormal {
    median_ns: f64,
    sigma: f64,
}

/// Known percentiles: at least one, shares and durations both ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct Percentiles(Arc<[Known]>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Known {
    share: f64,
    ns: u64,
    /// Nanoseconds by the share from here to the next one; 0 at the last.
    slope: f64,
}

impl Distribution {
    /// The log-normal distribution with this median and this 99th percentile, in nanoseconds, both
    /// at least 1; a 99th percentile below the median counts as the median.
    #[must_use]
    pub fn log_normal(p50_ns: u64, p99_ns: u64) -> Self {
        let median_ns = p50_ns.max(1) as f64;
        let sigma = libm::log((p99_ns.max(1) as f64 / median_ns).max(1.0)) / Z_99;
        Self::LogNormal(LogNormal { median_ns, sigma })
    }

    /// Straight lines between percentiles: pairs of a share, 0–1, and a duration in nanoseconds.
    /// None unless there is one and both ascend.
    #[must_use]
    pub fn percentiles(known: &[(f64, u64)]) -> Option<Self> {
        let ascend = known.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1);
        let within = known.iter().all(|(share, _)| (0.0..=1.0).contains(share));
        let points = known.iter().enumerate().map(|(at, &(share, ns))| {
            let slope = known.get(at + 1).map(|next| (next.1 - ns) as f64 / (next.0 - share));
            // Two of one share are a step, which no draw falls into.
            Known { share, ns, slope: slope.filter(|slope| slope.is_finite()).unwrap_or(0.0) }
        });
        (ascend && within && !known.is_empty())
            .then(|| Self::Percentiles(Percentiles(points.collect())))
    }

    /// The duration below which a share `unit` of all lies, in nanoseconds; `unit` is strictly
    /// between 0 and 1.
    #[inline]
    #[must_use]
    pub fn at(&self, unit: f64) -> u64 {
        match self {
            Self::Constant(ns) => *ns,
            Self::Uniform(from_ns, to_ns) => {
                let width = to_ns.saturating_sub(*from_ns) as f64;
                from_ns + floor(unit * width)
            }
            // 1 − u is as evenly spread as u.
            Self::Exponential { mean_ns } => whole(-(*mean_ns as f64) * libm::log(unit)),
            Self::LogNormal(it) => {
                whole(it.median_ns * libm::exp(it.sigma * normal_quantile(unit)))
            }
            Self::Bimodal { low_ns, high_ns, high_share } => match unit < *high_share {
                true => *high_ns,
                false => *low_ns,
            },
            Self::Percentiles(it) => it.at(unit),
        }
    }

    /// The mean, in nanoseconds.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        match self {
            Self::Constant(ns) => *ns as f64,
            Self::Uniform(from_ns, to_ns) => (*from_ns as f64 + *to_ns as f64) / 2.0,
            Self::Exponential { mean_ns } => *mean_ns as f64,
            Self::LogNormal(it) => it.median_ns * libm::exp(it.sigma * it.sigma / 2.0),
            Self::Bimodal { low_ns, high_ns, high_share } => {
                *low_ns as f64 * (1.0 - high_share) + *high_ns as f64 * high_share
            }
            Self::Percentiles(it) => it.mean_ns(),
        }
    }
}

impl Percentiles {
    #[inline]
    fn at(&self, unit: f64) -> u64 {
        // They are few: counting is faster than a search whose way cannot be foreseen.
        let above = self.0.iter().filter(|known| known.share < unit).count();
        match above.checked_sub(1) {
            None => self.0[0].ns,
            Some(before) => {
                let Known { share, ns, slope } = self.0[before];
                ns + floor((unit - share) * slope)
            }
        }
    }

    fn mean_ns(&self) -> f64 {
        let (first, last) = (self.0[0], self.0[self.0.len() - 1]);
        let between = self.0.windows(2).map(|pair| {
            let [from, to] = [pair[0], pair[1]];
            (to.share - from.share) * (from.ns as f64 + to.ns as f64) / 2.0
        });
        between.sum::<f64>() + first.share * first.ns as f64 + (1.0 - last.share) * last.ns as f64
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "durations are not negative, and `as` saturates"
)]
fn floor(ns: f64) -> u64 {
    ns.min(NS_MAX) as u64
}

fn whole(ns: f64) -> u64 {
    floor(ns + 0.5)
}

/// Φ⁻¹(u), within 1.2·10⁻⁹ of the value: the rational approximations of P. J. Acklam, 2003.
fn normal_quantile(unit: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    /// Where the tails begin.
    const TAIL: f64 = 0.02425;
    let horner = |powers: &[f64], x: f64| powers.iter().fold(0.0, |sum, power| sum * x + power);
    let tail = |share: f64| {
        let q = libm::sqrt(-2.0 * libm::log(share));
        horner(&C, q) / horner(&D, q)
    };
    if unit < TAIL {
        tail(unit)
    } else if unit > 1.0 - TAIL {
        -tail(1.0 - unit)
    } else {
        let q = unit - 0.5;
        q * horner(&A, q * q) / horner(&B, q * q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Stream;

    #[test]
    fn the_normal_quantile_is_that_of_the_tables() {
        for (unit, z) in [
            (0.5, 0.0),
            (0.975, 1.959_963_984_540_054),
            (0.99, Z_99),
            (0.001, -3.090_232_306_167_813),
            (0.02, -2.053_748_910_631_823),
            (1e-9, -5.997_807_014_594_722),
        ] {
            let got = normal_quantile(unit);
            assert!((got - z).abs() < 2e-8, "{unit}: {got} for {z}");
        }
    }

    #[test]
    fn draws_have_the_mean_and_the_percentiles_asked_for() {
        let known = [(0.0, 1_000), (0.5, 2_000), (0.99, 40_000), (1.0, 100_000)];
        for distribution in [
            Distribution::Constant(40),
            Distribution::Uniform(1_000, 3_000),
            Distribution::Exponential { mean_ns: 1_000_000 },
            Distribution::log_normal(40_000_000, 900_000_000),
            Distribution::Bimodal { low_ns: 1_000, high_ns: 101_000, high_share: 0.1 },
            Distribution::percentiles(&known).unwrap(),
        ] {
            let stream = Stream::new(3, "service", 0);
            let mut drawn: Vec<u64> =
                (0..400_000).map(|index| distribution.at(stream.unit(index))).collect();
            let mean = drawn.iter().map(|ns| *ns as f64).sum::<f64>() / drawn.len() as f64;
            let want = distribution.mean_ns();
            assert!((mean / want - 1.0).abs() < 0.02, "{distribution:?}: {mean} for {want}");
            drawn.sort_unstable();
            if let Distribution::LogNormal(_) = distribution {
                let (p50, p99) = (drawn[200_000] as f64, drawn[396_000] as f64);
                assert!((p50 / 40e6 - 1.0).abs() < 0.02 && (p99 / 900e6 - 1.0).abs() < 0.03);
            }
        }
    }

    #[test]
    fn percentiles_that_fall_or_are_none_are_refused() {
        assert_eq!(Distribution::percentiles(&[]), None);
        assert_eq!(Distribution::percentiles(&[(0.5, 3), (0.9, 2)]), None);
        assert_eq!(Distribution::percentiles(&[(0.5, 1), (0.4, 2)]), None);
        assert_eq!(Distribution::percentiles(&[(f64::NAN, 1)]), None);
        let one = Distribution::percentiles(&[(0.5, 7)]).unwrap();
        assert_eq!((one.at(0.1), one.at(0.9)), (7, 7));
    }

    #[test]
    fn no_draw_is_longer_than_a_day() {
        let heavy = Distribution::log_normal(1_000_000_000, 80_000_000_000_000);
        let drawn = (0..10_000).map(|index| heavy.at(Stream::new(1, "heavy", 0).unit(index)));
        assert_eq!(drawn.max(), Some(86_400_000_000_000));
    }
}
