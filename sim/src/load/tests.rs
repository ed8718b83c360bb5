use dormouse_policy::fingerprint::fnv1a;

use super::*;
use crate::scenario::{Function, Time, read};
use crate::world::Load as _;

const SECOND: u64 = 1_000_000_000;

fn load(load: &str, length: &str) -> Traffic {
    let text = format!(
        "schema = 1\nlength = {length:?}\nstart = 2026-03-03T06:00:00Z\n[function.api]\n\
         load = {load}\nservice = \"1ms\"\n"
    );
    let scenario = read("x.toml", &text).unwrap();
    let Function { traffic: crate::scenario::Traffic::Load(loads), .. } = &scenario.functions[0]
    else {
        panic!("{text}")
    };
    Traffic {
        entity: fnv1a("default/api"),
        start: scenario.start,
        end_ns: scenario.end().0,
        source: Source::Loads(loads.clone()),
    }
}

fn all(traffic: &Traffic, seed: u64) -> Vec<u64> {
    let mut arrivals = traffic.arrivals(seed);
    let all: Vec<_> = std::iter::from_fn(|| arrivals.next()).collect();
    assert!(all.is_sorted(), "in order of time");
    assert!(all.iter().all(|at_ns| *at_ns < traffic.end_ns));
    all
}

fn within(all: &[u64], from_s: u64, until_s: u64) -> f64 {
    let range = from_s * SECOND..until_s * SECOND;
    all.iter().filter(|at_ns| range.contains(at_ns)).count() as f64
}

/// Within five standard deviations of a Poisson count.
#[track_caller]
fn about(count: f64, mean: f64) {
    assert!((count - mean).abs() <= 5.0 * libm::sqrt(mean) + 1e-9, "{count} for {mean}");
}

#[test]
fn constant_is_at_equal_distances() {
    let at = all(&load("{ constant = \"4/s\" }", "2s"), 1);
    let eighths: Vec<_> = at.iter().map(|ns| ns * 8 / SECOND).collect();
    assert_eq!(eighths, [1, 3, 5, 7, 9, 11, 13, 15]);
    // Rounding does not add up, whatever the rate.
    assert_eq!(all(&load("{ constant = \"3/s\" }", "1h"), 1).len(), 10_800);
    assert!(all(&load("{ constant = \"0/s\" }", "1h"), 1).is_empty());
}

#[test]
fn each_course_has_its_rates() {
    let poisson = all(&load("{ poisson = \"50/s\" }", "1000s"), 1);
    about(poisson.len() as f64, 50_000.0);
    let gaps = poisson.windows(2).map(|pair| (pair[1] - pair[0]) as f64);
    let long = gaps.filter(|gap| *gap > 20e6).count() as f64;
    about(long, 50_000.0 * libm::exp(-1.0));

    let step = all(&load("{ step = [\"10/s\", \"0/s\", \"40/s\"], every = \"100s\" }", "500s"), 1);
    about(within(&step, 0, 100), 1000.0);
    about(within(&step, 100, 200), 0.0);
    about(within(&step, 200, 500), 12_000.0);

    let ramp = all(&load("{ ramp = \"0..100/s\", at = \"100s\", over = \"100s\" }", "300s"), 1);
    about(within(&ramp, 0, 100), 0.0);
    about(within(&ramp, 100, 150), 1250.0);
    about(within(&ramp, 150, 200), 3750.0);
    about(within(&ramp, 200, 300), 10_000.0);

    let flash =
        "{ flash = \"100/s\", at = \"50s\", rise = \"20s\", hold = \"30s\", fall = \"10s\" }";
    let flash = all(&load(flash, "300s"), 1);
    about(within(&flash, 0, 50), 0.0);
    about(within(&flash, 50, 70), 1000.0);
    about(within(&flash, 70, 100), 3000.0);
    about(within(&flash, 100, 110), 500.0);
    about(within(&flash, 110, 300), 0.0);
}

/// The run begins at six; the rate is lowest at midnight and highest at noon.
#[test]
fn diurnal_follows_the_clock() {
    let day = all(&load("{ diurnal = \"0..2/s\", period = \"24h\" }", "24h"), 1);
    about(day.len() as f64, 86_400.0);
    let hours = |from: u64, until: u64| within(&day, from * 3600, until * 3600);
    // The mean of 1 − cos over three hours of each side of noon is 1 + sin(45°) ÷ 45° = 1.9003.
    about(hours(3, 9), 6.0 * 3600.0 * 1.900_316);
    about(hours(15, 21), 6.0 * 3600.0 * 0.099_684);
    let late = load("{ diurnal = \"0..2/s\", period = \"24h\", peak = \"20h\" }", "24h");
    about(within(&all(&late, 1), 11 * 3600, 17 * 3600), 6.0 * 3600.0 * 1.900_316);
}

