//! The cases of `dormouse.jsonl`: what Knative's recordings leave unproved.

use crate::case::{Path, Policy, Seen, Start, Want, Why, line};
use crate::kpa::Oracle;

/// Pods take this long to become ready.
const START_MS: u64 = 4_000;

/// A case under way: an oracle, and pods that follow what it says.
struct Run {
    start: Start,
    oracle: Oracle,
    steps: Vec<(Seen, Want)>,
    ready: u32,
    replicas: u32,
    ready_at_ms: u64,
    sampled_s: u64,
}

impl Run {
    fn new(start: Start) -> Self {
        Self {
            oracle: Oracle::new(&start),
            steps: Vec::new(),
            ready: start.ready,
            replicas: start.replicas,
            ready_at_ms: 0,
            sampled_s: start.start_ms / 1000,
            start,
        }
    }

    /// What is seen at `t_ms` when each second since the last step was `load`.
    fn seen(&mut self, t_ms: u64, load: impl Fn(u64) -> Option<f64>) -> Seen {
        if self.replicas > self.ready && t_ms >= self.ready_at_ms {
            self.ready = self.replicas;
        }
        let mut seen = Seen::tick(t_ms, self.ready);
        seen.replicas = self.replicas;
        for second in self.sampled_s..seen.settled {
            seen.samples.extend(load(second).map(|value| (second * 1000, value)));
        }
        self.sampled_s = self.sampled_s.max(seen.settled);
        seen
    }

    fn step(&mut self, seen: Seen) {
        let want = self.oracle.step(&seen);
        if want.valid || seen.why != Why::Tick {
            if want.replicas > self.replicas {
                self.ready_at_ms = seen.t_ms + START_MS;
            }
            self.replicas = want.replicas;
            self.ready = self.ready.min(want.replicas);
        }
        self.steps.push((seen, want));
    }

    /// Ticks every two seconds from `from_ms` on, before `to_ms`.
    fn ticks(&mut self, from_ms: u64, to_ms: u64, load: impl Fn(u64) -> Option<f64>) {
        for t_ms in (from_ms..to_ms).step_by(2000) {
            let seen = self.seen(t_ms, &load);
            self.step(seen);
        }
    }
}

fn start(load: &str, policy: Policy, pods: u32) -> Start {
    let load = load.to_owned();
    Start { load, policy, start_ms: 0, ready: pods, replicas: pods, missing_is_unknown: false }
}

fn unknown(load: &str, policy: Policy, pods: u32) -> Start {
    Start { missing_is_unknown: true, ..start(load, policy, pods) }
}

/// Load until that second, then none.
fn until(end_s: u64, load: f64) -> impl Fn(u64) -> Option<f64> {
    move |second| Some(if second < end_s { load } else { 0.0 })
}

/// Samples of `target × k`, each for as long as the window: the quotient is a whole number, or just
/// beside one, and which is a matter of the last digit.
fn exact_quotients(metric: &'static str, target: f64, exponential: bool) -> Run {
    let policy = Policy {
        metric,
        target,
        total: target,
        stable_s: 6,
        panic_s: 2,
        panic_threshold: 10.0,
        max_scale_down_rate: 100.0,
        exponential,
        ..Policy::default()
    };
    let mut run = Run::new(start("exact-quotients", policy, 1));
    let load = |second: u64| {
        let wanted = target * (second / 6 + 1) as f64;
        Some((wanted * 1e4).round() / 1e4)
    };
    run.ticks(2_000, 242_000, load);
    run
}

/// Ticks at odd and broken seconds, with samples at broken times.
fn broken_ticks(first_ms: u64, policy: Policy) -> Run {
    let mut run = Run::new(Start { start_ms: first_ms, ..start("broken-ticks", policy, 3) });
    for number in 0..80 {
        let t_ms = first_ms + number * 2000;
        let mut seen = run.seen(t_ms, |_| None);
        let load = if (10..40).contains(&number) { 500.0 } else { 30.25 };
        seen.samples.push((t_ms, load));
        seen.samples.push((t_ms.saturating_sub(1_001), load / 2.0));
        run.step(seen);
    }
    run
}

/// A sleep, a wake while requests are held, load, and sleep again, in live conditions.
fn life(policy: Policy) -> Run {
    let mut run = Run::new(unknown("life", policy, 0));
    let load = |second: u64| Some(if (22..60).contains(&second) { 150.0 } else { 0.0 });
    run.ticks(2_000, 22_000, load);
    let mut wake = run.seen(22_500, load);
    (wake.why, wake.in_flight) = (Why::Wake, 40);
    run.step(wake);
    for t_ms in (24_000..60_000).step_by(2000) {
        let mut seen = run.seen(t_ms, load);
        seen.in_flight = 150;
        run.step(seen);
    }
    run.ticks(60_000, 160_000, load);
    run
}

/// Seconds that are late, missing, or known in part.
fn missing_data(policy: Policy) -> Run {
    let mut run = Run::new(unknown("missing-data", policy, 4));
    let load = |second: u64| match second {
        30..36 | 70..72 | 100 => None,
        second => Some(if second < 90 { 140.0 } else { 20.0 }),
    };
    run.ticks(2_000, 120_000, load);
    // From here on one reporter is behind: what the other sees is a lower bound.
    let settled = run.sampled_s;
    for t_ms in (120_000..150_000).step_by(2000) {
        let mut seen = run.seen(t_ms, |_| None);
        seen.settled = settled;
        let burst = |second| if second > 128 { 700.0 } else { 5.5 };
        seen.unsettled = (settled..t_ms / 1000).map(burst).collect();
        run.step(seen);
    }
    run.sampled_s = settled;
    run.ticks(150_000, 260_000, |second| Some(if second > 128 { 5.0 } else { 0.0 }));
    run
}

