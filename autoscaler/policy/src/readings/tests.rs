use proptest::prelude::*;

use super::*;

const S: u64 = 1_000_000;

/// One function, its reporters, and the seconds it was given.
struct World {
    reporters: Reporters,
    meter: Meter,
    seconds: Vec<(u64, Sample)>,
}

impl World {
    /// The function appears in second 9; its first whole second is 10.
    fn new() -> Self {
        Self { reporters: Reporters::new(), meter: Meter::new(9 * S), seconds: Vec::new() }
    }

    /// A report of a reporter whose clock is the caller's and whose link takes no time.
    fn report(&mut self, name: &str, at_us: u64, counters: Option<Counters>) {
        self.report_of((name, 1), at_us, at_us, counters);
    }

    fn report_of(
        &mut self,
        (name, boot): (&str, u64),
        at_us: u64,
        now_us: u64,
        counters: Option<Counters>,
    ) {
        let span = self.reporters.report(name, boot, at_us, now_us);
        if let (Some(span), Some(counters)) = (span, counters) {
            self.meter.read(span, counters);
        }
        self.reporters.advance(now_us);
    }

    fn settle(&mut self) -> Load {
        let seconds = &mut self.seconds;
        self.meter.settle(&self.reporters, 60, |settled, sample| {
            seconds.extend(settled.map(|second| (second, sample)));
        })
    }

    fn concurrency(&self) -> Vec<(u64, f64)> {
        let pair = |(second, sample): &(u64, Sample)| (*second, sample.concurrency);
        self.seconds.iter().map(pair).collect()
    }
}

/// `area_s` request-seconds so far.
fn area(area_s: f64) -> Option<Counters> {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small positive test figures"
    )]
    let area_us = (area_s * 1e6) as u64;
    Some(Counters { area_us, started: 9, in_flight: 9, held: 2, refused: 0 })
}

#[test]
fn growth_is_spread_over_the_seconds_it_covers() {
    let mut world = World::new();
    world.report("a", 9 * S, area(100.0));
    world.report("a", 10 * S + S / 2, area(106.0));
    world.report("a", 12 * S + S / 2, area(114.0));
    let load = world.settle();
    // 10: two thirds of the first 6, a quarter of the next 8.
    assert_eq!(world.concurrency(), [(10, 4.0), (11, 4.0)]);
    assert_eq!(load.settled_s, 12);
    assert_eq!(load.incomplete, [Sample { concurrency: 2.0, rps: 0.0 }]);
    assert_eq!((load.in_flight, load.held), (9, 2));
    // Nothing is handed out twice.
    world.settle();
    assert_eq!(world.seconds.len(), 2);
}

#[test]
fn a_report_that_does_not_name_the_function_covers_idle_time() {
    let mut world = World::new();
    world.report("a", 9 * S, None);
    world.report("a", 11 * S, None);
    let load = world.settle();
    assert_eq!(world.concurrency(), [(10, 0.0)]);
    assert_eq!(load, Load { settled_s: 11, ..Load::default() });
    // Named for the first time: its counters began at zero, and after 11 s.
    let counters = Counters { area_us: 3 * S / 2, started: 3, in_flight: 1, held: 0, refused: 0 };
    world.report("a", 12 * S, Some(counters));
    assert_eq!(world.settle().in_flight, 1);
    assert_eq!(world.seconds[1], (11, Sample { concurrency: 1.5, rps: 3.0 }));
    // Not named: nothing is in flight.
    world.report("a", 13 * S, None);
    assert_eq!(world.settle().in_flight, 0);
}

#[test]
fn a_second_waits_for_every_reporter_and_is_a_lower_bound_meanwhile() {
    let mut world = World::new();
    world.report("a", 9 * S, area(0.0));
    world.report("b", 9 * S, area(0.0));
    world.report("a", 11 * S, area(4.0));
    let load = world.settle();
    assert_eq!((load.settled_s, world.seconds.len()), (9, 0));
    let values: Vec<f64> = load.incomplete.iter().map(|sample| sample.concurrency).collect();
    assert_eq!(values, [0.0, 2.0]);
    world.report("b", 12 * S, area(3.0));
    assert_eq!(world.settle().settled_s, 11);
    assert_eq!(world.concurrency(), [(10, 3.0)]);
}

#[test]
fn a_cut_link_leaves_no_gap_when_it_comes_back() {
    let mut world = World::new();
    world.report("a", 10 * S, area(0.0));
    world.report("a", 12 * S, area(2.0));
    world.reporters.advance(20 * S);
    assert_eq!(world.settle().settled_s, 12);
    world.report("a", 22 * S, area(32.0));
    world.settle();
    let want: Vec<_> =
        (10..22).map(|second| (second, if second < 12 { 1.0 } else { 3.0 })).collect();
    assert_eq!(world.concurrency(), want);
}

