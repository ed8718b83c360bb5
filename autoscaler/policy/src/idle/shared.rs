//! What others are told of one function's idle times, and what they told.

use super::gaps::Gaps;

/// A function's idle times are told this long apart at least, in microseconds: they change with
/// every gap, and whoever has to go on with those of a minute ago hardly decides otherwise.
pub const SHARED_US_MIN: u64 = 60_000_000;

/// What is known outside: it outlives who decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shared {
    gaps: Gaps,
    told_us: Option<u64>,
}

impl Shared {
    /// What is known outside.
    #[must_use]
    pub fn gaps(&self) -> &Gaps {
        &self.gaps
    }

    /// Somebody tells what was learnt.
    pub fn hear(&mut self, gaps: &Gaps) {
        self.gaps.merge(gaps);
    }

    /// What was learnt here at `now_us`; true if it is time to tell others, who were told less.
    #[must_use]
    pub fn is_told(&mut self, gaps: &Gaps, now_us: u64) -> bool {
        let is_due = self.told_us.is_none_or(|told_us| now_us >= told_us + SHARED_US_MIN);
        let is_news = is_due && gaps.seen() > self.gaps.seen();
        if is_news {
            self.gaps.clone_from(gaps);
            self.told_us = Some(now_us);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_told_once_a_minute() {
        let mut gaps = Gaps::default();
        let mut shared = Shared::default();
        assert!(!shared.is_told(&gaps, 5), "there is nothing to tell");
        gaps.record(7_000_000);
        assert!(shared.is_told(&gaps, 6));
        gaps.record(8_000_000);
        assert!(!shared.is_told(&gaps, 5 + SHARED_US_MIN));
        assert_eq!(shared.gaps().seen(), 1);
        assert!(shared.is_told(&gaps, 6 + SHARED_US_MIN));
        assert_eq!(shared.gaps(), &gaps);
        gaps.record(9_000_000);
        shared.hear(&gaps);
        assert!(!shared.is_told(&gaps, u64::MAX), "others know it");
    }
}
