use std::num::NonZeroUsize;

use super::*;
use crate::input::Given;
use crate::plan::Options;
use crate::statistics::Interval;

const INVENTED: &str = r#"
schema = 1
length = "10m"
seeds = 10
[policy.now]
[policy.again]
[policy.wide.set]
"autoscaling.knative.dev/min-scale" = 2
[function.api]
load = { poisson = "2/m" }
service = { lognormal = ["50ms", "500ms"] }
start_up = { boot = { lognormal = ["1s", "3s"] } }
"#;

const RECORDED: &str = r#"
schema = 1
length = "10m"
[policy.now]
[policy.again]
[policy.kept]
kind = { fixed-idle = "10m" }
[function."fleet/*".trace]
format = "azure-2019"
counts = "counts.csv"
[function."fleet/*"]
service = "50ms"
start_up = { boot = "2s" }
"#;

/// Counts of so many functions: one request each two minutes or so.
fn counts(functions: u32) -> String {
    let minutes: Vec<_> = (1..=10).map(|minute| minute.to_string()).collect();
    let mut text = format!("HashOwner,HashApp,HashFunction,Trigger,{}\n", minutes.join(","));
    for function in 0..functions {
        let minutes: Vec<_> =
            (0..10).map(|minute| if (minute + function) % 3 == 0 { "1" } else { "0" }).collect();
        text += &format!("o,a,f{function},http,{}\n", minutes.join(","));
    }
    text
}

fn plan(text: &str, files: &[(&str, &str)]) -> Plan {
    Plan::new("x.toml", text, &Options::default(), &Given(files)).unwrap()
}

fn compared(plan: &Plan, metrics: &[Metric]) -> Comparison {
    let cards = plan.run(&plan.jobs(), NonZeroUsize::MIN, |_| {}).unwrap();
    let outcomes = [Outcome { plan, cards }];
    Comparison::new(&contestants(&outcomes, &["x.toml".to_owned()]), metrics, MARGIN)
}

fn row<'a>(comparison: &'a Comparison, policy: &str, metric: &str) -> &'a Row {
    let is_it = |row: &&Row| row.policy == policy && row.metric.to_string() == metric;
    comparison.rows.iter().find(is_it).unwrap()
}

#[test]
fn a_policy_against_itself_is_exactly_zero_on_every_seed() {
    for plan in [plan(INVENTED, &[]), plan(RECORDED, &[("counts.csv", &counts(8))])] {
        let metrics = Metric::shown();
        let comparison = compared(&plan, &metrics);
        assert_eq!(comparison.others().len(), 2);
        let again: Vec<_> = comparison.rows.iter().filter(|row| row.policy == "again").collect();
        assert!(again.len() > 20);
        for row in again {
            let label = format!("{row:?}");
            assert!(row.seeds.iter().all(|pair| difference_of(pair).abs() <= 0.0), "{label}");
            assert_eq!(row.difference(), Some(0.0), "{label}");
            assert_eq!(row.interval, Some(Interval { low: 0.0, high: 0.0 }), "{label}");
            assert_eq!(row.verdict, Verdict::Same, "{label}");
        }
    }
}

#[test]
fn invented_loads_are_paired_by_seed() {
    let comparison = compared(&plan(INVENTED, &[]), &Metric::compared());
    assert_eq!(comparison.basis, Basis::Seeds(10));
    assert_eq!(comparison.baseline, "now");
    let waited = row(&comparison, "wide", "waited");
    let differences: Vec<_> = waited.seeds.iter().map(|it| it.other - it.baseline).collect();
    assert_eq!(differences.len(), 10);
    assert_eq!(waited.interval, paired_t(&differences));
    assert_eq!(waited.verdict, Verdict::Better);
    assert_eq!(row(&comparison, "wide", "pod_seconds").verdict, Verdict::Worse);
    assert!(comparison.is_worse());
}

