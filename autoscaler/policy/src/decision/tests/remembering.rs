//! From decision to decision: windows, phases, freshness.

use super::*;
use crate::readings::Sample;

fn load(settled_s: u64, incomplete: &[f64]) -> Load {
    let sample = |concurrency: &f64| Sample { concurrency: *concurrency, rps: 0.0 };
    Load { settled_s, incomplete: incomplete.iter().map(sample).collect(), ..Load::default() }
}

fn observe(now_s: u64, why: Why, ready: u32, replicas: u32, load: Load) -> Observation {
    Observation::new(now_s * SECOND_US, why, ready, replicas, load)
}

fn record(scaler: &mut Scaler, seconds: std::ops::Range<u64>, concurrency: f64) {
    for second in seconds {
        scaler.record(second, Sample { concurrency, rps: 0.0 });
    }
}

fn tick(scaler: &mut Scaler, now_s: u64, pods: u32, load: Load) -> Decision {
    scaler.decide(&observe(now_s, Why::Tick, pods, pods, load))
}

#[test]
fn a_fresh_function_keeps_its_replicas_until_they_were_ready() {
    let mut scaler = Scaler::new(Arc::new(scaling()), Missing::Unknown, 0, 3, 0);
    let start = scaler.decide(&observe(0, Why::Start, 0, 3, Load::default()));
    assert_eq!(start.outcome, Outcome::Keep);
    for (now_s, ready, want) in [(70, 0, 3), (80, 2, 3), (90, 3, 1), (92, 2, 1)] {
        record(&mut scaler, now_s - 60..now_s, 0.0);
        let decision = scaler.decide(&observe(now_s, Why::Tick, ready, 3, load(now_s, &[])));
        assert_eq!(decision.desired, want, "{decision}");
    }
}

#[test]
fn a_fresh_function_that_never_gets_ready_is_given_up() {
    let mut scaler = Scaler::new(Arc::new(scaling()), Missing::Unknown, 0, 3, 0);
    for (now_s, want) in [(629, 3), (630, 0)] {
        record(&mut scaler, now_s - 60..now_s, 0.0);
        let decision = scaler.decide(&observe(now_s, Why::Tick, 0, 3, load(now_s, &[])));
        assert_eq!(decision.desired, want, "{decision}");
    }
}

#[test]
fn all_pods_of_the_floor_must_have_been_ready_for_it_to_be_left() {
    let floor = Scaling { min_scale: 2, initial_scale: Some(4), ..scaling() };
    let mut scaler = Scaler::new(Arc::new(floor), Missing::Unknown, 0, 4, 0);
    record(&mut scaler, 0..100, 0.0);
    for (ready, want) in [(3, 4), (4, 2), (0, 2)] {
        let decision = scaler.decide(&observe(100, Why::Tick, ready, 4, load(100, &[])));
        assert_eq!(decision.desired, want, "{decision}");
    }
}

#[test]
fn a_first_sight_begins_what_is_new_and_lowers_nothing() {
    for (initial, max_scale, (replicas, ready), want) in [
        (Some(3), 0, (1, 0), "0 → 3 by initial-scale 3"),
        (Some(4), 3, (1, 0), "0 → 4 by initial-scale 4, 4 → 3 by max-scale 3"),
        (Some(1), 0, (3, 0), "0 → 3 by initial-scale 3"),
        (None, 0, (2, 0), "0 → 2 by initial-scale 2"),
        // Begun before: the initial scale is behind it.
        (Some(1), 0, (10, 10), "0 → 10 by initial-scale 10"),
        (Some(3), 0, (1, 1), "0 → 1 by initial-scale 1"),
        // Asleep.
        (Some(3), 0, (0, 0), ""),
    ] {
        let scaling = Arc::new(Scaling { initial_scale: initial, max_scale, ..scaling() });
        let mut scaler = Scaler::new(scaling, Missing::Unknown, ready, replicas, 0);
        let busy = Load { in_flight: 500, ..Load::default() };
        let decision = scaler.decide(&observe(0, Why::Start, ready, replicas, busy));
        assert_eq!(rules(&decision).join(", "), want);
    }
}

#[test]
fn a_lowered_bound_is_as_many_as_can_become_ready() {
    let mut scaler = Scaler::new(Arc::new(scaling()), Missing::Unknown, 0, 10, 0);
    scaler.configure(Arc::new(Scaling { max_scale: 3, ..scaling() }));
    record(&mut scaler, 0..60, 0.0);
    for (ready, want) in [(2, 3), (3, 1)] {
        let decision = scaler.decide(&observe(60, Why::Tick, ready, 3, load(60, &[])));
        assert_eq!(decision.desired, want, "{decision}");
    }
}

