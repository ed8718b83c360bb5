//! The highest figure of the last while, for `scale-down-delay`.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// One figure is kept per two seconds, the interval of decisions.
const TICK_S: u32 = 2;

/// The maximum over the newest ticks, kept as a falling sequence: only a figure above all later
/// ones can still become the maximum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Highest {
    ticks: u64,
    falling: VecDeque<(u64, u32)>,
}

impl Highest {
    /// Over a delay of that many seconds; 0 = off.
    pub(super) fn new(delay_s: u32) -> Self {
        Self { ticks: u64::from(delay_s.div_ceil(TICK_S)), falling: VecDeque::new() }
    }

    /// The highest figure recorded within the ticks that end with `tick`; 0 when there is none.
    pub(super) fn before(&mut self, tick: u64) -> u32 {
        while self.falling.front().is_some_and(|(at, _)| at + self.ticks <= tick) {
            self.falling.pop_front();
        }
        self.falling.front().map_or(0, |(_, figure)| *figure)
    }

    /// Adds a figure.
    pub(super) fn record(&mut self, tick: u64, figure: u32) {
        if self.ticks == 0 {
            return;
        }
        while self.falling.back().is_some_and(|(_, later)| *later <= figure) {
            self.falling.pop_back();
        }
        self.falling.push_back((tick, figure));
    }
}