#[test]
fn the_functions_of_a_trace_are_drawn_again() {
    let counted = counts(12);
    let comparison = compared(&plan(RECORDED, &[("counts.csv", &counted)]), &Metric::compared());
    assert_eq!(comparison.basis, Basis::Functions(12));
    let waited = row(&comparison, "kept", "waited");
    let interval = waited.interval.unwrap();
    let difference = waited.difference().unwrap();
    assert!(interval.low < difference && difference < interval.high, "{waited:?}");
    assert_eq!(waited.verdict, Verdict::Better);
    assert_eq!(row(&comparison, "kept", "pod_seconds").verdict, Verdict::Worse);
}

#[test]
fn few_functions_of_a_trace_have_no_interval_and_leave_it_undecided() {
    let counted = counts(7);
    let comparison = compared(&plan(RECORDED, &[("counts.csv", &counted)]), &Metric::compared());
    assert_eq!(comparison.basis, Basis::TooFewFunctions(7));
    let why = comparison.basis.to_string();
    assert_eq!(why, "none, for 7 functions of a trace are fewer than 8");
    let waited = row(&comparison, "kept", "waited");
    assert_eq!((waited.interval, waited.verdict), (None, Verdict::Undecided));
    assert!(waited.difference().unwrap() < 0.0);
}

#[test]
fn a_verdict_is_where_the_whole_interval_is() {
    use Verdict::{Better, Same, Undecided, Worse};
    let of = |low, high, better| Verdict::of(Interval { low, high }, 100.0, 0.02, better);
    for (low, high, less, more) in [
        (0.0, 0.0, Same, Same),
        (-2.0, 2.0, Same, Same),
        (2.1, 9.0, Worse, Better),
        (-9.0, -2.1, Better, Worse),
        // Clear of 0, and yet it may be the same.
        (1.0, 9.0, Undecided, Undecided),
        (-9.0, 1.0, Undecided, Undecided),
        (-9.0, 9.0, Undecided, Undecided),
        (3.0, f64::INFINITY, Worse, Better),
    ] {
        assert_eq!(of(low, high, super::Better::Less), less, "{low} to {high}");
        assert_eq!(of(low, high, super::Better::More), more, "{low} to {high}");
        let neither = of(low, high, super::Better::Neither);
        assert_eq!(neither == Same, less == Same, "{low} to {high}");
    }
    // Of nothing there is no share.
    let zero = |low, high| Verdict::of(Interval { low, high }, 0.0, 0.02, super::Better::Less);
    assert_eq!((zero(0.0, 0.0), zero(0.0, 1.0), zero(0.5, 1.0)), (Same, Undecided, Worse));
}

#[test]
fn what_never_ends_is_worse_only_if_it_is_so_on_every_seed() {
    let never = f64::INFINITY;
    let verdict = |pairs: &[(f64, f64)]| {
        let pairs = pairs.iter().map(|&(baseline, other)| Pair { baseline, other }).collect();
        let differences: &Vec<Pair> = &pairs;
        let interval = interval(Basis::Seeds(2), differences, || None);
        let row = Row::new("other", Metric::parse("wait.p99").unwrap(), pairs, interval, MARGIN);
        (row.verdict, row.difference())
    };
    assert_eq!(verdict(&[(1.0, never), (2.0, never)]), (Verdict::Worse, Some(never)));
    assert_eq!(verdict(&[(never, 1.0), (never, 2.0)]), (Verdict::Better, Some(-never)));
    assert_eq!(verdict(&[(1.0, never), (2.0, 2.0)]), (Verdict::Undecided, Some(never)));
    assert_eq!(verdict(&[(1.0, never), (never, 2.0)]), (Verdict::Undecided, None));
    assert_eq!(verdict(&[(never, never), (never, never)]), (Verdict::Same, Some(0.0)));
}

