//! Why a function's requests are refused, if they are: pods that cannot be started, and pods that
//! are ready to their manager but out of the activators' reach.

use dormouse_link::frame::Failure;
use dormouse_policy::function::Probe;

use super::function::FunctionState;
use crate::cluster::FailureFact;

/// How long requests have to wait beside a ready pod until it counts as out of reach, in
/// microseconds: a pod is ready to its manager a moment before or after it is to activators, and
/// one that dies stays ready for some seconds only if nobody but activators cannot reach it.
const OUT_OF_REACH_US: u64 = 5_000_000;

/// How much sooner than requests give up it has to be told why, in milliseconds: one tick finds
/// that it is so, another that it still is, and word of it is on its way for a moment.
const TOLD_BEFORE_MS: u64 = 5_000;

/// Shortest time that what may pass is given, in milliseconds.
const PATIENCE_MS_MIN: u64 = 1_000;

/// What a client is told to wait then, in milliseconds; requests that come later are held anew.
const RETRY_MS: u64 = 10_000;

/// How long that is remembered while nobody waits, in microseconds: with all who waited refused,
/// nothing says any more that it is so.
const REMEMBERED_US: u64 = 60_000_000;

/// What is said of pods out of reach.
const OUT_OF_REACH: &str = "pods are ready, but activators cannot connect to them: look for a \
    NetworkPolicy that does not let the activators' pods in, for a mesh that takes only its own \
    connections, and for a targetPort that nobody listens on";

/// Whether requests wait although a pod is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// None do.
    Fine,
    /// Some do.
    Wanting,
}

/// What is known of the way from activators to pods.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// Since when requests wait although a pod is ready, in microseconds.
    since_us: Option<u64>,
    /// Set while pods count as out of reach, with the time from which clients are to wait.
    failure: Option<Box<(FailureFact, u64)>>,
}

impl Way {
    fn look(&mut self, reach: Reach, patience_us: u64, now_us: u64) {
        let over = |since_us: u64, us: u64| now_us >= since_us + us;
        if reach == Reach::Fine {
            self.since_us = None;
            self.failure.take_if(|failure| over(failure.1, REMEMBERED_US));
            return;
        }
        let since_us = *self.since_us.get_or_insert(now_us);
        let is_due = match &self.failure {
            // Once it was so, nobody needs to wait as long again.
            Some(failure) => over(failure.1, RETRY_MS * 1_000),
            None => over(since_us, patience_us),
        };
        if is_due {
            let failure = FailureFact {
                code: "unreachable".to_owned(),
                message: OUT_OF_REACH.to_owned(),
                retry_ms: RETRY_MS,
                patience_ms: 0,
            };
            self.failure = Some(Box::new((failure, now_us)));
        }
    }
}

impl FunctionState {
    /// Takes in whether somebody wants it awake.
    pub(super) fn look_at_way(&mut self, wants_waking: bool, now_us: u64) {
        // Without a probe to pass, a pod is ready to its manager as soon as it runs.
        let is_probed = self.description.probe != Probe::Connect;
        let reach = match wants_waking && is_probed && self.ready() > 0 {
            true => Reach::Wanting,
            false => Reach::Fine,
        };
        self.way.look(reach, self.patience_ms(OUT_OF_REACH_US / 1_000) * 1_000, now_us);
    }

    /// What is given so long to pass is given less if requests give up before.
    fn patience_ms(&self, patience_ms: u64) -> u64 {
        let give_up_ms = self.description.settings.admission.queue_timeout_ms;
        patience_ms.min(give_up_ms.saturating_sub(TOLD_BEFORE_MS).max(PATIENCE_MS_MIN))
    }

    /// What keeps its pods from answering, as soon as it is known.
    pub(super) fn failing(&self) -> Option<&FailureFact> {
        let out_of_reach = self.way.failure.as_deref().map(|(failure, _)| failure);
        self.of_pods().or(out_of_reach)
    }

    fn of_pods(&self) -> Option<&FailureFact> {
        self.seen.as_ref()?.pods.failure.as_deref()
    }

    /// Why requests are refused, if they are.
    pub(super) fn failure(&self, now_us: u64) -> Option<Failure> {
        if self.others.zero_by().is_some() {
            let code = "scaled-to-zero".to_owned();
            return Some(Failure { code, retry_ms: Failure::UNTIL_TOLD });
        }
        let (fact, at_us) = match (self.of_pods(), &self.seen) {
            (Some(fact), Some(seen)) if fact.patience_ms > 0 => {
                let patience_ms = self.patience_ms(fact.patience_ms);
                let passed_ms = now_us.saturating_sub(seen.failing_us) / 1_000;
                let retry_ms = left_in_round_ms(fact.retry_ms, patience_ms, passed_ms)?;
                return Some(Failure { code: fact.code.clone(), retry_ms });
            }
            (Some(fact), Some(seen)) => (fact, seen.at_us),
            _ => self.way.failure.as_deref().map(|(fact, at_us)| (fact, *at_us))?,
        };
        let retry_ms = fact.retry_ms.saturating_sub(now_us.saturating_sub(at_us) / 1_000);
        Some(Failure { code: fact.code.clone(), retry_ms })
    }
}

/// How much longer clients are to wait, this long into what may pass by itself; none while requests
/// are held. It is given time again and again, for nobody says when it did not pass.
fn left_in_round_ms(retry_ms: u64, patience_ms: u64, passed_ms: u64) -> Option<u64> {
    let round_ms = passed_ms % (patience_ms + retry_ms);
    (round_ms >= patience_ms).then(|| patience_ms + retry_ms - round_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: u64 = 1_000_000;

    #[test]
    fn pods_are_out_of_reach_after_a_while_and_until_nobody_waited_for_long() {
        let mut way = Way::default();
        let mut is_failing = |reach, second| {
            way.look(reach, OUT_OF_REACH_US, second * SECOND_US);
            way.failure.is_some()
        };
        assert!(!is_failing(Reach::Wanting, 1));
        assert!(!is_failing(Reach::Wanting, 5));
        assert!(!is_failing(Reach::Fine, 6));
        assert!(!is_failing(Reach::Wanting, 7), "begun anew");
        assert!(!is_failing(Reach::Wanting, 11));
        assert!(is_failing(Reach::Wanting, 12));
        assert!(is_failing(Reach::Fine, 71), "who waited was refused");
        assert!(!is_failing(Reach::Fine, 72));
    }

    #[test]
    fn what_may_pass_is_given_time_again_and_again() {
        assert_eq!(
            [0, 4, 5, 14, 15, 19, 20].map(|it| left_in_round_ms(10, 5, it)),
            [None, None, Some(10), Some(1), None, None, Some(10)]
        );
    }

    #[test]
    fn who_comes_after_the_pause_is_refused_sooner() {
        let mut way = Way::default();
        let mut at_us = |reach, second| {
            way.look(reach, OUT_OF_REACH_US, second * SECOND_US);
            way.failure.as_ref().map(|failure| failure.1 / SECOND_US)
        };
        at_us(Reach::Wanting, 0);
        assert_eq!(at_us(Reach::Wanting, 5), Some(5));
        assert_eq!(at_us(Reach::Fine, 6), Some(5));
        assert_eq!(at_us(Reach::Wanting, 14), Some(5), "it may be well again");
        assert_eq!(at_us(Reach::Wanting, 15), Some(15));
    }
}
