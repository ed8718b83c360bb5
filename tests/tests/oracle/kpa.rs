//! The policy written down a second time, plainly: everything that was ever seen is kept, and each
//! figure is worked out anew from all of it. Nothing here is shared with the policy.

use crate::case::{Path, Policy, Seen, Start, Want, Why};

/// How long a function that never becomes ready is kept trying: progress deadline and 30 s.
const ACTIVATION_MS: u64 = 630_000;

/// Where a function is, and since when.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Asleep,
    Waking(u64),
    Starting(u64),
    Active(u64),
    Inactive(u64),
}

/// All that was seen and decided.
pub(crate) struct Oracle {
    start: Start,
    /// Second and value, in the order in which they came.
    samples: Vec<(u64, f64)>,
    /// Before this second lies an earlier life.
    series_from: u64,
    panic_since: Option<u64>,
    panic_most: u32,
    /// Each figure before the delay: its tick, and it.
    figures: Vec<(u64, u32)>,
    state: State,
    /// Replicas to begin with, until so many were ready.
    initial: Option<u32>,
}

/// The two averages.
struct Averages {
    stable: f64,
    panic: f64,
    /// Seconds of the stable window that took part.
    known: u32,
}

impl Oracle {
    pub(crate) fn new(start: &Start) -> Self {
        let now = start.start_ms;
        // None ready: taken for new. Replicas without any: taken for asleep.
        let mut initial = start.replicas;
        if start.replicas > 0 && start.ready == 0 {
            initial = initial.max(start.policy.initial_scale.unwrap_or(0));
        }
        Self {
            start: start.clone(),
            samples: Vec::new(),
            series_from: 0,
            panic_since: if start.ready > 1 { Some(now) } else { None },
            panic_most: if start.ready > 1 { start.ready } else { 0 },
            figures: Vec::new(),
            state: match (start.replicas, start.ready) {
                (0, _) => State::Asleep,
                (_, 0) => State::Starting(now),
                _ => State::Active(now),
            },
            initial: if initial > 0 { Some(initial) } else { None },
        }
    }

    pub(crate) fn step(&mut self, seen: &Seen) -> Want {
        for &(at_ms, value) in &seen.samples {
            if at_ms / 1000 >= self.series_from {
                self.samples.push((at_ms / 1000, value));
            }
        }
        self.enter(seen);
        self.begin_is_over(seen);
        let averages = self.averages(seen);
        let load = match (&averages, seen.why) {
            (Some(averages), Why::Tick | Why::Wake) => Some(self.load(seen, averages)),
            _ => None,
        };
        let whole = match &averages {
            _ if seen.why == Why::Start => true,
            None => false,
            Some(averages) => {
                let all = u64::from(averages.known) >= self.start.policy.stable_s;
                all || !self.start.missing_is_unknown
            }
        };
        let desired = load.unwrap_or(0);
        let replicas = self.apply(seen, desired, whole);
        let excess = self.excess_burst_capacity(seen, averages.as_ref());
        Want {
            valid: averages.is_some(),
            stable: averages.as_ref().map_or(0.0, |averages| averages.stable),
            panic: averages.as_ref().map_or(0.0, |averages| averages.panic),
            desired,
            excess_burst_capacity: excess,
            panicking: self.panic_since.is_some(),
            replicas,
            known_s: averages.as_ref().map_or(0, |averages| averages.known),
            serve: averages.is_some() && replicas > 0 && seen.ready > 0 && excess >= 0,
        }
    }

    /// Without replicas: asleep, or waking if somebody asks. With replicas: starting until one is
    /// ready, active from then on.
    fn enter(&mut self, seen: &Seen) {
        let before = self.state;
        let asked = seen.why == Why::Wake || seen.in_flight > 0;
        self.state = match before {
            State::Waking(_) if seen.replicas == 0 && asked => before,
            _ if seen.replicas == 0 && asked => State::Waking(seen.t_ms),
            _ if seen.replicas == 0 => State::Asleep,
            State::Active(_) | State::Inactive(_) => before,
            State::Waking(since) | State::Starting(since) if seen.ready == 0 => {
                State::Starting(since)
            }
            State::Asleep if seen.ready == 0 => State::Starting(seen.t_ms),
            _ => State::Active(seen.t_ms),
        };
        let woken = matches!(self.state, State::Waking(_)) && self.state != before;
        let found_up = before == State::Asleep && seen.replicas > 0;
        if self.start.missing_is_unknown && (woken || found_up) {
            self.samples.clear();
            self.series_from = seen.t_ms / 1000 + 1;
        }
    }

    fn begin_is_over(&mut self, seen: &Seen) {
        let Some(initial) = self.initial else {
            return;
        };
        let min = self.start.policy.min_scale;
        let initialised = seen.ready >= self.bounded(min.max(initial));
        let given_up = seen.t_ms >= self.start.start_ms + ACTIVATION_MS;
        if seen.why != Why::Start && (initialised || given_up) {
            self.initial = None;
        }
    }

