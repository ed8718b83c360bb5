//! What others write into a workload's `replicas`, and what of it is respected.
//!
//! Who takes it from above 0 to 0 means it: it stays there until somebody raises it. But a 0 that
//! comes with a manifest says how the function begins: that is sleep, from which a request wakes.
//! A higher figure is kept for a stable window. Who undoes ours again and again is no person but a
//! tool that re-applies a manifest: from then on the higher of both figures is written, and seldom.
//!
//! An API server names nobody for some of what is written by `/scale`, as `kubectl scale` does and
//! we do: for a 0 never, which is written there as no figure at all, and for others not always. So
//! whoever leads knows such a figure for its own by having ordered it, and for somebody else's by
//! not having. Where that is uncertain it is taken for ours: then a request wakes the function,
//! where the other mistake would refuse requests until somebody looks.

use std::collections::VecDeque;
use std::sync::Arc;

use dormouse_policy::decision::Keep;

use crate::cluster::{Means, Setter, UNNAMED};

/// Writes of ours that one writer undoes within [`FLIPS_US`] until it counts as a re-applier.
const FLIPS: usize = 3;

/// How long such a write is remembered, in microseconds; and how long our figure has to stand
/// until a re-applier is forgotten.
const FLIPS_US: u64 = 600_000_000;

/// Shortest time between two writes of ours beside a re-applier, in microseconds.
const WRITE_EACH_US: u64 = 60_000_000;

/// Orders that are remembered until one of them is seen: those of a second that an API server did
/// not tell of anything.
const ORDERED_MAX: usize = 8;

/// Whose a figure is that nobody is named for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unnamed {
    /// Ours if we ordered it: for the time being nobody else of us does.
    OursIfOrdered,
    /// Ours, or that of another of us.
    Ours,
}

/// The writes of others, for one function.
#[derive(Debug, Default)]
pub(super) struct Others {
    seen: Option<Written>,
    /// What is respected for the time being.
    asked: Option<Box<Asked>>,
    /// When ours was undone, and by whom; oldest first.
    undone: VecDeque<(u64, Arc<str>)>,
    reapplier: Option<Box<Reapplier>>,
    /// When ours was last written.
    ours_us: Option<u64>,
    /// What was ordered since a change was seen; oldest first, as they come to be seen.
    ordered: VecDeque<u32>,
}

/// What `replicas` is, and who wrote it; none is us, or nobody says.
#[derive(Debug)]
struct Written {
    replicas: u32,
    by: Option<Arc<str>>,
}

#[derive(Debug)]
struct Asked {
    by: Arc<str>,
    replicas: u32,
    until_us: u64,
}

#[derive(Debug)]
struct Reapplier {
    by: Arc<str>,
    replicas: u32,
    last_us: u64,
}

impl Written {
    fn is_by(&self, who: &Arc<str>) -> bool {
        self.by.as_ref() == Some(who)
    }
}

impl Others {
    /// So many replicas are ordered; what comes of it is to be seen.
    pub(super) fn order(&mut self, replicas: u32) {
        if self.ordered.len() == ORDERED_MAX {
            self.ordered.pop_front();
        }
        self.ordered.push_back(replicas);
    }

    /// Takes in what `replicas` is now and who wrote it: none is us or nobody that is named, and so
    /// is [`UNNAMED`]. `window_us` is the function's stable window. What is there at first sight is
    /// nobody's doing.
    pub(super) fn see(
        &mut self,
        replicas: u32,
        by: Option<&Setter>,
        unnamed: Unnamed,
        window_us: u64,
        now_us: u64,
    ) {
        let named = by.filter(|by| &*by.name != UNNAMED);
        let is_applied = named.is_some_and(|by| by.means == Means::Manifest);
        let before = self.seen.as_ref().map(|seen| seen.replicas);
        let is_change = before.is_some_and(|before| before != replicas);
        // Seen once more, what was found out of it still holds.
        if self.seen.is_some() && !is_change && named.is_none() {
            return;
        }
        let is_named = named.is_some() || (by.is_none() && replicas > 0);
        let by = match named {
            None if is_change && !is_named && !self.is_ours(replicas, unnamed) => {
                Some(Arc::from(UNNAMED))
            }
            named => named.map(|by| Arc::clone(&by.name)),
        };
        let written = Written { replicas, by: by.clone() };
        let Some(before) = self.seen.replace(written).filter(|_| is_change) else {
            return;
        };
        let Some(by) = &by else {
            self.carried_out(replicas);
            self.ours_us = Some(now_us);
            if let Some(reapplier) = self.reapplier.as_mut().filter(|it| before.is_by(&it.by)) {
                reapplier.last_us = now_us;
            }
            return;
        };
        // Orders name the version that they are for, so what was not seen by now does not come.
        self.ordered.clear();
        if before.by.is_none() {
            self.undo(by, now_us);
        }
        if let Some(reapplier) = self.reapplier.as_mut().filter(|it| it.by == *by) {
            (reapplier.replicas, reapplier.last_us) = (replicas, now_us);
        }
        let until_us = match replicas {
            0 if is_applied => None,
            0 => Some(u64::MAX),
            _ if replicas > before.replicas => Some(now_us + window_us),
            _ => None,
        };
        self.asked =
            until_us.map(|until_us| Box::new(Asked { by: Arc::clone(by), replicas, until_us }));
    }

