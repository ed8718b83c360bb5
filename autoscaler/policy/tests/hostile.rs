//! Reporters and clocks that do what they should not: nothing panics, nothing is made up, and what
//! is not known scales nothing down.

use std::sync::Arc;

use dormouse_policy::decision::{Decision, Missing, Observation, Outcome, Scaler, Why};
use dormouse_policy::readings::{Counters, Load, Meter, Reporters, Sample};
use dormouse_policy::settings::Scaling;

const S: u64 = 1_000_000;
const HOUR_US: u64 = 3_600 * S;

/// Two ready pods, a window of ten seconds, and one activator that has had ten requests in flight
/// all the time.
struct World {
    now_us: u64,
    /// The activator's own clock.
    at_us: u64,
    boot: u64,
    counters: Counters,
    reporters: Reporters,
    meter: Meter,
    scaler: Scaler,
}

fn scaling() -> Scaling {
    Scaling {
        target: 5.0,
        stable_window_s: 10,
        panic_window_s: 2,
        scale_down_delay_s: 4,
        max_scale_down_rate: 100.0,
        ..Scaling::default()
    }
}

impl World {
    fn new() -> Self {
        let now_us = 2 * HOUR_US;
        let scaling = scaling();
        let mut world = Self {
            now_us,
            at_us: 77 * S,
            boot: 1,
            counters: Counters { area_us: 0, started: 10, in_flight: 10, held: 0, refused: 0 },
            reporters: Reporters::new(),
            meter: Meter::new(now_us),
            scaler: Scaler::new(Arc::new(scaling), Missing::Unknown, 2, 2, now_us),
        };
        world.seconds(30);
        assert_eq!(world.decide().raw, 2);
        world
    }

    /// Seconds pass, each with a report.
    fn seconds(&mut self, count: u64) {
        for _ in 0..count {
            self.now_us += S;
            self.at_us += S;
            self.counters.area_us = self.counters.area_us.wrapping_add(10 * S);
            self.report();
        }
    }

    fn report(&mut self) {
        self.report_as("activator", self.at_us, self.counters);
    }

    fn report_as(&mut self, name: &str, at_us: u64, counters: Counters) {
        if let Some(span) = self.reporters.report(name, self.boot, at_us, self.now_us) {
            self.meter.read(span, counters);
        }
        self.reporters.advance(self.now_us);
    }

    fn decide(&mut self) -> Decision {
        self.reporters.advance(self.now_us);
        let load = self.scaler.settle(&mut self.meter, &self.reporters);
        let decision = self.scaler.decide(&Observation::new(self.now_us, Why::Tick, 2, 2, load));
        assert_eq!(decision.replay(), decision);
        decision
    }

    /// What is known of the load: its mean, and over how many seconds.
    fn known(&mut self) -> (f64, u32) {
        let averages = self.decide().inputs.averages.unwrap_or_default();
        (averages.stable.value, averages.stable.known_s)
    }

    #[track_caller]
    fn knows(&mut self, mean: f64, known_s: std::ops::RangeInclusive<u32>) {
        let known = self.known();
        assert!((known.0 - mean).abs() < 1e-6 && known_s.contains(&known.1), "{known:?}");
    }

    #[track_caller]
    fn keeps(&mut self) {
        let decision = self.decide();
        assert!(matches!(decision.outcome, Outcome::Keep | Outcome::NoData), "{decision}");
    }
}

#[test]
fn a_sample_that_is_no_number_is_a_second_not_known() {
    let mut world = World::new();
    let second = world.now_us / S;
    for (after, concurrency) in
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, f64::MIN].into_iter().enumerate()
    {
        world.scaler.record(second + after as u64, Sample { concurrency, rps: 0.0 });
    }
    world.knows(10.0, 10..=10);
}

#[test]
fn the_largest_of_samples_is_a_figure_like_any_other() {
    let mut world = World::new();
    let second = world.now_us / S;
    for _ in 0..3 {
        world.scaler.record(second - 1, Sample { concurrency: f64::MAX, rps: 0.0 });
    }
    let decision = world.decide();
    assert_eq!((decision.raw, decision.desired), (u32::MAX, 2_000));
}

#[test]
fn an_area_that_shrinks_is_a_second_not_known() {
    let mut world = World::new();
    let area_us = world.counters.area_us;
    // By more than a late stamp explains.
    world.counters.area_us = area_us.wrapping_sub(1_000 * S);
    world.seconds(1);
    world.seconds(9);
    world.knows(10.0, 9..=9);
    world.keeps();
    world.seconds(2);
    world.knows(10.0, 10..=10);
}

#[test]
fn counters_that_fall_are_a_second_not_known() {
    let mut world = World::new();
    world.counters = Counters { area_us: 0, started: 0, ..world.counters };
    world.seconds(10);
    world.knows(10.0, 9..=9);
    world.keeps();
}

#[test]
fn counters_beyond_all_bounds_do_not_overflow() {
    let mut world = World::new();
    let most = Counters {
        area_us: u64::MAX,
        started: u64::MAX,
        in_flight: u64::MAX,
        held: u64::MAX,
        refused: 0,
    };
    for (number, area_us) in
        [0, i64::MAX as u64, u64::MAX - 1, 5, i64::MAX as u64].iter().enumerate()
    {
        world.now_us += S;
        for name in ["activator", "b", "c", "d"] {
            let counters = Counters { area_us: *area_us, ..most };
            world.report_as(name, 9_000 * S + number as u64 * S, counters);
        }
        let decision = world.decide();
        assert!(decision.desired >= 2, "{decision}");
    }
}

