//! Sleeping by plan: what `idle-cost` decides, and what wins over it.

use super::*;
use crate::idle::Idleness;
use crate::readings::{Counters, Meter, Reporters};
use crate::settings::ScaleToZero;

const COLD: &str = "idle-cost (idle for 5 s, bin 4–6 s: warm 9, cold 7)";
const WARM: &str = "idle-cost (idle for 5 s, bin 4–6 s: warm 6, cold 7)";

fn idleness(warm: f64) -> Option<Idleness> {
    let (for_us, from_s, to_s) = (5 * SECOND_US, 4.0, Some(6.0));
    Some(Idleness { for_us, from_s, to_s, warm, cold: 7.0, pre_warm_us: Some(2_000 * SECOND_US) })
}

/// Five seconds after its last request, which the windows still hold, with one pod just ready.
fn resting(scaling: Scaling, warm: f64) -> Inputs {
    let phase = Phase::Active { since_us: 990 * SECOND_US };
    Inputs { phase, idle: idleness(warm), ..inputs(scaling, 1, 0.5, 0.5) }
}

fn asleep(warm: f64) -> Inputs {
    Inputs { ready: 0, replicas: 0, phase: Phase::Asleep, ..resting(scaling(), warm) }
}

#[test]
fn a_pod_that_is_not_worth_its_cost_goes_before_the_window_is_over() {
    let decision = decide(resting(scaling(), 9.0));
    assert_eq!(rules(&decision), [format!("1 → 0 by {COLD}")]);
    assert_eq!(decision.phase, Phase::Idle { since_us: 995 * SECOND_US });
    assert_eq!(decision.pre_warm_us(), Some(2_000 * SECOND_US));
    let silent = Inputs { averages: None, ..resting(scaling(), 9.0) };
    check(silent, &[&format!("0 → 0 by {COLD}")], 0);
}

#[test]
fn a_pod_that_is_worth_its_cost_stays_beyond_the_window() {
    let phase = Phase::Idle { since_us: 100 * SECOND_US };
    let decision = decide(Inputs { phase, ..inputs(scaling(), 1, 0.0, 0.0) });
    assert_eq!(decision.desired, 0);
    let worth = Inputs { idle: idleness(6.0), ..decision.inputs };
    let decision = decide(worth);
    assert_eq!(rules(&decision), [format!("0 → 1 by {WARM}")]);
    assert_eq!(decision.phase, Phase::Active { since_us: 1_000 * SECOND_US });
    assert_eq!(decision.pre_warm_us(), None, "it is there");
}

#[test]
fn who_sleeps_is_given_a_pod_ahead_of_a_request_or_left_asleep() {
    let none = || Some(Averages::default());
    check(Inputs { averages: none(), ..asleep(6.0) }, &[&format!("0 → 1 by {WARM}")], 1);
    check(Inputs { averages: None, ..asleep(9.0) }, &[&format!("0 → 0 by {COLD}")], 0);
    // Where it makes no difference, all stays as it is.
    check(
        Inputs { averages: none(), ..asleep(7.0) },
        &["0 → 0 by idle-cost (idle for 5 s, bin 4–6 s: warm 7, cold 7)"],
        0,
    );
    assert_eq!(decide(resting(scaling(), 7.0)).desired, 1);
}

#[test]
fn other_rules_win() {
    let kept = |inputs: Inputs, by: &str| {
        let decision = decide(inputs);
        assert_eq!(decision.desired, 1, "{decision}");
        let last = rules(&decision).pop().unwrap_or_default();
        assert!(last.ends_with(by), "{decision}");
    };
    let with = |change: fn(&mut Scaling)| {
        let mut own = scaling();
        change(&mut own);
        resting(own, 9.0)
    };
    kept(with(|it| it.min_scale = 1), "by min-scale 1");
    kept(with(|it| it.scale_to_zero = ScaleToZero::Refused), "by enable-scale-to-zero false");
    let retention = with(|it| it.scale_to_zero_retention_us = 6 * SECOND_US);
    kept(retention, "by retention (idle for 5 of 6 s)");
    let over = with(|it| it.scale_to_zero_retention_us = 5 * SECOND_US);
    assert_eq!(decide(over).desired, 0);
    let phase = Phase::Starting { since_us: 990 * SECOND_US };
    let starting = Inputs { ready: 0, phase, ..resting(scaling(), 9.0) };
    kept(starting, "by start-up (for 10 of 630 s)");
    let delayed = Inputs { highest: 1, ..with(|it| it.scale_down_delay_s = 60) };
    assert_eq!(decide(delayed).desired, 1);
    let direct = Inputs { path: Path::Direct, ..resting(scaling(), 9.0) };
    kept(direct, "by grace (0 of 30 s)");
    let paused = with(|it| it.paused = Paused::Yes);
    kept(paused, "by paused");
}

#[test]
fn above_the_least_scale_load_decides_alone() {
    let three = Inputs { replicas: 3, ready: 3, ..resting(scaling(), 9.0) };
    let by_load = Inputs { idle: None, ..three.clone() };
    assert_eq!(decide(three).desired, decide(by_load).desired);
    let pair = Scaling { activation_scale: 2, ..scaling() };
    let pair = |warm| Inputs { replicas: 2, ready: 2, ..resting(pair.clone(), warm) };
    assert_eq!(decide(pair(9.0)).desired, 0);
    assert_eq!(decide(Inputs { averages: None, ..pair(6.0) }).desired, 2);
}