#[test]
fn a_new_boot_leaves_unknown_what_the_old_one_did_not_report() {
    let mut world = World::new();
    world.report("a", 10 * S, area(50.0));
    world.report("a", 12 * S, area(52.0));
    world.report_of(("a", 2), 7, 14 * S + S / 2, area(1.0));
    world.report_of(("a", 2), 7 + 2 * S, 16 * S + S / 2, area(5.0));
    assert_eq!(world.settle().in_flight, 9);
    assert_eq!(world.concurrency(), [(10, 1.0), (11, 1.0), (15, 2.0)]);
}

#[test]
fn a_silent_reporter_is_lost_and_its_last_load_stays_until_it_is_gone() {
    let mut world = World::new();
    for (name, at_s) in [("a", 10), ("b", 10), ("a", 11), ("b", 11)] {
        world.report(name, at_s * S, area(0.0));
    }
    for at_s in 12..71 {
        world.report("b", at_s * S, None);
    }
    assert_eq!(world.settle().settled_s, 11);
    assert_eq!(world.reporters.advance(71 * S), ["a"]);
    assert!(world.reporters.advance(71 * S).is_empty());
    world.report("b", 73 * S, None);
    let load = world.settle();
    assert_eq!((load.in_flight, load.lost_in_flight), (9, 9));
    assert_eq!(world.concurrency(), [(10, 0.0), (71, 0.0), (72, 0.0)]);
    world.reporters.forget("a", Departure::Found, 73 * S);
    assert_eq!(world.settle().in_flight, 0);
}

#[test]
fn one_that_leaves_takes_an_unknown_moment_with_it() {
    let mut world = World::new();
    for at_s in [10, 11] {
        world.report("a", at_s * S, None);
        world.report("b", at_s * S, None);
    }
    world.reporters.forget("a", Departure::Found, 11 * S + 1);
    world.report("b", 14 * S, None);
    world.settle();
    assert_eq!(world.concurrency(), [(10, 0.0), (12, 0.0), (13, 0.0)]);
    // Unheard of: says nothing about anybody.
    world.reporters.forget("c", Departure::Found, 14 * S);
}

#[test]
fn one_that_says_goodbye_takes_nothing_with_it() {
    let mut world = World::new();
    for at_s in [10, 11] {
        world.report("a", at_s * S, area(0.0));
        world.report("b", at_s * S, None);
    }
    world.reporters.forget("a", Departure::Said, 11 * S + 1);
    world.report("b", 14 * S, None);
    assert_eq!(world.settle().in_flight, 0);
    assert_eq!(world.concurrency(), [(10, 0.0), (11, 0.0), (12, 0.0), (13, 0.0)]);
}

#[test]
fn one_that_joins_makes_the_past_unknown() {
    let mut world = World::new();
    world.report("a", 10 * S, None);
    world.report("a", 15 * S, None);
    world.report("b", 15 * S, None);
    for at_s in [17, 18] {
        world.report("a", at_s * S, None);
        world.report("b", at_s * S, None);
    }
    world.settle();
    assert_eq!(world.concurrency(), [(15, 0.0), (16, 0.0), (17, 0.0)]);
}

#[test]
fn without_reporters_no_second_is_known() {
    let mut world = World::new();
    world.reporters.advance(30 * S + 1);
    assert_eq!(world.settle(), Load { settled_s: 30, ..Load::default() });
    world.report("a", 40 * S, None);
    world.report("a", 42 * S, None);
    world.settle();
    assert_eq!(world.concurrency(), [(40, 0.0), (41, 0.0)]);
}

#[test]
fn an_old_report_says_nothing() {
    let mut world = World::new();
    world.report("a", 10 * S, area(0.0));
    world.report("a", 12 * S, area(2.0));
    assert_eq!(world.reporters.report("a", 1, 12 * S, 12 * S), None);
    assert_eq!(world.reporters.report("a", 1, 11 * S, 12 * S), None);
    world.report("a", 13 * S, area(3.0));
    world.settle();
    assert_eq!(world.concurrency(), [(10, 1.0), (11, 1.0), (12, 1.0)]);
}

