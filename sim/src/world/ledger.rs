//! One function's account: who came, what became of them, and the integrals over time.

use super::score::Score;
use super::series::Series;
use super::setup::{Capacity, Function};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// A pod answered it.
    Answered,
    /// There was no room.
    Refused,
    /// It took too long.
    TimedOut,
    /// It went down with a pod or an activator.
    Lost,
}

/// What a request found that could not be sent on when it arrived; else all pods were ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// No ready pod.
    AtZero,
    /// Ready pods, and others on their way.
    Scaling,
    /// Ready pods alone.
    Saturated,
}

/// A request as the account sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    /// The part of the score that it arrived in.
    pub(super) part: u16,
    pub(super) arrived_ns: u64,
    /// When it was sent to a pod, if it was.
    pub(super) sent_ns: u64,
    pub(super) cause: Cause,
}

/// One function's account.
#[derive(Debug)]
pub(super) struct Ledger {
    /// What is before the first cut, then the parts of the score.
    parts: Vec<Score>,
    pub(super) part: u16,
    wait_bounds_ns: Vec<u64>,
    latency_bounds_ns: Vec<u64>,
    waited_over_ns: u64,
    /// Requests that a pod serves at once; none = any number.
    per_pod: Option<u32>,
    /// Requests that arrived and did not end, and since when there are so many.
    inside: u32,
    inside_since_ns: u64,
    /// Numbers of requests from the first to the second, included, have the present need.
    same_need: (u32, u32),
    need: u32,
    ready: u32,
    need_since_ns: u64,
    pods: u32,
    pods_since_ns: u64,
    held: u32,
    /// The most ready pods and the most need since the first increase of this part after a
    /// decrease.
    rising: Option<(u32, u32)>,
    /// The last decrease: when, and from how many.
    lowered: Option<(u64, u32)>,
    /// When the last request ended.
    pub(super) ended_ns: u64,
    /// Pods came for no request and none was sent there yet; in which part they were ordered.
    unused_pre_warm: Option<u16>,
    /// The function's way through the run, if it is recorded.
    pub(super) series: Option<Box<Series>>,
}

impl Ledger {
    pub(super) fn new(function: &Function, parts: usize, waited_over_ns: u64) -> Self {
        let (waits, latencies) = (&function.wait_bounds_ns, &function.latency_bounds_ns);
        let score = Score::new(waits.len(), latencies.len());
        Self {
            parts: vec![score; parts + 1],
            part: 0,
            wait_bounds_ns: waits.clone(),
            latency_bounds_ns: latencies.clone(),
            waited_over_ns,
            per_pod: match function.capacity {
                Capacity::Slots(n) | Capacity::Share(n) => Some(n.get()),
                Capacity::Unlimited => None,
            },
            inside: 0,
            inside_since_ns: 0,
            same_need: (0, 0),
            need: 0,
            ready: 0,
            need_since_ns: 0,
            pods: 0,
            pods_since_ns: 0,
            held: 0,
            rising: None,
            lowered: None,
            ended_ns: 0,
            unused_pre_warm: None,
            series: None,
        }
    }

    fn now(&mut self) -> &mut Score {
        &mut self.parts[usize::from(self.part)]
    }

    pub(super) fn inside(&self) -> u32 {
        self.inside
    }

    /// A request arrives.
    #[inline]
    pub(super) fn enter(&mut self, now_ns: u64) {
        self.now().arrived += 1;
        if let Some(series) = &mut self.series {
            series.arrive(now_ns);
        }
        self.set_inside(self.inside + 1, now_ns);
    }

    /// A request ends.
    #[inline]
    pub(super) fn leave(&mut self, visit: Visit, fate: Fate, now_ns: u64) {
        self.set_inside(self.inside - 1, now_ns);
        self.ended_ns = now_ns;
        let score = &mut self.parts[usize::from(visit.part)];
        match fate {
            Fate::Answered => score.answered += 1,
            Fate::Refused => score.refused += 1,
            Fate::TimedOut => score.timed_out += 1,
            Fate::Lost => score.lost += 1,
        }
        let wait_ns = visit.sent_ns - visit.arrived_ns;
        if fate == Fate::Answered {
            score.wait.record(wait_ns, &self.wait_bounds_ns);
            score.latency.record(now_ns - visit.arrived_ns, &self.latency_bounds_ns);
        } else {
            score.wait.record_infinite();
            score.latency.record_infinite();
        }
        if fate != Fate::Answered || wait_ns > self.waited_over_ns {
            match visit.cause {
                Cause::AtZero => score.waited.at_zero += 1,
                Cause::Scaling => score.waited.scaling += 1,
                Cause::Saturated => score.waited.saturated += 1,
            }
        }
    }

    /// A request is sent to a pod.
    #[inline]
    pub(super) fn send(&mut self) {
        self.unused_pre_warm = None;
    }

    pub(super) fn hold(&mut self, now_ns: u64) {
        self.set_held(self.held + 1, now_ns);
        let held = self.held;
        let most = &mut self.now().held_most;
        *most = held.max(*most);
    }

    pub(super) fn unhold(&mut self, now_ns: u64) {
        self.set_held(self.held - 1, now_ns);
    }

    fn set_held(&mut self, held: u32, now_ns: u64) {
        self.held = held;
        if let Some(series) = &mut self.series {
            series.held.set(held, now_ns);
        }
    }

    pub(super) fn held(&self) -> u32 {
        self.held
    }

    pub(super) fn ready(&self) -> u32 {
        self.ready
    }

    pub(super) fn set_ready(&mut self, ready: u32, now_ns: u64) {
        self.pass_need(now_ns);
        self.ready = ready;
        if let Some(series) = &mut self.series {
            series.ready.set(ready, now_ns);
        }
        self.rise();
    }