    /// Whether a figure that nobody is named for is one that we ordered, or may be.
    fn is_ours(&self, replicas: u32, unnamed: Unnamed) -> bool {
        unnamed == Unnamed::Ours || self.ordered.contains(&replicas)
    }

    /// That figure of ours was seen; those ordered before it are not seen any more.
    fn carried_out(&mut self, replicas: u32) {
        if let Some(at) = self.ordered.iter().position(|ordered| *ordered == replicas) {
            self.ordered.drain(..=at);
        }
    }

    fn undo(&mut self, by: &Arc<str>, now_us: u64) {
        self.undone.retain(|(at_us, _)| at_us + FLIPS_US > now_us);
        self.undone.push_back((now_us, Arc::clone(by)));
        if self.undone.len() > 2 * FLIPS {
            self.undone.pop_front();
        }
        let (replicas, last_us) = (0, now_us);
        if self.undone.iter().filter(|(_, who)| who == by).count() >= FLIPS {
            self.reapplier = Some(Box::new(Reapplier { by: Arc::clone(by), replicas, last_us }));
        }
    }

    /// Who took it to 0, where it is to stay.
    pub(super) fn zero_by(&self) -> Option<&str> {
        let asked = self.asked.as_ref()?;
        (asked.replicas == 0).then_some(&*asked.by)
    }

    /// Who re-applies, and what. Forgotten once a figure of ours has stood for a while.
    pub(super) fn reapplier(&self, now_us: u64) -> Option<(&str, u32)> {
        let Reapplier { by, replicas, last_us } = self.reapplier.as_deref()?;
        let is_its = self.seen.as_ref().is_some_and(|seen| seen.is_by(by));
        (is_its || now_us < last_us + FLIPS_US).then_some((&**by, *replicas))
    }

    /// When [`Others::reapplier`] is forgotten unless something is written, in microseconds.
    pub(super) fn forgets_us(&self) -> Option<u64> {
        let Reapplier { by, last_us, .. } = self.reapplier.as_deref()?;
        let is_its = self.seen.as_ref().is_some_and(|seen| seen.is_by(by));
        (!is_its).then_some(last_us + FLIPS_US)
    }

    /// What a decision is to respect.
    pub(super) fn keep(&self, now_us: u64) -> Option<Keep> {
        if self.zero_by().is_some() {
            return Some(Keep::Zero);
        }
        let asked = self.asked.as_ref().filter(|asked| now_us < asked.until_us);
        let asked = asked.map(|asked| asked.replicas);
        let reapplied = self.reapplier(now_us).map(|(_, replicas)| replicas);
        asked.max(reapplied).map(Keep::SetByOther)
    }