    fn averages(&self, seen: &Seen) -> Option<Averages> {
        let Policy { stable_s, panic_s, .. } = self.start.policy;
        if self.start.missing_is_unknown {
            let stable = self.known_average(seen, stable_s);
            let panic = self.known_average(seen, panic_s);
            let any = stable.1 > 0 || stable.0 > 0.0;
            return any.then_some(Averages { stable: stable.0, panic: panic.0, known: stable.1 });
        }
        let now = seen.t_ms / 1000;
        let silent = match Series::of(&self.samples, stable_s) {
            Some(series) => now.saturating_sub(series.last) > stable_s,
            None => true,
        };
        if silent && self.start.policy.target_burst_capacity >= 0.0 {
            return None;
        }
        let average = |length| match Series::of(&self.samples, length) {
            Some(series) if self.start.policy.exponential => series.exponential(length, now),
            Some(series) => series.linear(length, now),
            None => 0.0,
        };
        Some(Averages { stable: average(stable_s), panic: average(panic_s), known: 0 })
    }

    /// Over the seconds that are known, the window ending with the last settled second, at most 3 s
    /// ago. Or, if that is more, ending with one of the seconds after it, of which what is known so
    /// far counts. With it, how many of the settled ones took part.
    fn known_average(&self, seen: &Seen, length: u64) -> (f64, u32) {
        let now = seen.t_ms / 1000;
        let end = seen.settled.saturating_sub(1).max(now.saturating_sub(3));
        let (mut highest, known) = self.known_until(length, end, &[]);
        let first = seen.settled.max(self.series_from);
        let all = (seen.settled..).zip(&seen.unsettled);
        let tail: Vec<(u64, f64)> =
            all.filter(|(second, _)| *second >= first).map(|(at, value)| (at, *value)).collect();
        for &(end_of_tail, _) in &tail {
            if end_of_tail >= end {
                highest = highest.max(self.known_until(length, end_of_tail, &tail).0);
            }
        }
        (highest, known)
    }

    fn known_until(&self, length: u64, end: u64, tail: &[(u64, f64)]) -> (f64, u32) {
        let tail_from = tail.first().map_or(u64::MAX, |(second, _)| *second);
        let smoothing = smoothing(length);
        let (mut sum, mut known, mut weight) = (0.0, 0, smoothing);
        for age in 0..length.min(end + 1) {
            let second = end - age;
            let values: Vec<f64> = match second >= tail_from {
                true => tail.iter().filter(|(at, _)| *at == second).map(|(_, it)| *it).collect(),
                false => {
                    let samples = self.samples.iter().filter(|(at, _)| *at == second);
                    samples.map(|(_, value)| *value).collect()
                }
            };
            if !values.is_empty() || second >= tail_from {
                let value: f64 = values.iter().sum();
                sum += value * if self.start.policy.exponential { weight } else { 1.0 };
                known += 1;
            }
            weight *= 1.0 - smoothing;
        }
        match self.start.policy.exponential {
            true => (sum, known),
            false => (six_digits(sum / f64::from(known.max(1))), known),
        }
    }

    /// Pods that the load asks for.
    fn load(&mut self, seen: &Seen, averages: &Averages) -> u32 {
        let policy = self.start.policy.clone();
        let ready = f64::from(seen.ready.max(1));
        let up = (policy.max_scale_up_rate * ready).ceil();
        let mut down = (ready / policy.max_scale_down_rate).floor();
        if seen.unreachable {
            down = 0.0;
        }
        let stable = (averages.stable / policy.target).ceil();
        let panic = (averages.panic / policy.target).ceil();
        let bounded = |wanted: f64| {
            let mut pods = wanted.max(down).min(up);
            let activation = f64::from(policy.activation_scale);
            if activation > 1.0 && wanted > 0.0 && pods < activation {
                pods = activation;
            }
            pods
        };
        let over = panic / ready >= policy.panic_threshold;
        let stable_ms = policy.stable_s * 1000;
        if over {
            self.panic_since = Some(seen.t_ms);
        } else if self.panic_since.is_some_and(|since| since + stable_ms < seen.t_ms) {
            self.panic_since = None;
            self.panic_most = 0;
        }
        let mut pods = whole(bounded(stable));
        if self.panic_since.is_some() {
            pods = pods.max(whole(bounded(panic)));
            self.panic_most = self.panic_most.max(pods);
            pods = self.panic_most;
        }
        if policy.delay_s > 0 && !seen.unreachable {
            let tick = seen.t_ms / 2000;
            let ticks = policy.delay_s.div_ceil(2);
            self.figures.push((tick, pods));
            let recent = self.figures.iter().filter(|(at, _)| at + ticks > tick);
            pods = recent.map(|(_, figure)| *figure).max().unwrap_or(pods);
        }
        pods
    }

    fn excess_burst_capacity(&self, seen: &Seen, averages: Option<&Averages>) -> i32 {
        let policy = &self.start.policy;
        let wanted = policy.target_burst_capacity;
        if wanted < 0.0 {
            return -1;
        }
        if wanted == 0.0 {
            return 0;
        }
        if seen.why == Why::Start {
            let initial = f64::from(self.bounded(self.initial.unwrap_or(0)));
            return (initial * policy.total - wanted) as i32;
        }
        let used = averages.map_or(0.0, |averages| averages.panic);
        (f64::from(seen.ready) * policy.total - wanted - used).floor() as i32
    }