/// A scaler that starts in the middle of things and is told what was before.
fn restart(policy: Policy, known: bool) -> Run {
    let start = Start { start_ms: 500_000, ..start("restart", policy, 8) };
    let mut run = Run::new(Start { missing_is_unknown: known, ..start });
    run.sampled_s = 430;
    run.ticks(500_000, 620_000, |second| Some(if second < 505 { 560.0 } else { 70.0 }));
    run
}

/// Load that ends, with floors and ceilings in the way.
fn bounds(policy: Policy, pods: u32) -> Run {
    let mut run = Run::new(start("bounds", policy, pods));
    let mut first = run.seen(0, |_| None);
    first.why = Why::Start;
    run.step(first);
    run.ticks(2_000, 200_000, until(80, 420.0));
    run
}

/// The last pods' way to zero, with the activators in path since some time.
fn sleep(policy: Policy, path: impl Fn(u64) -> Path) -> Run {
    let mut run = Run::new(start("sleep", policy, 2));
    let load = until(70, 60.0);
    for t_ms in (2_000..320_000).step_by(2000) {
        let mut seen = run.seen(t_ms, |second| match second {
            // Wanted again for a moment while it is idle.
            152..154 => Some(3.0),
            second => load(second),
        });
        seen.path = path(t_ms);
        run.step(seen);
        if run.replicas == 0 {
            break;
        }
    }
    run
}

fn unreachable(policy: Policy) -> Run {
    let mut run = Run::new(start("unreachable", policy, 12));
    for t_ms in (2_000..200_000).step_by(2000) {
        let mut seen = run.seen(t_ms, until(60, 800.0));
        seen.unreachable = t_ms >= 100_000;
        run.step(seen);
    }
    run
}

/// Pods that never become ready.
fn never_ready(policy: Policy) -> Run {
    let mut run = Run::new(Start { ready: 0, ..start("never-ready", policy, 3) });
    for t_ms in (0..660_000).step_by(10_000) {
        let mut seen = run.seen(t_ms, |_| Some(0.0));
        seen.ready = 0;
        run.step(seen);
    }
    run
}

/// The text of `dormouse.jsonl`.
pub(crate) fn text() -> String {
    let usual = Policy::default;
    let seven = || Policy { stable_s: 20, panic_s: 4, target: 7.0, total: 10.0, ..usual() };
    let exponential = || Policy { exponential: true, ..seven() };
    let quick = || Policy { stable_s: 20, panic_s: 2, target_burst_capacity: 10.0, ..usual() };
    let grace = || Policy { grace_ms: 30_000, ..quick() };
    let always = |_| Path::Proxied;
    let runs = [
        exact_quotients("concurrency", 0.7, false),
        exact_quotients("concurrency", 0.1, false),
        exact_quotients("rps", 1.1, false),
        exact_quotients("rps", 0.7, true),
        broken_ticks(1_000, seven()),
        broken_ticks(12_500, Policy { delay_s: 9, ..seven() }),
        broken_ticks(1_700_000_001_999, Policy { metric: "rps", ..seven() }),
        broken_ticks(1_700_000_000_001, Policy { activation_scale: 4, ..exponential() }),
        life(usual()),
        life(Policy { exponential: true, metric: "rps", activation_scale: 3, ..quick() }),
        missing_data(usual()),
        missing_data(exponential()),
        missing_data(Policy { target_burst_capacity: -1.0, max_scale: 9, ..seven() }),
        restart(usual(), false),
        restart(Policy { metric: "rps", ..usual() }, true),
        restart(exponential(), true),
        bounds(Policy { min_scale: 2, max_scale: 5, ..quick() }, 1),
        bounds(Policy { initial_scale: Some(4), min_scale: 1, ..quick() }, 0),
        bounds(Policy { initial_scale: Some(1), delay_s: 21, ..quick() }, 6),
        bounds(Policy { initial_scale: Some(9), max_scale: 3, activation_scale: 2, ..quick() }, 2),
        bounds(Policy { never_zero: true, max_scale_up_rate: 1.5, ..quick() }, 1),
        sleep(quick(), always),
        sleep(Policy { retention_ms: 45_500, ..quick() }, always),
        sleep(Policy { target_burst_capacity: -1.0, retention_ms: 60_000, ..grace() }, always),
        sleep(grace(), |t_ms| match t_ms {
            0..100_000 => Path::Direct,
            _ => Path::ProxiedSince(100_000),
        }),
        sleep(Policy { retention_ms: 70_000, ..grace() }, |t_ms| Path::ProxiedSince(t_ms - 1_000)),
        sleep(grace(), |_| Path::Direct),
        unreachable(Policy { min_scale: 3, delay_s: 30, retention_ms: 60_000, ..quick() }),
        never_ready(usual()),
        never_ready(Policy { min_scale: 2, initial_scale: Some(5), ..usual() }),
    ];
    let lines = runs.iter().enumerate();
    lines.map(|(id, run)| line(id, &run.start, &run.steps) + "\n").collect()
}