#[test]
fn a_redeployed_function_is_fresh_once_more() {
    let at_once = Scaling { max_scale_down_rate: 1_000.0, ..scaling() };
    let mut scaler = Scaler::new(Arc::new(at_once), Missing::Unknown, 3, 3, 0);
    record(&mut scaler, 0..100, 0.0);
    assert_eq!(tick(&mut scaler, 100, 3, load(100, &[])).desired, 0);
    scaler.redeploy(0, 3, 100 * SECOND_US);
    for (now_s, ready, want, why) in
        [(100, 2, 3, "0 → 3 by initial-scale 3"), (102, 3, 1, "0 → 1 by active for 2 of 60 s")]
    {
        let decision = scaler.decide(&observe(now_s, Why::Tick, ready, 3, load(100, &[])));
        assert_eq!((decision.desired, rules(&decision)), (want, vec![why.to_owned()]));
    }
    record(&mut scaler, 100..162, 0.0);
    assert_eq!(tick(&mut scaler, 162, 3, load(162, &[])).desired, 0);
    // At zero there is nothing to keep.
    scaler.redeploy(0, 0, 170 * SECOND_US);
    let asleep = scaler.decide(&observe(170, Why::Tick, 0, 0, load(162, &[])));
    assert_eq!((asleep.phase, asleep.inputs.initial), (Phase::Asleep, None));
}

#[test]
fn a_burst_on_a_sleeping_function_is_not_thinned_by_its_sleep() {
    let mut scaler = Scaler::new(Arc::new(scaling()), Missing::Unknown, 0, 0, 0);
    record(&mut scaler, 0..100, 0.0);
    let wake = scaler.decide(&observe(100, Why::Wake, 0, 0, load(100, &[])));
    assert_eq!(wake.outcome, Outcome::ScaleTo(1));
    // The wake's own second is not whole.
    record(&mut scaler, 100..101, 20.0);
    record(&mut scaler, 101..102, 700.0);
    let decision = scaler.decide(&observe(102, Why::Tick, 0, 1, load(102, &[])));
    assert_eq!(decision.desired, 10, "{decision}");
    // Again asleep: the next wake begins anew, even if no decision saw the sleep.
    let wake = scaler.decide(&observe(500, Why::Wake, 0, 0, load(500, &[])));
    assert_eq!(wake.inputs.averages, None);
    assert_eq!(wake.inputs.phase, Phase::Waking { since_us: 500 * SECOND_US });
    let pending = scaler.decide(&observe(501, Why::Wake, 0, 0, load(501, &[])));
    assert_eq!(pending.inputs.phase, wake.inputs.phase);
}

#[test]
fn an_unsettled_second_raises_and_never_lowers() {
    let mut scaler = Scaler::new(Arc::new(scaling()), Missing::Unknown, 1, 1, 0);
    record(&mut scaler, 0..100, 70.0);
    let settled = tick(&mut scaler, 101, 1, load(100, &[]));
    assert_eq!(settled.raw, 1);
    let quiet = tick(&mut scaler, 101, 1, load(100, &[0.0, 0.0]));
    assert_eq!(quiet.inputs.averages, settled.inputs.averages);
    let burst = tick(&mut scaler, 101, 1, load(100, &[2_000.0, 10.0]));
    let averages = burst.inputs.averages.unwrap();
    assert_eq!(averages.stable, average(102.166_667, 60));
    assert_eq!(averages.panic, average(391.666_667, 6));
}

#[test]
fn silence_of_the_reporters_is_not_idleness() {
    let mut scaler = Scaler::new(Arc::new(scaling()), Missing::Unknown, 1, 1, 0);
    record(&mut scaler, 0..100, 0.0);
    assert_eq!(tick(&mut scaler, 101, 1, load(100, &[])).outcome, Outcome::ScaleTo(0));
    // The newest settled second is 99: at 102 s that is as late as a report may be.
    assert_eq!(tick(&mut scaler, 102, 1, load(100, &[])).outcome, Outcome::ScaleTo(0));
    let waiting = tick(&mut scaler, 103, 1, load(100, &[]));
    assert_eq!(waiting.outcome, Outcome::Keep);
    assert_eq!(rules(&waiting), ["0 → 1 by coverage (59 of 60 s known)"]);
    assert_eq!(tick(&mut scaler, 300, 1, load(100, &[])).outcome, Outcome::NoData);
    record(&mut scaler, 100..300, 0.0);
    assert_eq!(tick(&mut scaler, 300, 1, load(300, &[])).outcome, Outcome::ScaleTo(0));
}

#[test]
fn other_settings_take_hold_and_other_windows_begin_anew() {
    let mut scaler = Scaler::new(Arc::new(scaling()), Missing::Unknown, 1, 1, 0);
    record(&mut scaler, 0..100, 140.0);
    scaler.configure(Arc::new(Scaling { target: 35.0, ..scaling() }));
    assert_eq!(tick(&mut scaler, 100, 1, load(100, &[])).raw, 4);
    scaler.configure(Arc::new(Scaling { stable_window_s: 30, ..scaling() }));
    assert_eq!(tick(&mut scaler, 100, 1, load(100, &[])).inputs.averages, None);
}

#[test]
fn without_data_a_kpa_window_is_idle_only_in_path() {
    let at = |target_burst_capacity| {
        let scaling = Scaling { target_burst_capacity, ..scaling() };
        let mut scaler = Scaler::new(Arc::new(scaling), Missing::Zero, 1, 1, 0);
        tick(&mut scaler, 100, 1, Load::default()).inputs.averages
    };
    assert_eq!(at(211.0), None);
    assert_eq!(at(0.0), None);
    assert_eq!(at(-1.0), Some(Averages::default()));
}
