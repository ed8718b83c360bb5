//! How long a gap may last: three views of it, and how much each is believed.
//!
//! A view is a share for each bin and for what is beyond all; they sum to one. The first is the
//! [`PRIOR`]. The second is what the function's own gaps were, the third what those of them were
//! that came after a gap like its last. Each of these is made of counts and of the view before it,
//! which counts as [`BASE_GAPS`] gaps: with few counts it is hardly another view than that one.
//!
//! Which one is right differs from function to function, and from week to week. So each pays for
//! every gap what it is surprised by, −ln of the share that it gave to it, and what it paid of late
//! is its [`Loss`]; a view is believed in proportion to e to the minus loss.

use serde::{Deserialize, Serialize};

use super::bins::{BINS, BOUNDS_US};

/// A share, or a number of gaps, for each bin and for what is beyond all.
pub(super) type Shares = [f64; BINS + 1];

/// How many views there are.
pub(super) const VIEWS: usize = 3;

/// How many gaps the prior weighs as much as beside the function's own, and these beside those
/// that came after a gap like the last.
const BASE_GAPS: f64 = 4.0;

/// The share of gaps that never end, before anything is known. Of a recorded fleet's (the HTTP
/// functions of the Azure Functions 2019 sample in their first four hours, each function's gaps
/// together weighing one) a sixth had no end within these hours, and some of those ended later.
const NEVER: f64 = 0.1;

/// What one nat is in a [`Loss`]. Losses are whole numbers so that every machine comes to the same.
const NAT: f64 = 65_536.0;

/// The least share that a view is taken to have given to a gap: that bounds what it pays.
const SHARE_MIN: f64 = 1e-6;

/// What a loss is worth after the next gap, in thousandths: the last fifty gaps count, so that a
/// function that begins to behave otherwise is seen to.
const KEPT_PERMILLE: u64 = 980;

/// What a view paid of late, in 2⁻¹⁶ nats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Loss(u32);

impl Loss {
    /// Before the first gap.
    pub(super) const NONE: Self = Self(0);

    /// The view gave that share to what came.
    pub(super) fn pay(&mut self, share: f64) {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to 14 nats"
        )]
        let paid = (-libm::log(share.clamp(SHARE_MIN, 1.0)) * NAT) as u64;
        let loss = u64::from(self.0) * KEPT_PERMILLE / 1000 + paid;
        self.0 = u32::try_from(loss).unwrap_or(u32::MAX);
    }
}

/// The views of a function whose gaps were `own`, and `like` after gaps like its last.
pub(super) fn views(own: &Shares, like: &Shares) -> [Shares; VIEWS] {
    let own = beside(own, &PRIOR);
    let like = beside(like, &own);
    [PRIOR, own, like]
}

/// Counts, and a view that weighs some gaps, as a view.
fn beside(counts: &Shares, base: &Shares) -> Shares {
    let total = counts.iter().sum::<f64>() + BASE_GAPS;
    std::array::from_fn(|at| (counts[at] + BASE_GAPS * base[at]) / total)
}

/// The views as one, each as much as it is believed.
pub(super) fn together(views: &[Shares; VIEWS], losses: &[Loss; VIEWS]) -> Shares {
    let least = losses.iter().min().map_or(0, |loss| loss.0);
    let beliefs = losses.map(|loss| libm::exp(-f64::from(loss.0 - least) / NAT));
    let total: f64 = beliefs.iter().sum();
    std::array::from_fn(|at| {
        let shares = views.iter().zip(beliefs).map(|(view, belief)| view[at] * belief);
        shares.sum::<f64>() / total
    })
}

/// Before the first gap: [`NEVER`], and else idle times of every order of magnitude as likely as
/// each other, from a second to two hours. A bin from a to b has 2 (b − a) ÷ (a + b), which is
/// ln(b ÷ a) as near as matters, of the sum over all.
const PRIOR: Shares = {
    let mut shares = [0.0; BINS + 1];
    let mut total = 0.0;
    let mut at = 0;
    while at < BINS {
        let from_s = match at {
            0 => 1.0,
            at => BOUNDS_US[at] as f64 / 1e6,
        };
        let to_s = BOUNDS_US[at + 1] as f64 / 1e6;
        shares[at] = 2.0 * (to_s - from_s) / (to_s + from_s);
        total += shares[at];
        at += 1;
    }
    let mut at = 0;
    while at < BINS {
        shares[at] *= (1.0 - NEVER) / total;
        at += 1;
    }
    shares[BINS] = NEVER;
    shares
};

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Shares = [0.0; BINS + 1];

    fn counts(bin: usize, gaps: f64) -> Shares {
        let mut counts = NONE;
        counts[bin] = gaps;
        counts
    }

    #[test]
    fn every_view_sums_to_one_and_rules_nothing_out() {
        let views = views(&counts(20, 900.0), &counts(20, 300.0));
        let mixed = together(&views, &[Loss(0), Loss(9), Loss(u32::MAX)]);
        for view in views.iter().chain([&mixed]) {
            assert!((view.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            assert!(view.iter().all(|share| *share > 0.0));
        }
        assert!((PRIOR[BINS] - NEVER).abs() < 1e-12);
    }

    #[test]
    fn of_who_has_no_gaps_all_views_are_the_prior() {
        let views = views(&NONE, &NONE);
        for view in &views {
            assert!(view.iter().zip(PRIOR).all(|(share, want)| (share - want).abs() < 1e-12));
        }
    }

    #[test]
    fn counts_outweigh_the_view_before_as_they_grow() {
        let own = views(&counts(20, BASE_GAPS), &NONE)[1];
        assert!((own[20] - (0.5 + PRIOR[20] / 2.0)).abs() < 1e-12, "half and half");
        let like = views(&counts(20, 1e9), &counts(30, 3.0 * BASE_GAPS))[2];
        assert!((like[30] - 0.75).abs() < 1e-6 && (like[20] - 0.25).abs() < 1e-6);
    }

    #[test]
    fn who_is_surprised_less_is_believed_more() {
        let views = views(&counts(20, 20.0), &counts(30, 20.0));
        let mut losses = [Loss::default(); VIEWS];
        let share = |losses: &_, at: usize| together(&views, losses)[at];
        let before = share(&losses, 30);
        for _ in 0..10 {
            losses.iter_mut().zip(&views).for_each(|(loss, view)| loss.pay(view[30]));
        }
        assert!(share(&losses, 30) > 1.5 * before);
        assert!((share(&losses, 30) - views[2][30]).abs() < 0.01, "the others are not, any more");
        // It takes some gaps more until another one is.
        for _ in 0..40 {
            losses.iter_mut().zip(&views).for_each(|(loss, view)| loss.pay(view[20]));
        }
        assert!((share(&losses, 20) - views[1][20]).abs() < 0.01);
    }

    #[test]
    fn what_a_view_pays_is_bounded() {
        let mut loss = Loss::default();
        for share in [0.0, -1.0, f64::INFINITY, 2.0].into_iter().chain([0.0; 2_000]) {
            loss.pay(share);
        }
        let most = -libm::log(SHARE_MIN) * NAT * 1000.0 / (1000 - KEPT_PERMILLE) as f64;
        assert!(f64::from(loss.0) <= most);
        let mut full = Loss(u32::MAX);
        full.pay(0.0);
        assert!(full < Loss(u32::MAX), "what others told decays");
    }
}
