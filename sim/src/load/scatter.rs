//! Places of requests that are anywhere in a unit of time, each as likely as any other, given out
//! in order without keeping them all: each half of the unit gets its share of them by a coin for
//! each, and so on by halves until few are left together, which are placed and sorted.

use crate::draw::Stream;

/// So many are placed together.
const TOGETHER: u64 = 8;

/// Halves are not halved further than that: by then a part of the unit is below a nanosecond.
const DEPTH_MAX: u32 = 48;

/// A part of the unit, and how many requests are in it.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Where it begins, in 2⁻⁶⁴ of the unit.
    from: u64,
    /// The unit was halved so often.
    depth: u32,
    requests: u64,
}

/// The places of one unit's requests.
#[derive(Debug)]
pub(super) struct Scatter {
    stream: Stream,
    drawn: u64,
    /// Parts of which nothing was given out yet, the first last.
    parts: Vec<Part>,
    /// Places of a part under way, the first last.
    places: Vec<u64>,
}

impl Scatter {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, drawn: 0, parts: Vec::new(), places: Vec::new() }
    }

    /// Begins a unit of so many requests.
    pub(super) fn begin(&mut self, requests: u64) {
        self.places.clear();
        self.parts.clear();
        self.parts.push(Part { from: 0, depth: 0, requests });
    }

    /// The next place, in 2⁻⁶⁴ of the unit; its end once all were given out.
    pub(super) fn next(&mut self) -> u64 {
        while self.places.is_empty() {
            let Some(Part { from, depth, requests }) = self.parts.pop() else {
                return u64::MAX;
            };
            if requests <= TOGETHER || depth == DEPTH_MAX {
                for _ in 0..requests {
                    let place = from + (self.draw() >> depth);
                    self.places.push(place);
                }
                self.places.sort_unstable_by(|a, b| b.cmp(a));
                continue;
            }
            let (first, half) = (self.heads(requests), depth + 1);
            let middle = from + (1 << (u64::BITS - half));
            self.parts.push(Part { from: middle, depth: half, requests: requests - first });
            self.parts.push(Part { from, depth: half, requests: first });
        }
        self.places.pop().unwrap_or(u64::MAX)
    }

    /// How many of so many coins fall heads: of random bits, those set.
    fn heads(&mut self, coins: u64) -> u64 {
        let whole = coins / u64::from(u64::BITS);
        let heads: u64 = (0..whole).map(|_| u64::from(self.draw().count_ones())).sum();
        match coins % u64::from(u64::BITS) {
            0 => heads,
            rest => heads + u64::from((self.draw() >> (u64::from(u64::BITS) - rest)).count_ones()),
        }
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.stream.bits(self.drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(seed: u64, requests: u64) -> Vec<u64> {
        let mut scatter = Scatter::new(Stream::new(seed, "scatter", 0));
        scatter.begin(requests);
        (0..requests).map(|_| scatter.next()).collect()
    }

    #[test]
    fn as_many_as_asked_for_come_in_order() {
        for requests in [0, 1, TOGETHER, TOGETHER + 1, 63, 64, 65, 1_000, 100_000] {
            let places = places(1, requests);
            assert!(places.is_sorted() && places.iter().all(|place| *place < u64::MAX));
        }
        let mut scatter = Scatter::new(Stream::new(1, "scatter", 0));
        scatter.begin(3);
        let given = (0..4).map(|_| scatter.next());
        assert_eq!(given.filter(|place| *place < u64::MAX).count(), 3);
    }

    /// The k-th of n numbers that are anywhere is at k ÷ (n + 1) in the mean, with the variance
    /// k (n + 1 − k) ÷ ((n + 1)² (n + 2)).
    #[test]
    fn each_is_where_the_order_of_so_many_has_it() {
        const ROUNDS: u64 = 4_000;
        for requests in [1, 5, TOGETHER + 1, 20, 100] {
            let mut sums: Vec<_> = (0..requests).map(|_| (0.0, 0.0)).collect();
            for seed in 0..ROUNDS {
                for ((sum, squares), place) in sums.iter_mut().zip(places(seed, requests)) {
                    let place = place as f64 / u64::MAX as f64;
                    (*sum, *squares) = (*sum + place, *squares + place * place);
                }
            }
            let (rounds, n) = (ROUNDS as f64, requests as f64);
            for (k, (sum, squares)) in (1..).map(f64::from).zip(sums) {
                let (mean, want) = (sum / rounds, k / (n + 1.0));
                let variance = want * (n + 1.0 - k) / ((n + 1.0) * (n + 2.0));
                let error = libm::sqrt(variance / rounds);
                assert!((mean - want).abs() < 5.0 * error, "{k} of {n}: {mean} for {want}");
                let found = squares / rounds - mean * mean;
                assert!((found / variance - 1.0).abs() < 0.2, "{k} of {n}: {found}");
            }
        }
    }

    #[test]
    fn a_crowd_in_a_moment_is_placed_without_end_of_memory() {
        let mut scatter = Scatter::new(Stream::new(1, "scatter", 0));
        scatter.begin(1 << 24);
        let first: Vec<u64> = (0..1_000).map(|_| scatter.next()).collect();
        assert!(first.is_sorted() && first[999] < u64::MAX >> 12);
        assert!(scatter.parts.len() < 64 && scatter.places.len() as u64 <= TOGETHER);
    }
}
