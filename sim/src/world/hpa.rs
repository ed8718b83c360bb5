//! Kubernetes' Horizontal Pod Autoscaler, on mean concurrency per pod.
//!
//! Every 15 s (`--horizontal-pod-autoscaler-sync-period`)
//!
//! > wanted = ⌈concurrency ÷ target⌉, unless concurrency ÷ (ready · target) is within 10 % of 1
//!
//! then at most the larger of twice as many and four more (`behavior.scaleUp`: 100 % and 4 pods per
//! 15 s, the larger), and fewer only as far as every wish of the last 300 s goes
//! (`behavior.scaleDown.stabilizationWindowSeconds`). Never below one. Ten pods at 70 with 840
//! requests at once are 12; with 770 they are left alone.

use std::collections::VecDeque;

/// Pause between two looks, in microseconds.
const SYNC_US: u64 = 15_000_000;

/// Pods that may be added in a pause however few there are.
const PODS_UP: u32 = 4;

/// What can be set of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hpa {
    /// Seconds that concurrency is averaged over.
    pub window_s: u32,
    /// How far from the target it may be without anything being done, as a share of that.
    pub tolerance: f64,
    /// How long the highest wish holds, in microseconds.
    pub stabilisation_us: u64,
}

/// What it goes by, at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) now_us: u64,
    /// Mean of the window; none if nothing is known of it.
    pub(super) concurrency: Option<f64>,
    /// Wanted per pod.
    pub(super) target: f64,
    pub(super) ready: u32,
    pub(super) replicas: u32,
    /// At least so many, and at most; 0 = any number.
    pub(super) min: u32,
    pub(super) max: u32,
}

/// The autoscaler of one function.
#[derive(Clone, Debug)]
pub(super) struct Controller {
    hpa: Hpa,
    due_us: u64,
    /// Wishes of the window: when, and how many.
    wishes: VecDeque<(u64, u32)>,
}

impl Controller {
    /// What it finds counts as its first wish.
    pub(super) fn new(hpa: Hpa, now_us: u64, replicas: u32) -> Self {
        Self { hpa, due_us: now_us, wishes: VecDeque::from([(now_us, replicas)]) }
    }

    /// Replicas wanted; between two looks as many as there are.
    pub(super) fn wanted(&mut self, seen: &Seen) -> u32 {
        let least = seen.min.max(1);
        let most = if seen.max == 0 { u32::MAX } else { seen.max.max(least) };
        let mut wanted = seen.replicas;
        if seen.now_us >= self.due_us {
            self.due_us = seen.now_us + SYNC_US;
            let wish = self.wish(seen);
            let holds_us = self.hpa.stabilisation_us;
            self.wishes.retain(|(at_us, _)| at_us.saturating_add(holds_us) > seen.now_us);
            self.wishes.push_back((seen.now_us, wish));
            let highest = self.wishes.iter().map(|(_, wish)| *wish).max().unwrap_or(wish);
            let up = seen.replicas.saturating_mul(2).max(seen.replicas.saturating_add(PODS_UP));
            wanted = wanted.min(highest).max(wish).min(up);
        }
        wanted.clamp(least, most)
    }

    fn wish(&self, seen: &Seen) -> u32 {
        let Some(concurrency) = seen.concurrency.filter(|_| seen.ready > 0) else {
            return seen.replicas;
        };
        let whole = f64::from(seen.ready) * seen.target;
        if (concurrency - whole).abs() <= self.hpa.tolerance * whole {
            return seen.replicas;
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and the cast saturates"
        )]
        let wish = libm::ceil(concurrency / seen.target) as u32;
        wish
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HPA: Hpa = Hpa { window_s: 15, tolerance: 0.1, stabilisation_us: 300_000_000 };

    /// What is wanted every 15 s of so many pods, all ready, with these concurrencies; each is
    /// followed at once.
    fn follow(pods: u32, max: u32, concurrencies: &[f64]) -> Vec<u32> {
        let mut controller = Controller::new(HPA, 0, pods);
        let mut replicas = pods;
        let looks = concurrencies.iter().zip(0..).map(|(concurrency, look)| {
            replicas = controller.wanted(&Seen {
                now_us: look * SYNC_US,
                concurrency: Some(*concurrency),
                target: 70.0,
                ready: replicas,
                replicas,
                min: 0,
                max,
            });
            replicas
        });
        looks.collect()
    }

    #[test]
    fn it_wants_what_the_target_divides_into() {
        assert_eq!(follow(10, 0, &[840.0]), [12]);
        assert_eq!(follow(10, 0, &[771.0]), [12], "11.01 pods are 12");
    }

    #[test]
    fn it_leaves_alone_what_is_within_a_tenth() {
        assert_eq!(follow(10, 0, &[770.0, 630.0, 700.0]), [10, 10, 10]);
        assert_eq!(follow(10, 0, &[770.1]), [12]);
    }

    #[test]
    fn it_adds_four_or_doubles_whichever_is_more() {
        assert_eq!(follow(1, 0, &[7e4; 5]), [5, 10, 20, 40, 80]);
        assert_eq!(follow(1, 7, &[7e4; 3]), [5, 7, 7]);
    }

    #[test]
    fn it_lowers_to_the_highest_wish_of_five_minutes() {
        // Ten are wished for at 0 s, and four from 15 s on: they go at 300 s.
        let mut concurrencies = vec![700.0];
        concurrencies.extend([280.0; 21]);
        let wanted = follow(10, 0, &concurrencies);
        assert!(wanted[..20].iter().all(|replicas| *replicas == 10), "{wanted:?}");
        assert_eq!(wanted[20..], [4, 4]);
    }

    #[test]
    fn it_never_goes_below_one_and_begins_there() {
        assert_eq!(follow(3, 0, &[0.0; 21])[20], 1);
        assert_eq!(follow(0, 0, &[0.0]), [1]);
    }

    #[test]
    fn it_does_nothing_between_two_looks_or_without_a_figure() {
        let mut controller = Controller::new(HPA, 0, 2);
        let seen = Seen {
            now_us: 0,
            concurrency: None,
            target: 70.0,
            ready: 2,
            replicas: 2,
            min: 0,
            max: 0,
        };
        assert_eq!(controller.wanted(&seen), 2);
        let busy = Seen { now_us: SYNC_US - 1, concurrency: Some(400.0), ..seen };
        assert_eq!(controller.wanted(&busy), 2);
        assert_eq!(controller.wanted(&Seen { now_us: SYNC_US, ready: 0, ..busy }), 2);
        assert_eq!(controller.wanted(&Seen { now_us: 2 * SYNC_US, ..busy }), 6);
    }
}