    fn bounded(&self, pods: u32) -> u32 {
        match self.start.policy.max_scale {
            0 => pods,
            max => pods.min(max),
        }
    }

    /// From what the load asks for to replicas.
    fn apply(&mut self, seen: &Seen, desired: u32, whole: bool) -> u32 {
        let policy = self.start.policy.clone();
        let mut pods = desired;
        if seen.why != Why::Start && seen.in_flight > 0 {
            pods = pods.max(1);
        }
        if seen.why == Why::Wake {
            pods = pods.max(1).max(policy.activation_scale);
        }
        let mut min = if seen.unreachable { 0 } else { policy.min_scale };
        match self.initial {
            Some(initial) if seen.why == Why::Start => min = min.max(initial),
            Some(initial) if initial > 1 && !seen.unreachable => min = min.max(initial),
            _ => {}
        }
        pods = pods.max(min);
        let wanted = pods;
        if !whole {
            pods = pods.max(seen.replicas);
        }
        if policy.max_scale > 0 && pods > policy.max_scale {
            pods = policy.max_scale;
        }
        self.mark(seen, wanted, whole);
        match pods {
            0 if seen.why != Why::Start => self.zero(seen),
            pods => pods,
        }
    }

    /// A function that nothing asks for, active for a stable window, is inactive from now on; an
    /// inactive one that is wanted is active or starting.
    fn mark(&mut self, seen: &Seen, wanted: u32, whole: bool) {
        let window_ms = self.start.policy.stable_s * 1000;
        self.state = match self.state {
            State::Active(since) if wanted == 0 && whole && seen.t_ms - since >= window_ms => {
                State::Inactive(seen.t_ms)
            }
            State::Inactive(_) if wanted > 0 && seen.ready > 0 => State::Active(seen.t_ms),
            State::Inactive(_) if wanted > 0 => State::Starting(seen.t_ms),
            state => state,
        };
    }

    fn zero(&self, seen: &Seen) -> u32 {
        let policy = &self.start.policy;
        let stay = match policy.max_scale {
            0 => seen.replicas,
            max => seen.replicas.min(max),
        };
        if policy.never_zero {
            return 1;
        }
        match self.state {
            State::Asleep => 0,
            State::Waking(since) | State::Starting(since) => {
                if seen.t_ms - since >= ACTIVATION_MS {
                    0
                } else {
                    stay
                }
            }
            State::Active(_) => 1,
            State::Inactive(since) => {
                let idle = seen.t_ms - since;
                let retention = if seen.unreachable { 0 } else { policy.retention_ms };
                let in_path = match seen.path {
                    Path::Direct => return stay,
                    Path::Proxied => u64::MAX,
                    Path::ProxiedSince(since) => seen.t_ms.saturating_sub(since),
                };
                if idle >= policy.grace_ms.max(retention) {
                    0
                } else if idle < retention || in_path < policy.grace_ms {
                    stay
                } else {
                    0
                }
            }
        }
    }
}

/// What a window holds after all samples of its time were added in their order.
struct Series {
    values: Vec<(u64, f64)>,
    first: u64,
    last: u64,
}

impl Series {
    fn of(samples: &[(u64, f64)], length: u64) -> Option<Self> {
        let mut series: Option<Self> = None;
        for &(second, value) in samples {
            match &mut series {
                Some(series) if second + length <= series.last => {}
                Some(series) if second < series.last + length => {
                    series.values.push((second, value));
                    series.first = series.first.min(second);
                    series.last = series.last.max(second);
                }
                _ => {
                    let values = vec![(second, value)];
                    series = Some(Self { values, first: second, last: second });
                }
            }
        }
        series
    }

    /// The total over the shorter of the series' length and what is left of the window.
    fn linear(&self, length: u64, now: u64) -> f64 {
        let silent = now.saturating_sub(self.last);
        if silent >= length {
            return 0.0;
        }
        let end = now.max(self.last);
        let inside = self.values.iter().filter(|(second, _)| second + length > end);
        let total: f64 = inside.map(|(_, value)| value).sum();
        let seconds = (self.last - self.first + 1).min(length - silent);
        six_digits(total / seconds as f64)
    }

    fn exponential(&self, length: u64, now: u64) -> f64 {
        let silent = now.saturating_sub(self.last);
        let smoothing = smoothing(length);
        let mut weight = smoothing;
        for _ in 0..silent {
            weight *= 1.0 - smoothing;
        }
        let mut average = 0.0;
        for age in 0..length.saturating_sub(silent) {
            let values = self.values.iter().filter(|(second, _)| second + age == self.last);
            average += values.map(|(_, value)| value).sum::<f64>() * weight;
            weight *= 1.0 - smoothing;
        }
        average
    }
}

fn smoothing(length: u64) -> f64 {
    (1.0 - (1.0_f64 - 0.9999).powf(1.0 / length as f64)).max(0.2)
}

fn six_digits(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn whole(pods: f64) -> u32 {
    pods as u32
}