#[test]
fn nothing_but_the_plan_puts_it_to_sleep() {
    // Requests of no length are no load, however many came: by load it would go.
    let phase = Phase::Active { since_us: 100 * SECOND_US };
    let priced = Scaling { idle_cost: Some(300.0), ..scaling() };
    let uncertain = Inputs { phase, ..inputs(priced, 1, 0.0, 0.0) };
    let decision = decide(uncertain.clone());
    assert_eq!(rules(&decision), ["0 → 1 by idle-cost (not certain to be idle)"]);
    assert_eq!(decision.phase, phase);
    let asleep = Inputs { ready: 0, replicas: 0, phase: Phase::Asleep, ..uncertain.clone() };
    assert_eq!(decide(asleep).desired, 0, "nor does it wake");
    for warm in [6.0, 9.0] {
        let reachability = Reachability::Unreachable;
        let gone = Inputs { reachability, idle: idleness(warm), ..uncertain.clone() };
        assert_eq!(decide(gone).desired, 0, "nothing leads to it");
    }
}

#[test]
fn only_a_tick_sleeps() {
    for why in [Why::Wake, Why::Pressure] {
        let decision = decide(Inputs { why, ..resting(scaling(), 9.0) });
        assert_eq!(decision.desired, 1, "{decision}");
    }
}

/// A function with an idle-cost, one reporter, and time.
struct World {
    reporters: Reporters,
    meter: Meter,
    scaler: Scaler,
    counters: Counters,
    now_us: u64,
    replicas: u32,
}

impl World {
    fn new(scaling: Scaling) -> Self {
        Self {
            reporters: Reporters::new(),
            meter: Meter::new(0),
            scaler: Scaler::new(Arc::new(scaling), Missing::Unknown, 1, 1, 0),
            counters: Counters::default(),
            now_us: 500_000,
            replicas: 1,
        }
    }

    /// Lives so many seconds, with a report each and a decision every other; a pod comes at once.
    fn live(&mut self, seconds: u64) -> Vec<Decision> {
        let mut decisions = Vec::new();
        for second in 0..seconds {
            self.now_us += SECOND_US;
            let now_us = self.now_us;
            if let Some(span) = self.reporters.report("activator", 1, now_us, now_us) {
                self.meter.read(span, self.counters);
            }
            if second % 2 == 0 {
                decisions.push(self.decide(Why::Tick));
            }
        }
        decisions
    }

    fn decide(&mut self, why: Why) -> Decision {
        self.reporters.advance(self.now_us);
        let load = self.scaler.settle(&mut self.meter, &self.reporters);
        let replicas = self.replicas;
        let observation = Observation::new(self.now_us, why, replicas, replicas, load);
        let decision = self.scaler.decide(&observation);
        self.replicas = decision.desired;
        decision
    }

    /// A request comes and is answered within a tenth of a second.
    fn ask(&mut self) {
        self.counters.started += 1;
        self.counters.area_us += 100_000;
        if self.replicas == 0 {
            self.decide(Why::Wake);
        }
    }

    /// Of so many rounds with a request each and that long between, in how many it found a pod; and
    /// for how many seconds a pod was there.
    fn rounds(&mut self, rounds: u32, seconds: u64) -> (u32, usize) {
        let (mut found, mut warm_s) = (0, 0);
        for _ in 0..rounds {
            found += u32::from(self.replicas > 0);
            self.ask();
            let decisions = self.live(seconds);
            warm_s += decisions.iter().filter(|decision| decision.desired > 0).count() * 2;
        }
        (found, warm_s)
    }
}

#[test]
fn a_regular_gap_is_learnt_and_the_pod_is_there_before_the_request() {
    let mut world = World::new(Scaling { idle_cost: Some(100.0), ..scaling() });
    world.rounds(20, 300);
    let (found, warm_s) = world.rounds(10, 300);
    assert_eq!(found, 10);
    assert!(warm_s < 10 * 100, "{warm_s} of 3000 s");
    let learnt = world.scaler.gaps().cloned().unwrap();
    assert_eq!(learnt.seen(), 28, "all but the one that began before the first report");
    // Whoever takes over what was learnt does as well at once.
    let mut other = World::new(Scaling { idle_cost: Some(100.0), ..scaling() });
    other.scaler.learn(&learnt);
    let (found, warm_s) = other.rounds(10, 300);
    assert!(found >= 9 && warm_s < 1_000, "{found}, {warm_s} s");
}

#[test]
fn a_setting_taken_back_forgets_and_windows_of_others_go_on() {
    let mut world = World::new(Scaling { idle_cost: Some(100.0), ..scaling() });
    world.rounds(3, 30);
    let other = Scaling { idle_cost: Some(200.0), ..scaling() };
    world.scaler.configure(Arc::new(other));
    assert_eq!(world.scaler.gaps().map(crate::idle::Gaps::seen), Some(1));
    world.scaler.configure(Arc::new(scaling()));
    assert_eq!(world.scaler.gaps(), None);
    world.scaler.learn(&crate::idle::Gaps::default());
    assert_eq!(world.scaler.gaps(), None);
}

#[test]
fn while_reports_are_missing_nobody_is_put_to_sleep() {
    let mut world = World::new(Scaling { idle_cost: Some(0.001), ..scaling() });
    world.ask();
    let slept = world.live(20);
    assert_eq!(slept.last().map(|decision| decision.desired), Some(0));
    world.ask();
    world.live(1);
    for _ in 0..15 {
        world.now_us += 2 * SECOND_US;
        let decision = world.decide(Why::Tick);
        assert_eq!(decision.desired, 1, "{decision}");
    }
}