#[test]
fn a_boot_that_returns_is_one_more_boot() {
    let mut world = World::new();
    world.boot = 2;
    world.counters = Counters { area_us: 0, started: 0, ..world.counters };
    world.seconds(3);
    // The first life's counters went on where they were.
    world.boot = 1;
    world.counters.area_us += 1_000 * S;
    world.seconds(3);
    world.knows(10.0, 6..=8);
    world.keeps();
    world.seconds(12);
    world.knows(10.0, 10..=10);
}

#[test]
fn two_that_claim_one_name_leave_nothing_known_and_nothing_falls() {
    let mut world = World::new();
    for _ in 0..30 {
        world.boot = 3 - world.boot;
        world.seconds(1);
        world.keeps();
    }
    assert_eq!(world.known().1, 0);
}

#[test]
fn time_that_stands_still_is_no_time() {
    let mut world = World::new();
    let before = world.known();
    for _ in 0..100 {
        world.report();
        assert_eq!(world.known(), before);
    }
    world.seconds(10);
    world.knows(10.0, 10..=10);
}

#[test]
fn a_reporter_whose_clock_stands_still_is_a_silent_one() {
    let mut world = World::new();
    for second in 0..80 {
        world.now_us += S;
        world.report();
        if second > 5 {
            world.keeps();
        }
    }
    // Lost after a minute; when it goes on, so late that its clock is blamed after ten reports.
    world.seconds(24);
    world.knows(10.0, 10..=10);
}

#[test]
fn a_reporters_clock_that_jumps_ahead_is_anchored_anew() {
    let mut world = World::new();
    world.at_us += HOUR_US;
    world.seconds(5);
    world.knows(10.0, 8..=9);
    world.keeps();
    world.seconds(8);
    world.knows(10.0, 10..=10);
}

#[test]
fn a_reporters_clock_that_jumps_back_is_silence_and_then_anchored_anew() {
    let mut world = World::new();
    world.at_us -= 70 * S;
    for _ in 0..61 {
        world.seconds(1);
        world.keeps();
    }
    world.seconds(13);
    world.knows(10.0, 10..=10);
}

#[test]
fn our_clock_that_jumps_ahead_makes_the_time_between_unknown() {
    let mut world = World::new();
    world.now_us += HOUR_US;
    world.keeps();
    world.seconds(5);
    world.knows(10.0, 3..=5);
    world.keeps();
    world.seconds(8);
    world.knows(10.0, 10..=10);
}

#[test]
fn our_clock_that_jumps_back_makes_everything_unknown() {
    for by_us in [HOUR_US, 100 * S, 5 * S] {
        let mut world = World::new();
        world.now_us -= by_us;
        world.keeps();
        assert_eq!(world.known().1, 0, "{by_us} µs");
        world.seconds(5);
        world.keeps();
        // A jump that is no longer than what a meter keeps is waited out by it.
        for _ in 0..64 {
            world.seconds(2);
            world.keeps();
        }
        world.knows(10.0, 10..=10);
    }
}

#[test]
fn nothing_is_waited_for_that_lay_in_the_future_before_our_clock_jumped_back() {
    let calm = World::new();
    let mut panicking = World::new();
    panicking.counters.in_flight = 200;
    panicking.seconds(1);
    panicking.counters.area_us += 190 * S;
    panicking.seconds(1);
    assert!(panicking.decide().panic.is_some());
    for mut world in [calm, panicking] {
        world.now_us -= HOUR_US;
        // No load any more: panic, the delay, a window of activity and one of idleness are to pass.
        world.counters.in_flight = 0;
        for _ in 0..30 {
            world.now_us += S;
            world.at_us += S;
            world.report();
            world.decide();
        }
        assert_eq!(world.decide().desired, 0);
    }
}

#[test]
fn a_start_is_given_up_in_time_although_our_clock_jumped_back() {
    let mut scaler = Scaler::new(Arc::new(scaling()), Missing::Unknown, 0, 3, 7_200 * S);
    let mut decide = |at_s: u64| {
        for second in at_s - 10..at_s {
            scaler.record(second, Sample::default());
        }
        let load = Load { settled_s: at_s, ..Load::default() };
        scaler.decide(&Observation::new(at_s * S, Why::Tick, 0, 3, load)).desired
    };
    assert_eq!([7_210, 3_600, 4_229, 4_230].map(&mut decide), [3, 3, 3, 0]);
}

#[test]
fn a_flood_of_reports_counts_once_and_is_not_kept() {
    let mut world = World::new();
    for _ in 0..10 {
        world.now_us += S;
        for _ in 0..1_000 {
            world.at_us += 1_000;
            world.counters.area_us += 10 * 1_000;
            world.counters.started += 1;
            world.report();
        }
    }
    world.knows(10.0, 9..=10);
}

#[test]
fn a_reading_twice_counts_once() {
    let mut world = World::new();
    for _ in 0..12 {
        world.seconds(1);
        world.report();
        world.report();
    }
    world.knows(10.0, 10..=10);
}

#[test]
fn a_reading_out_of_order_says_nothing() {
    let mut world = World::new();
    for _ in 0..12 {
        let (at_us, counters) = (world.at_us, world.counters);
        world.seconds(2);
        world.report_as("activator", at_us, counters);
        world.report_as("activator", at_us + S, counters);
    }
    world.knows(10.0, 10..=10);
}