#[test]
fn a_clock_that_drifts_is_anchored_anew() {
    // Its second lasts 1.01 of ours, and its time is far from ours.
    let far = u64::MAX / 2;
    let mut world = World::new();
    for count in 0..200 {
        world.report_of(("a", 1), far + count * S, 10 * S + count * S * 101 / 100, None);
        world.settle();
    }
    let known = world.seconds.len();
    let newest = world.seconds.last().unwrap().0;
    assert!((206..=211).contains(&newest), "{newest}");
    assert!((195..200).contains(&known), "{known} known");
}

#[test]
fn a_clock_found_ahead_is_anchored_at_once() {
    let mut world = World::new();
    world.report_of(("a", 1), 0, 15 * S, None);
    // The first report had been on its way for 5 s.
    world.report_of(("a", 1), 6 * S, 16 * S, area(1.0));
    world.report_of(("a", 1), 8 * S, 18 * S, area(5.0));
    world.settle();
    assert_eq!(world.concurrency(), [(16, 2.0), (17, 2.0)]);
}

#[test]
fn a_clock_at_the_end_of_its_range_is_anchored_too() {
    for at_us in [u64::MAX, u64::MAX / 2, u64::MAX / 2 + 20 * S] {
        let mut world = World::new();
        world.report_of(("a", 1), S, 10 * S, area(0.0));
        world.report_of(("a", 1), at_us, 11 * S, area(9.0));
        world.report_of(("a", 1), 2 * S, 12 * S, area(9.0));
        assert_eq!(world.settle().settled_s, 11);
        assert_eq!(world.seconds, []);
    }
}

#[test]
fn an_anchor_does_not_forget_the_counters() {
    let mut world = World::new();
    let counters =
        |area_us, started| Some(Counters { area_us, started, in_flight: 1, held: 0, refused: 0 });
    world.report_of(("a", 1), 0, 15 * S, counters(100 * S, 1_000));
    // Anchored anew by a report that does not name the function.
    world.report_of(("a", 1), 6 * S, 16 * S, None);
    world.report_of(("a", 1), 7 * S, 17 * S, counters(101 * S, 1_001));
    world.settle();
    assert_eq!(world.seconds, [(16, Sample { concurrency: 1.0, rps: 1.0 })]);
}

#[test]
fn counters_that_cannot_be_are_unknown_not_load() {
    let mut world = World::new();
    world.report("a", 10 * S, None);
    world.report("a", 11 * S, None);
    world.settle();
    // A day of load in one second: these counters did not begin at zero.
    world.report("a", 12 * S, area(86_400.0));
    world.report("a", 13 * S, area(86_402.0));
    world.settle();
    // And these went back.
    let fewer = Counters { area_us: 1, started: 1, in_flight: 1, held: 0, refused: 0 };
    world.report("a", 14 * S, Some(fewer));
    world.report("a", 15 * S, Some(Counters { area_us: 1 + S, ..fewer }));
    world.settle();
    assert_eq!(world.concurrency(), [(10, 0.0), (12, 2.0), (14, 1.0)]);
}

#[test]
fn arrivals_and_refusals_are_those_of_the_last_report() {
    let counters = |started, refused| Some(Counters { started, refused, ..Counters::default() });
    let arrivals = |world: &mut World| {
        let load = world.settle();
        (load.refused, load.arriving_rps)
    };
    let mut world = World::new();
    world.report("a", 10 * S, counters(100, 50));
    assert_eq!(arrivals(&mut world), (0, 0.0), "since when is not known");
    world.report("a", 12 * S, counters(140, 55));
    assert_eq!(arrivals(&mut world), (5, 20.0));
    world.report("a", 12 * S + S / 10, counters(143, 57));
    assert_eq!(arrivals(&mut world), (2, 3.0), "a moment counts as a second");
    world.report("a", 13 * S, None);
    assert_eq!(arrivals(&mut world), (0, 0.0));
    world.report("a", 14 * S, counters(144, 7));
    assert_eq!(arrivals(&mut world), (1, 1.0), "no more refused than came");
}

#[test]
fn a_reading_stamped_a_little_late_is_no_load() {
    let mut world = World::new();
    let counters =
        |area_us: u64, started| Counters { area_us, started, in_flight: 1, held: 0, refused: 0 };
    world.report("a", 10 * S, Some(counters(0, 0)));
    // A request began 5 µs after the reading's own time.
    world.report("a", 11 * S, Some(counters(0_u64.wrapping_sub(5), 1)));
    world.report("a", 12 * S, Some(counters(S, 1)));
    world.settle();
    assert_eq!(world.concurrency()[0], (10, 0.0));
    assert!((world.concurrency()[1].1 - 1.0).abs() < 1e-5);
}