#[test]
fn on_off_has_spells() {
    let spells = load("{ on-off = \"1000/s\", on = \"10s\", off = \"50s\" }", "600s");
    let at = all(&spells, 1);
    about(within(&at, 0, 10), 10_000.0);
    about(within(&at, 10, 60), 0.0);
    about(at.len() as f64, 100_000.0);
    let drawn =
        "{ on-off = \"10/s\", on = { exponential = \"1s\" }, off = { exponential = \"4s\" } }";
    let at = all(&load(drawn, "10h"), 1).len() as f64;
    assert!((at / 72_000.0 - 1.0).abs() < 0.05, "{at}");
}

/// Else a year of them would be three billion looks for a request that does not come.
#[test]
fn spells_of_nothing_are_one() {
    let nothing = load("{ on-off = \"0/s\", on = \"10ms\", off = \"10ms\" }", "8784h");
    let Source::Loads(loads) = &nothing.source else { panic!() };
    let mut pieces = Pieces::new(&loads[0], Stream::new(1, "x", 0), nothing.start, nothing.end_ns);
    assert_eq!(pieces.at(0).map(|piece| piece.until_ns), Some(nothing.end_ns));
    assert!(all(&nothing, 1).is_empty());
}

#[test]
fn changes_of_a_rate_are_known_before() {
    let changes = |text: &str| {
        let load = load(text, "1h");
        let Source::Loads(loads) = &load.source else { panic!() };
        loads[0].changes_max(Time(load.end_ns))
    };
    assert_eq!(changes("{ on-off = \"1/h\", on = \"10ms\", off = \"30ms\" }"), 180_000);
    let drawn = "{ on-off = \"1/h\", on = { bimodal = [\"1s\", \"9s\", 0.5] }, off = \"1s\" }";
    assert_eq!(changes(drawn), 3_600);
    assert_eq!(changes("{ diurnal = \"0..1/h\", period = \"24s\" }"), 3_600);
    assert_eq!(changes("{ step = [\"0/s\", \"1/s\"], every = \"1s\" }"), 2);
    assert_eq!(changes("{ poisson = \"1/s\" }"), 0);
}

#[test]
fn a_sum_has_all_of_its_parts_and_each_is_the_same_alone() {
    let (one, other) = ("{ poisson = \"5/s\" }", "{ step = [\"0/s\", \"9/s\"], every = \"10s\" }");
    let sum = all(&load(&format!("[{one}, {other}]"), "100s"), 7);
    let first = all(&load(one, "100s"), 7);
    let rest = all(&load(&format!("[{{ poisson = \"0/s\" }}, {other}]"), "100s"), 7);
    let mut both = [first, rest].concat();
    both.sort_unstable();
    assert_eq!(sum, both);
}

/// The arrivals of a seed, by hash: another figure means that every recorded scorecard changes.
#[test]
fn arrivals_are_the_same_on_every_machine() {
    let loads = "[{ diurnal = \"20..120/s\", period = \"24h\" }, { flash = \"90/s\", at = \"2m\", \
                 rise = \"10s\", hold = \"1m\" }, { constant = \"1/s\" }, \
                 { on-off = \"9/s\", on = { lognormal = [\"1s\", \"9s\"] }, off = \"5s\" }]";
    let traffic = load(loads, "10m");
    let hash = |seed| {
        let text: Vec<_> = all(&traffic, seed).iter().map(ToString::to_string).collect();
        (text.len(), fnv1a(&text.join(" ")))
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
    assert_eq!(hash(1), (50_955, 6_236_057_771_126_470_327));
}

fn counts(per_minute: &[u32], placing: Placing, trigger: Trigger) -> Traffic {
    Traffic {
        entity: 1,
        start: Start::default(),
        end_ns: Time(per_minute.len() as u64 * 60 * SECOND).0,
        source: Source::Counts(Counts { per_minute: per_minute.to_vec(), placing, trigger }),
    }
}

#[test]
fn counted_minutes_have_their_counts_wherever_requests_are_placed() {
    let per_minute = [3, 0, 1000, 1, 7];
    for (placing, trigger) in [
        (Placing::Uniform, Trigger::Other),
        (Placing::Even, Trigger::Other),
        (Placing::Clump, Trigger::Other),
        (Placing::Uniform, Trigger::Timer),
    ] {
        let at = all(&counts(&per_minute, placing, trigger), 3);
        for (minute, count) in per_minute.into_iter().enumerate() {
            let from = minute as u64 * 60;
            assert!((within(&at, from, from + 60) - f64::from(count)).abs() < 0.5, "{minute}");
        }
        let distinct = |minute: u64| {
            let mut of_it: Vec<_> = at.iter().filter(|ns| *ns / (60 * SECOND) == minute).collect();
            of_it.dedup();
            of_it.len()
        };
        let clumped = placing == Placing::Clump;
        assert_eq!((distinct(0), distinct(4)), if clumped { (1, 1) } else { (3, 7) });
    }
    let timer = all(&counts(&[1, 1, 1], Placing::Uniform, Trigger::Timer), 3);
    assert_eq!((timer[1] - timer[0], timer[2] - timer[1]), (60 * SECOND, 60 * SECOND));
    let uniform = all(&counts(&[10_000], Placing::Uniform, Trigger::Other), 3);
    about(within(&uniform, 0, 15), 2500.0);
    about(within(&uniform, 45, 60), 2500.0);
}