    /// Pods that the requests inside need.
    pub(super) fn need(&self) -> u32 {
        self.need
    }

    /// Pods were there for so long besides, one after the other.
    pub(super) fn add_pod_ns(&mut self, ns: u64) {
        self.now().pod_ns += u128::from(ns);
    }

    pub(super) fn pods(&self) -> u32 {
        self.pods
    }

    pub(super) fn set_pods(&mut self, pods: u32, now_ns: u64) {
        self.pass_pods(now_ns);
        self.pods = pods;
        let most = &mut self.now().pods_most;
        *most = pods.max(*most);
    }

    /// An order raises replicas; from 0 because requests are held, or for another reason.
    pub(super) fn raise(&mut self, from: u32, to: u32, stable_ns: u64, now_ns: u64) {
        let from_zero = (from == 0).then_some(self.held > 0);
        let lowered = self.lowered.filter(|(at_ns, _)| now_ns - at_ns <= stable_ns);
        let flaps = lowered.is_some_and(|(_, before)| to > before);
        if flaps {
            // One decrease is regretted once.
            self.lowered = None;
        }
        let score = self.now();
        score.scale_ups += 1;
        score.flaps += u64::from(flaps);
        match from_zero {
            Some(true) => score.cold_starts += 1,
            Some(false) => score.pre_warms += 1,
            None => {}
        }
        if from_zero == Some(false) {
            self.unused_pre_warm = Some(self.part);
        }
        if self.rising.is_none() {
            self.rising = Some((self.ready, self.need));
        }
    }

    /// An order lowers replicas.
    pub(super) fn lower(&mut self, from: u32, to: u32, now_ns: u64) {
        self.lowered = Some((now_ns, from));
        if to == 0
            && let Some(part) = self.unused_pre_warm.take()
        {
            self.parts[usize::from(part)].pre_warms_wasted += 1;
        }
        self.end_rise();
        self.now().scale_downs += 1;
    }

    /// From now on another part of the score counts.
    pub(super) fn cut(&mut self, now_ns: u64) {
        self.pass(now_ns);
        self.end_rise();
        self.part += 1;
        let (pods, held) = (self.pods, self.held);
        let score = self.now();
        (score.pods_most, score.held_most) = (pods, held);
    }

    /// The world ends.
    pub(super) fn close(mut self, now_ns: u64) -> Vec<Score> {
        self.end_rise();
        self.pass(now_ns);
        self.parts
    }

    /// A request is open when the world ends.
    pub(super) fn stay(&mut self, part: u16) {
        self.parts[usize::from(part)].open += 1;
    }

    /// The most requests held at once, in whichever part.
    pub(super) fn held_most(&self) -> u32 {
        self.parts.iter().map(|part| part.held_most).max().unwrap_or(0)
    }

    /// Requests of all parts: arrived, and what became of them.
    pub(super) fn balance(&self) -> (u64, u64) {
        let arrived = self.parts.iter().map(|part| part.arrived).sum();
        let ended = |part: &Score| part.answered + part.refused + part.timed_out + part.lost;
        let ended: u64 = self.parts.iter().map(ended).sum();
        (arrived, ended + u64::from(self.inside))
    }

    fn pass(&mut self, now_ns: u64) {
        self.pass_inside(now_ns);
        self.pass_need(now_ns);
        self.pass_pods(now_ns);
    }

    #[inline]
    fn pass_inside(&mut self, now_ns: u64) {
        let passed_ns = now_ns - std::mem::replace(&mut self.inside_since_ns, now_ns);
        let inside = self.inside;
        let score = self.now();
        score.time_ns += u128::from(passed_ns);
        score.inside_ns += u128::from(passed_ns) * u128::from(inside);
    }

    fn pass_need(&mut self, now_ns: u64) {
        let passed_ns = now_ns - std::mem::replace(&mut self.need_since_ns, now_ns);
        let (need, ready, passed_ns) = (self.need, self.ready, u128::from(passed_ns));
        let score = self.now();
        score.need_ns += passed_ns * u128::from(need);
        score.ready_ns += passed_ns * u128::from(ready);
        score.under_ns += passed_ns * u128::from(need.saturating_sub(ready));
        score.over_ns += passed_ns * u128::from(ready.saturating_sub(need));
    }

    fn pass_pods(&mut self, now_ns: u64) {
        let passed_ns = now_ns - std::mem::replace(&mut self.pods_since_ns, now_ns);
        let pods = self.pods;
        self.now().pod_ns += u128::from(passed_ns) * u128::from(pods);
    }

    #[inline]
    fn set_inside(&mut self, inside: u32, now_ns: u64) {
        self.pass_inside(now_ns);
        self.inside = inside;
        if let Some(series) = &mut self.series {
            series.open.set(inside, now_ns);
        }
        if inside < self.same_need.0 || inside > self.same_need.1 {
            self.change_need(now_ns);
        }
    }

    #[inline(never)]
    fn change_need(&mut self, now_ns: u64) {
        self.pass_need(now_ns);
        let per_pod = self.per_pod.unwrap_or(u32::MAX);
        self.need = self.inside.div_ceil(per_pod);
        let last = u64::from(self.need) * u64::from(per_pod);
        self.same_need = match self.need {
            0 => (0, 0),
            need => ((need - 1) * per_pod + 1, u32::try_from(last).unwrap_or(u32::MAX)),
        };
        self.rise();
    }

    fn rise(&mut self) {
        if let Some((ready, need)) = &mut self.rising {
            *ready = self.ready.max(*ready);
            *need = self.need.max(*need);
        }
    }

    fn end_rise(&mut self) {
        if let Some((ready, need)) = self.rising.take() {
            self.now().overshoot.add(ready, need);
        }
    }
}

#[cfg(test)]
mod tests;
