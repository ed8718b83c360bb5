//! Two random choices: of two pods picked at random, the one with fewer requests in flight.
//!
//! In flight counts this worker's own requests alone; reading the others' counters would move their
//! cache lines on each request. With many workers the choice stays close to even, because each
//! worker spreads its own share.

use std::sync::Arc;

use fastrand::Rng;

use crate::pod::Pod;

/// A pod that can take a request, or none.
pub(crate) fn choose<'a>(
    pods: &'a [Arc<Pod>],
    worker: usize,
    rng: &mut Rng,
) -> Option<&'a Arc<Pod>> {
    let first = usable_from(pods, rng.usize(..pods.len().max(1)))?;
    let second = usable_from(pods, rng.usize(..pods.len()))?;
    Some(if second.in_flight_of(worker) < first.in_flight_of(worker) { second } else { first })
}

/// The first pod at or after `start`, going round, that can take a request.
fn usable_from(pods: &[Arc<Pod>], start: usize) -> Option<&Arc<Pod>> {
    let (before, after) = pods.split_at_checked(start)?;
    after.iter().chain(before).find(|pod| pod.takes_requests())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::{Lease, State};

    fn pods(count: usize) -> Vec<Arc<Pod>> {
        let pods: Vec<_> =
            (0..count).map(|i| Arc::new(Pod::new(format!("pod-{i}"), Vec::new(), 1))).collect();
        for pod in &pods {
            pod.set_state(State::Usable);
        }
        pods
    }

    #[test]
    fn leaves_out_what_cannot_take_requests() {
        let pods = pods(5);
        pods[0].set_state(State::Trying);
        pods[2].set_retiring(true);
        let mut rng = Rng::with_seed(1);
        let mut chosen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            chosen.insert(choose(&pods, 0, &mut rng).unwrap().name.clone());
        }
        assert_eq!(chosen.into_iter().collect::<Vec<_>>(), ["pod-1", "pod-3", "pod-4"]);
        assert!(choose(&[], 0, &mut rng).is_none());
        assert!(choose(&pods[..1], 0, &mut rng).is_none());
    }

    #[test]
    fn keeps_load_far_closer_to_even_than_one_choice_does() {
        let pods = pods(20);
        let mut rng = Rng::with_seed(7);
        let mut leases = Vec::new();
        for _ in 0..2_000 {
            let pod = choose(&pods, 0, &mut rng).unwrap();
            leases.push(Lease::new(Arc::clone(pod), 0));
        }
        let most = pods.iter().map(|pod| pod.in_flight_of(0)).max().unwrap();
        assert!(most <= 106, "mean 100, most {most}; one random choice gives about 120");
    }
}
