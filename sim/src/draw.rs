//! Chance, keyed: every draw is a hash of what it is for, and of nothing that happened before.
//!
//! > draw = hash(seed, name of the stream, entity, index)
//!
//! The seventh request of a function takes the same time under every policy, on every machine, and
//! whether or not another function exists: two policies are compared on one world, not on two.
//!
//! The hash is the finalizer of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom
//! number generators", 2014) over the key of the stream plus index × ⌊2⁶⁴ ÷ golden ratio⌋, which
//! makes a stream the sequence that this generator would give, each number of it at hand at once.

mod distribution;

use dormouse_policy::fingerprint::fnv1a;

pub use distribution::Distribution;

/// ⌊2⁶⁴ ÷ golden ratio⌋, odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// One stream of draws: those of one purpose for one entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: u64,
}

impl Stream {
    /// The stream called `name` of `entity`, a number that stays the same when other entities come
    /// and go, under `seed`.
    #[must_use]
    pub fn new(seed: u64, name: &str, entity: u64) -> Self {
        Self { key: mix(mix(mix(seed) ^ fnv1a(name)) ^ entity) }
    }

    /// 64 bits.
    #[inline]
    #[must_use]
    pub fn bits(self, index: u64) -> u64 {
        mix(self.key.wrapping_add(index.wrapping_mul(GOLDEN)))
    }

    /// A number strictly between 0 and 1, one of 2⁵² at equal distances.
    #[inline]
    #[must_use]
    pub fn unit(self, index: u64) -> f64 {
        const STEP: f64 = 1.0 / (1u64 << 52) as f64;
        // Exact: 52 bits and a half fit the 53 of an f64.
        ((self.bits(index) >> 12) as f64 + 0.5) * STEP
    }

    /// A whole number below `bound`; 0 if that is 0. The bias is below `bound` ÷ 2⁶⁴.
    #[inline]
    #[must_use]
    pub fn below(self, index: u64, bound: u64) -> u64 {
        let product = u128::from(self.bits(index)) * u128::from(bound);
        (product >> 64) as u64
    }
}

fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_published_generator_and_part_of_every_recorded_seed() {
        // The first outputs of SplitMix64 from the state 1234567, as its authors' code gives them.
        let stream = Stream { key: 1_234_567 };
        let drawn: Vec<u64> = (1..=3).map(|index| stream.bits(index)).collect();
        let known =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(drawn, known);
    }

    #[test]
    fn seed_name_and_entity_each_make_another_stream() {
        let one = Stream::new(1, "service", 1);
        for other in [
            Stream::new(2, "service", 1),
            Stream::new(1, "arrivals", 1),
            Stream::new(1, "service", 2),
        ] {
            assert_ne!(one, other);
            assert!((0..1_000).all(|index| one.bits(index) != other.bits(index)));
        }
        assert_eq!(one, Stream::new(1, "service", 1));
    }

    #[test]
    fn units_are_even_and_never_0_or_1() {
        let stream = Stream::new(7, "unit", 0);
        let mut tenths = [0u32; 10];
        for index in 0..100_000 {
            let unit = stream.unit(index);
            assert!(unit > 0.0 && unit < 1.0);
            assert!(stream.below(index, 3) < 3);
            let below = (1..10).filter(|tenth| f64::from(*tenth) / 10.0 <= unit);
            tenths[below.count()] += 1;
        }
        assert!(tenths.iter().all(|count| count.abs_diff(10_000) < 400), "{tenths:?}");
        assert_eq!(stream.below(1, 0), 0);
    }
}