#[test]
fn scenarios_that_differ_in_more_than_their_policies_are_told_apart() {
    let told = |text: &str| {
        let (own, other) = (plan(INVENTED, &[]), plan(text, &[]));
        difference(("a.toml", &own), ("b.toml", &other))
    };
    for (from, to) in [
        ("min-scale\" = 2", "min-scale\" = 3"),
        ("[policy.again]", "[policy.else]"),
        ("schema = 1", "schema = 1\nname = \"b\""),
        ("[function.api]", "[score]\nassert = [\"lost == 0\"]\n[function.api]"),
    ] {
        let text = INVENTED.replace(from, to);
        assert!(text != INVENTED && told(&text).is_none(), "{to}");
    }
    for (from, to, want) in [
        ("seeds = 10", "seeds = 11", "seeds: a.toml has 10, b.toml has 11"),
        ("10m", "11m", "length: a.toml has \"10m\", b.toml has \"11m\""),
        ("function.api", "function.shop", "function.api: a.toml has {"),
        (
            "1s",
            "2s",
            "function.api.start_up.boot.lognormal: a.toml has [\"1s\",\"3s\"], b.toml has \
             [\"2s\",\"3s\"]",
        ),
        ("[function", "[score]\nwaited_over = \"1s\"\n[function", "score.waited_over: a.toml has "),
    ] {
        let difference = told(&INVENTED.replace(from, to)).unwrap();
        assert!(difference.starts_with(want), "{difference}");
    }
}

#[test]
fn traces_of_one_name_that_are_two_files_are_told_apart() {
    let own = counts(8);
    let others = own.replace("http,1,", "http,2,");
    let [own, other] = [&own, &others].map(|text| plan(RECORDED, &[("counts.csv", text)]));
    let told = |other| difference(("a.toml", &own), ("b.toml", other));
    assert_eq!(told(&own), None);
    let want = "counts.csv: is not the same file to a.toml and to b.toml";
    assert_eq!(told(&other).as_deref(), Some(want));
}

#[test]
fn policies_of_one_name_are_called_by_their_files() {
    let plan = plan(INVENTED, &[]);
    let outcome = || Outcome { plan: &plan, cards: Vec::new() };
    let called = |outcomes: &[Outcome<'_>]| {
        let files = ["a.toml".to_owned(), "b.toml".to_owned()];
        contestants(outcomes, &files).iter().map(|it| it.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(called(&[outcome()]), ["now", "again", "wide"]);
    assert_eq!(called(&[outcome(), outcome()])[2..4], ["a.toml:wide", "b.toml:now"]);
}

#[test]
fn invented_loads_take_ten_seeds_and_traces_what_they_are_given() {
    let seeds = |text: &str, asked: Option<&str>| {
        let counted = counts(8);
        let asked = asked.map(|it| it.parse::<SeedRange>().unwrap());
        let options = Options { seeds: asked, ..Options::default() };
        let files = [("counts.csv", counted.as_str())];
        let mut plan = Plan::new("x.toml", text, &options, &Given(&files)).unwrap();
        take_seeds(&mut plan, asked).map(|()| plan.seeds.len())
    };
    let few = INVENTED.replace("seeds = 10", "seeds = 3");
    assert_eq!(seeds(&few, None), Ok(10));
    assert_eq!(seeds(&few, Some("5..14")), Ok(10));
    let rule = "--seed 1..9: invented loads are compared by 10 seeds or more";
    assert_eq!(seeds(&few, Some("1..9")), Err(rule.to_owned()));
    assert_eq!(seeds(RECORDED, None), Ok(1));
}

#[test]
fn start_ups_are_scaled_and_nothing_else() {
    let plan = plan(INVENTED, &[]);
    let cards = |plan: &Plan| plan.run(&plan.jobs(), NonZeroUsize::MIN, |_| {}).unwrap();
    assert_eq!(cards(&plan.with_start_up(100)), cards(&plan));
    let longest = |plan: &Plan| {
        let (cards, wait) = (cards(plan), Metric::parse("wait.max").unwrap());
        let outcome = Outcome { plan, cards };
        wait.of(&outcome.score(outcome.card(0, 0), None, 0), None).unwrap()
    };
    let (half, whole) = (longest(&plan.with_start_up(50)), longest(&plan));
    // Each wait is a start-up and what tells of it.
    assert!(half > 0.4 * whole && half < 0.6 * whole, "{half} {whole}");
    let service =
        |plan: &Plan| plan.setup(0, vec![0], crate::world::Log::None).functions[0].service.clone();
    assert_eq!(service(&plan.with_start_up(50)), service(&plan));
}