#[test]
fn a_long_sleep_is_handed_out_as_one_window_of_idle_seconds() {
    let mut world = World::new();
    for at_s in 10..5_000 {
        world.report("a", at_s * S, None);
    }
    world.settle();
    assert_eq!(world.concurrency().len(), 60);
    assert_eq!(world.concurrency()[0], (4_999 - 60, 0.0));
    // A meter nobody settled in its sleep keeps no more than the load that ended it.
    let mut meter = Meter::new(9 * S);
    let span = |start_us, end_us| Span { reporter: 1, start_us: Some(start_us), end_us };
    let counters = |started| Counters { area_us: 0, started, in_flight: 0, held: 0, refused: 0 };
    meter.read(span(10 * S, 11 * S), counters(1));
    meter.read(span(4_998 * S, 4_999 * S), counters(2));
    let mut reporters = Reporters::new();
    reporters.advance(4_998 * S);
    let load = meter.settle(&reporters, 60, |seconds, _| panic!("nobody covered {seconds:?}"));
    assert_eq!(load.incomplete.len(), 1);
}

#[test]
fn one_request_counted_by_the_real_counters() {
    struct At<'a>(&'a std::cell::Cell<u64>);
    impl dormouse_metrics::writer::Clock for At<'_> {
        fn now_us(&self) -> u64 {
            self.0.get()
        }
    }
    let registry = dormouse_metrics::registry::Registry::new(1);
    let (writer, counters) = (registry.writer(0).unwrap(), registry.register("f").unwrap());
    let mut world = World::new();
    let mut report = |now_us| {
        let reading = counters.read(now_us).unwrap();
        let dormouse_metrics::counts::Reading { area_us, started, in_flight, held, .. } = reading;
        world.report("a", now_us, Some(Counters { area_us, started, in_flight, held, refused: 0 }));
    };
    report(10 * S);
    let now_us = std::cell::Cell::new(10 * S + S / 2);
    let request = writer.begin(&counters, At(&now_us));
    report(11 * S);
    report(12 * S);
    now_us.set(12 * S + S / 4);
    drop(request);
    report(13 * S);
    world.settle();
    assert_eq!(world.concurrency(), [(10, 0.5), (11, 1.0), (12, 0.25)]);
    let started: f64 = world.seconds.iter().map(|(_, sample)| sample.rps).sum();
    assert!((started - 1.0).abs() < 1e-9);
}

prop_compose! {
    /// A report: whose, how long after its last, how late, and how much the area has grown.
    fn any_report()(
        who in 0_usize..2,
        step_us in 1_u64..9_000_000,
        late_us in 0_u64..900_000,
        growth_us in 0_u64..50_000_000,
    ) -> (usize, u64, u64, u64) {
        (who, step_us, late_us, growth_us)
    }
}

proptest! {
    /// Whatever the reports' times and lateness, and with a second reporter far behind: the seconds
    /// come once, in order, without gap, and hold all of the growth.
    #[test]
    fn nothing_is_lost_and_nothing_doubled(
        reports in proptest::collection::vec(any_report(), 1..40),
    ) {
        let mut world = World::new();
        let names = ["a", "b"];
        let (mut at_us, mut area_us) = ([10 * S; 2], [0; 2]);
        let counters = |area_us| Counters { area_us, in_flight: 1_000_000, ..Counters::default() };
        for name in names {
            world.report(name, 10 * S, Some(counters(0)));
        }
        for (who, step_us, late_us, growth_us) in reports {
            // One a minute behind would be lost, which is another matter.
            let who = match at_us[who] > at_us[1 - who] + 40 * S {
                true => 1 - who,
                false => who,
            };
            at_us[who] += step_us;
            area_us[who] += growth_us;
            let now_us = at_us[who] + late_us;
            let span = world.reporters.report(names[who], 1, at_us[who], now_us);
            world.meter.read(span.unwrap(), counters(area_us[who]));
            world.reporters.advance(at_us[who]);
            world.settle();
        }
        let load = world.settle();
        let seconds: Vec<u64> = world.seconds.iter().map(|(second, _)| *second).collect();
        let want: Vec<u64> = (10..load.settled_s).collect();
        prop_assert_eq!(seconds, want);
        let settled: f64 = world.seconds.iter().map(|(_, sample)| sample.concurrency).sum();
        let rest: f64 = load.incomplete.iter().map(|sample| sample.concurrency).sum();
        let total = (area_us[0] + area_us[1]) as f64 / 1e6;
        prop_assert!((settled + rest - total).abs() < 1e-6, "{settled} + {rest} of {total}");
    }
}
