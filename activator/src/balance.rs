//! Two random choices: of two pods picked at random, the one with fewer requests in flight.
//!
//! In flight counts this worker's own requests alone; reading the others' counters would move their
//! cache lines on each request. With many workers the choice stays close to even, because each
//! worker spreads its own share.
//!
//! Under a concurrency limit the slots taken at a pod are counted over all workers anyway; there
//! the pod with the fewest is chosen.

use std::num::NonZeroU32;
use std::sync::Arc;

use fastrand::Rng;

use crate::pod::Pod;

/// A pod that can take a request, or none.
pub(crate) fn choose<'a>(
    pods: &'a [Arc<Pod>],
    worker: usize,
    rng: &mut Rng,
) -> Option<&'a Arc<Pod>> {
    let count = pods.len();
    let first = usable_from(pods, rng.usize(..count.max(1)), None)?;
    // Of the others: picked twice, a pod that answers nothing would go on being chosen.
    let further = 1 + rng.usize(..(count - 1).max(1));
    let second = usable_from(pods, (first + further) % count, Some(first)).unwrap_or(first);
    let [first, second] = [&pods[first], &pods[second]];
    Some(if second.in_flight_of(worker) < first.in_flight_of(worker) { second } else { first })
}

/// A pod that can take a request, a slot of it taken, or none if `limit` are taken at each.
pub(crate) fn take_slot(pods: &[Arc<Pod>], limit: NonZeroU32) -> Option<&Arc<Pod>> {
    loop {
        let usable = pods.iter().filter(|pod| pod.takes_requests());
        let (taken, pod) =
            usable.map(|pod| (pod.slots.taken(), pod)).min_by_key(|(taken, _)| *taken)?;
        if taken >= limit.get() {
            return None;
        }
        // Fails only if another worker took one meanwhile, so somebody always gets on.
        if pod.slots.try_take(limit.get()) {
            return Some(pod);
        }
    }
}

/// The first pod at or after `start`, going round, that can take a request and is not `except`.
fn usable_from(pods: &[Arc<Pod>], start: usize, except: Option<usize>) -> Option<usize> {
    let mut round = (start..pods.len()).chain(0..start.min(pods.len()));
    round.find(|&index| Some(index) != except && pods[index].takes_requests())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::State;

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
    fn what_answers_nothing_is_chosen_no_more_while_another_is_idle() {
        let pods = pods(4);
        // Two that can be chosen, with one that cannot behind each.
        pods[1].set_state(State::Trying);
        pods[3].set_state(State::Trying);
        pods[0].begin(0);
        let mut rng = Rng::with_seed(3);
        for _ in 0..200 {
            assert_eq!(choose(&pods, 0, &mut rng).unwrap().name, "pod-2");
        }
    }

    #[test]
    fn takes_slots_evenly_up_to_the_limit_and_of_usable_pods_only() {
        let pods = pods(3);
        pods[1].set_state(State::Trying);
        let limit = NonZeroU32::new(2).unwrap();
        let taken: Vec<_> =
            std::iter::from_fn(|| take_slot(&pods, limit)).map(|pod| pod.name.as_str()).collect();
        assert_eq!(taken, ["pod-0", "pod-2", "pod-0", "pod-2"]);
        pods[2].slots.give_back();
        pods[2].set_retiring(true);
        assert!(take_slot(&pods, limit).is_none());
        pods[2].set_retiring(false);
        assert_eq!(take_slot(&pods, limit).unwrap().name, "pod-2");
    }

    #[test]
    fn keeps_load_far_closer_to_even_than_one_choice_does() {
        let pods = pods(20);
        let mut rng = Rng::with_seed(7);
        for _ in 0..2_000 {
            choose(&pods, 0, &mut rng).unwrap().begin(0);
        }
        let most = pods.iter().map(|pod| pod.in_flight_of(0)).max().unwrap();
        assert!(most <= 106, "mean 100, most {most}; one random choice gives about 120");
    }
}