    /// Whether a figure of ours may be written now.
    pub(super) fn may_write(&self, now_us: u64) -> bool {
        let is_soon = self.ours_us.is_some_and(|ours_us| now_us < ours_us + WRITE_EACH_US);
        !(is_soon && self.reapplier(now_us).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: u64 = 1_000_000;

    struct Written {
        others: Others,
        now_s: u64,
    }

    fn setter(name: &str) -> Setter {
        let means = if name == "argocd" { Means::Manifest } else { Means::Figure };
        Setter { name: Arc::from(name), means }
    }

    impl Written {
        fn first(replicas: u32, by: &str) -> Self {
            let mut written = Self { others: Others::default(), now_s: 0 };
            written.is(replicas, by);
            written
        }

        /// By that manager; by us if it has no name.
        fn is(&mut self, replicas: u32, by: &str) {
            let by = (!by.is_empty()).then(|| setter(by));
            let (window_us, now_us) = (60 * SECOND_US, self.now_s * SECOND_US);
            self.others.see(replicas, by.as_ref(), Unnamed::Ours, window_us, now_us);
        }

        /// A 0 for which nobody is named.
        fn is_zero(&mut self, unnamed: Unnamed) {
            self.others.see(0, None, unnamed, 60 * SECOND_US, self.now_s * SECOND_US);
        }

        fn later(&mut self, seconds: u64) -> &mut Self {
            self.now_s += seconds;
            self
        }

        fn keep(&self) -> Option<Keep> {
            self.others.keep(self.now_s * SECOND_US)
        }

        fn reapplier(&self) -> Option<(&str, u32)> {
            self.others.reapplier(self.now_s * SECOND_US)
        }
    }

    #[test]
    fn a_persons_zero_stays_and_zero_at_first_sight_is_sleep() {
        let mut written = Written::first(0, "kubectl");
        assert_eq!(written.keep(), None);
        written.is(2, "");
        written.is(0, "");
        assert_eq!(written.keep(), None, "ours");
        written.is(2, "");
        written.later(5).is(0, "kubectl-scale");
        assert_eq!(written.keep(), Some(Keep::Zero));
        assert_eq!(written.others.zero_by(), Some("kubectl-scale"));
        // The same once more is no change.
        written.later(100_000).is(0, "kubectl-scale");
        assert_eq!(written.keep(), Some(Keep::Zero));
        written.is(1, "kubectl-scale");
        assert_eq!((written.keep(), written.others.zero_by()), (Some(Keep::SetByOther(1)), None));
    }

    #[test]
    fn a_zero_that_is_applied_is_sleep_and_counts_as_applied() {
        let mut written = Written::first(0, "argocd");
        for seconds in [0, 100, 100] {
            assert_eq!(written.keep(), None);
            written.later(seconds).is(2, "");
            written.later(1).is(0, "argocd");
        }
        assert_eq!((written.keep(), written.others.zero_by()), (Some(Keep::SetByOther(0)), None));
        assert_eq!(written.reapplier(), Some(("argocd", 0)));
    }

    #[test]
    fn a_figure_without_a_name_is_ours_if_we_ordered_it_or_may_have() {
        let zero_after = |zero, orders: &[u32]| {
            let mut written = Written::first(1, "");
            orders.iter().for_each(|&replicas| written.others.order(replicas));
            written.is_zero(zero);
            written.later(100).is_zero(Unnamed::OursIfOrdered);
            written.keep()
        };
        assert_eq!(zero_after(Unnamed::OursIfOrdered, &[0]), None);
        assert_eq!(zero_after(Unnamed::OursIfOrdered, &[]), Some(Keep::Zero));
        assert_eq!(zero_after(Unnamed::OursIfOrdered, &[0, 2]), None, "seen late");
        assert_eq!(zero_after(Unnamed::OursIfOrdered, &[2; 9]), Some(Keep::Zero));
        assert_eq!(zero_after(Unnamed::Ours, &[]), None, "another autoscaler's");

        let mut written = Written::first(1, "");
        written.others.order(0);
        written.is(2, "kubectl");
        written.is_zero(Unnamed::OursIfOrdered);
        assert_eq!(written.keep(), Some(Keep::Zero), "what was ordered never came");
    }

    #[test]
    fn wakes_for_which_nobody_is_named_are_no_reapplying() {
        let mut written = Written::first(1, "kubectl-create");
        let unnamed = setter(UNNAMED);
        for _ in 0..9 {
            for replicas in [0, 1] {
                written.others.order(replicas);
                let by = (replicas > 0).then_some(&unnamed);
                let now_us = written.later(1).now_s * SECOND_US;
                written.others.see(replicas, by, Unnamed::OursIfOrdered, 60 * SECOND_US, now_us);
                assert_eq!((written.keep(), written.reapplier()), (None, None));
            }
        }
        // More than was ordered.
        let now_us = written.later(1).now_s * SECOND_US;
        written.others.see(3, Some(&unnamed), Unnamed::OursIfOrdered, 60 * SECOND_US, now_us);
        assert_eq!(written.keep(), Some(Keep::SetByOther(3)));
    }

    #[test]
    fn a_higher_figure_is_kept_for_a_window_and_a_lower_one_is_not() {
        let mut written = Written::first(2, "");
        written.is(5, "kubectl-scale");
        assert_eq!(written.later(59).keep(), Some(Keep::SetByOther(5)));
        assert_eq!(written.later(1).keep(), None);
        written.is(3, "kubectl-scale");
        assert_eq!(written.keep(), None);
    }

    #[test]
    fn who_undoes_ours_three_times_in_ten_minutes_is_named_and_respected() {
        let mut written = Written::first(3, "argocd");
        for seconds in [0, 298, 298] {
            assert_eq!(written.reapplier(), None);
            written.later(seconds).is(0, "");
            written.later(1).is(3, "argocd");
        }
        assert_eq!(written.reapplier(), Some(("argocd", 3)));
        // As long as its figure stands, however long that is.
        assert_eq!(written.later(100_000).keep(), Some(Keep::SetByOther(3)));
        assert!(written.others.may_write(written.now_s * SECOND_US));
        written.is(7, "");
        assert!(!written.others.may_write((written.now_s + 59) * SECOND_US));
        assert!(written.others.may_write((written.now_s + 60) * SECOND_US));
        // It has another figure now.
        written.later(30).is(4, "argocd");
        assert_eq!(written.keep(), Some(Keep::SetByOther(4)));
        // Ours stood for ten minutes: it re-applies no more.
        written.later(60).is(6, "");
        assert_eq!(written.later(599).reapplier(), Some(("argocd", 4)));
        assert_eq!(written.later(1).reapplier(), None);
    }

    #[test]
    fn flips_that_are_rare_or_by_different_hands_are_no_reapplying() {
        let mut written = Written::first(3, "argocd");
        for _ in 0..5 {
            written.later(301).is(0, "");
            written.is(3, "argocd");
        }
        assert_eq!(written.reapplier(), None);
        for by in ["a", "b", "c", "a", "b", "c"] {
            written.is(0, "");
            written.is(3, by);
        }
        assert_eq!(written.reapplier(), None);
    }
}
