use std::io::{self, Read};
use std::num::NonZeroUsize;

use super::*;
use crate::input::{Inputs, Manifest};
use crate::plan::{Options, SeedRange};
use crate::report::SweepKind;
use crate::report::tests::{fetches_nothing, is_well_formed};
use crate::statistics::Interval;

struct Nothing;

impl Inputs for Nothing {
    fn open(&self, name: &str) -> io::Result<Box<dyn Read>> {
        Err(io::Error::new(io::ErrorKind::NotFound, name.to_owned()))
    }

    fn manifest(&self, name: &str) -> Result<Manifest, Vec<String>> {
        Err(vec![format!("{name}: not found")])
    }
}

const WINDOW: &str = "autoscaling.knative.dev/window";
const MIN: &str = "autoscaling.knative.dev/min-scale";

/// Bursts that are minutes apart: a shorter window sends pods away sooner.
const SCENARIO: &str = r#"
schema = 1
name = "bursts | of *some*"
seeds = 3
warmup = "2m"
length = "20m"
[policy.now.set]
"autoscaling.knative.dev/window" = "120s"
[policy.now.set.api]
"autoscaling.knative.dev/min-scale" = 0
[policy.other]
[function.api]
load = { on-off = "5/s", on = "20s", off = { exponential = "90s" } }
service = "50ms"
[score]
assert = ["api wait.p99 <= 1us"]
"#;

fn search(grid: &[&str]) -> Search {
    let axes = grid.iter().map(|text| Axis::listed(text).unwrap()).collect();
    Search::new(axes, None).unwrap()
}

fn goal(lower: Lower) -> Goal {
    let metric = |name| Metric::parse(name).unwrap();
    Goal { cost: metric("pod_seconds"), waiting: metric("waited"), lower, margin: 0.02 }
}

fn swept(slice: &str, threads: usize) -> Sweep {
    let slice = slice.parse().unwrap();
    let search = search(&[&format!("{WINDOW}=12s,30s,120s"), &format!("{MIN}=0,1")]);
    let order = Order { search, goal: goal(Lower::Cost), slice };
    let threads = NonZeroUsize::new(threads).unwrap();
    let options = Options::default();
    run(("x.toml", SCENARIO), &options, &Nothing, order, threads, &|_, _| {}).unwrap()
}

#[test]
fn slices_on_any_number_of_threads_make_the_same_bytes() {
    let whole = SweepKind::Json.write(&swept("slice:1/1", 1));
    for (of, threads) in [(1, 2), (3, 7), (9, 2)] {
        let slice = |number: u32| {
            let name = format!("{number}.json");
            let text = SweepKind::Json.write(&swept(&format!("slice:{number}/{of}"), threads));
            let slice = read(&name, &text).unwrap();
            (name, slice)
        };
        // In whatever order they are named.
        let merged = merge((1..=of).rev().map(slice).collect()).unwrap();
        assert_eq!(SweepKind::Json.write(&merged), whole, "{of} slices");
    }
}

#[test]
fn halves_have_times_and_seeds_of_their_own() {
    let sweep = swept("slice:1/1", 2);
    let told = |half: &Half| format!("{} {} {}", half.from, half.until, half.seeds());
    assert_eq!(told(&sweep.of.chosen_on), "2m 12m 1..3");
    assert_eq!(told(&sweep.of.judged_on), "12m 22m 4..6");
    assert_eq!(sweep.candidates.len(), 6);
    for candidate in sweep.all() {
        assert_eq!(candidate.chosen.len(), 3);
        let on_it = sweep.frontier().contains(&candidate) || candidate.number == 0;
        assert_eq!(candidate.judged.is_some(), on_it, "{}", candidate.number);
    }
    // What changes nothing has the baseline's figures to the digit: the draws are the same.
    let same = sweep.candidates.iter().find(|it| it.set[WINDOW] == "120s" && it.set[MIN] == "0");
    assert_eq!(same.unwrap().chosen, sweep.baseline.chosen);
}

#[test]
fn a_figure_is_that_of_its_half_alone() {
    let sweep = swept("slice:1/1", 2);
    let ran = |until: &str, seed, cut_ns| {
        let text = SCENARIO.replace("length = \"20m\"", &format!("length = \"{until}\""));
        let options = Options { policies: vec!["now".to_owned()], ..Options::default() };
        let plan = crate::plan::Plan::new("x.toml", &text, &options, &Nothing).unwrap();
        let log = crate::world::Log::None;
        let job = crate::run::Job { policy: 0, seed, cuts_ns: vec![cut_ns], log };
        let card = plan.run(&[job], NonZeroUsize::MIN, |_| {}).unwrap().pop().unwrap();
        let score = card.functions[0].from(0);
        (score.pod_ns as f64 / 1e9, score.waited.total() as f64)
    };
    let figures = |it: &Figures| (it.cost, it.waiting);
    assert_eq!(figures(&sweep.baseline.chosen[1]), ran("10m", 2, 120_000_000_000));
    let judged = sweep.baseline.judged.as_ref().unwrap();
    assert_eq!(figures(&judged.seeds[2]), ran("20m", 6, 720_000_000_000));
}

#[test]
fn what_a_cold_start_is_worth_can_be_swept() {
    let search = search(&["dormouse.dev/idle-cost=0.001,1000000"]);
    let order = Order { search, goal: goal(Lower::Cost), slice: Slice::WHOLE };
    let (options, one) = (Options::default(), NonZeroUsize::MIN);
    let swept = run(("x.toml", SCENARIO), &options, &Nothing, order, one, &|_, _| {}).unwrap();
    let sums = |it: &Candidate| {
        let sum = |figure: fn(&Figures) -> f64| it.chosen.iter().map(figure).sum::<f64>();
        (sum(|it| it.cost), sum(|it| it.waiting))
    };
    let [cheap, dear] = [0, 1].map(|at| sums(&swept.candidates[at]));
    assert!(cheap.0 < dear.0 && cheap.1 > dear.1, "{cheap:?} {dear:?}");
}

#[test]
fn what_is_set_by_flag_or_for_one_function_gives_way_or_is_refused() {
    let order = Order {
        search: search(&[&format!("{WINDOW}=12s")]),
        goal: goal(Lower::Cost),
        slice: Slice::WHOLE,
    };
    let set = vec![(WINDOW.to_owned(), "30s".to_owned())];
    let options = Options { set, ..Options::default() };
    let one = NonZeroUsize::MIN;
    let made = run(("x.toml", SCENARIO), &options, &Nothing, order.clone(), one, &|_, _| {});
    assert_eq!(made.unwrap_err().to_string(), format!("--set: {WINDOW}: is varied"));
    let silent = SCENARIO.replace("5/s", "0/s");
    let options = Options::default();
    let made = run(("x.toml", &silent), &options, &Nothing, order, one, &|_, _| {});
    assert!(matches!(made, Err(Error::Nothing(what)) if what.contains("did anything arrive?")));
    // Contradictions are told of a few candidates, not of each.
    let search = search(&[
        &format!("{MIN}=3,4,5,6,7,8"),
        "autoscaling.knative.dev/max-scale=1,2",
        &format!("{WINDOW}=12s,13s,14s"),
    ]);
    let order = Order { search, goal: goal(Lower::Cost), slice: Slice::WHOLE };
    let made = run(("x.toml", SCENARIO), &options, &Nothing, order, one, &|_, _| {});
    let told = made.unwrap_err().to_string();
    assert!(told.contains("policy.max-scale=1 min-scale=3 window=12s, function.api: "), "{told}");
    assert_eq!(told.lines().count(), 11);
    assert!(told.ends_with("sweep: 26 more are wrong"), "{told}");
}

/// A sweep with made-up means: (cost, waiting) of the baseline and the candidates where they were
/// chosen, and of all again, by seed, where they were judged.
fn made_up(lower: Lower, chosen: &[(f64, f64)], judged: &[&[(f64, f64)]]) -> Sweep {
    let mut sweep = Sweep {
        of: Subject { goal: goal(lower), basis: Basis::Seeds, ..template().of },
        candidates: Vec::new(),
        ..template()
    };
    let figures = |&(cost, waiting): &(f64, f64)| Figures { cost, waiting };
    for (number, (mean, seeds)) in chosen.iter().zip(judged).enumerate() {
        let seeds = seeds.iter().map(figures).collect();
        let candidate = Candidate {
            number,
            set: Annotations::from([(WINDOW.to_owned(), format!("{number}s"))]),
            chosen: vec![figures(mean)],
            judged: Some(Judged { seeds, functions: Vec::new() }),
        };
        match number {
            0 => sweep.baseline = Candidate { set: Annotations::new(), ..candidate },
            _ => sweep.candidates.push(candidate),
        }
    }
    sweep
}

fn template() -> Sweep {
    use std::sync::OnceLock;
    static MADE: OnceLock<Sweep> = OnceLock::new();
    MADE.get_or_init(|| swept("slice:1/1", 2)).clone()
}

#[test]
fn the_frontier_is_what_no_other_one_beats() {
    let chosen = [(10.0, 10.0), (8.0, 12.0), (9.0, 12.0), (10.0, 10.0), (12.0, 10.0), (20.0, 1.0)];
    let sweep = made_up(Lower::Cost, &chosen, &[&[][..]; 6]);
    let numbers: Vec<_> = sweep.frontier().iter().map(|it| it.number).collect();
    assert_eq!(numbers, [1, 0, 5]);
}

#[test]
fn the_best_is_suggested_only_if_it_is_so_again() {
    let check = |lower, judged: &[(f64, f64)], want: (Option<usize>, Finding)| {
        // The second is the cheapest, but lets more wait than the margin allows.
        let chosen = [(100.0, 100.0), (90.0, 101.0), (80.0, 103.0), (110.0, 50.0), (100.0, 99.0)];
        let was = [(100.0, 100.0), (102.0, 98.0), (98.0, 104.0)];
        let judged = [&was[..], judged, judged, judged, judged];
        let sweep = made_up(lower, &chosen, &judged);
        let choice = sweep.choice();
        assert_eq!((choice.best.map(|it| it.number), choice.finding), want);
        choice.cost
    };
    let good = [(90.0, 100.0), (91.0, 99.0), (89.0, 103.0)];
    let cost = check(Lower::Cost, &good, (Some(1), Finding::Suggested));
    // −10, −11, −9: −10 ± 4.303 · 1 ÷ √3.
    let Interval { low, high } = cost.interval.unwrap();
    assert!((low + 12.484).abs() < 1e-3 && (high + 7.516).abs() < 1e-3, "{cost:?}");
    let noisy = [(70.0, 100.0), (101.0, 99.0), (99.0, 103.0)];
    check(Lower::Cost, &noisy, (Some(1), Finding::Chance));
    let waits = [(90.0, 110.0), (91.0, 109.0), (89.0, 113.0)];
    check(Lower::Cost, &waits, (Some(1), Finding::Raises));
    check(Lower::Waiting, &good, (Some(4), Finding::Chance));
    let alone = made_up(Lower::Cost, &[(9.0, 9.0), (9.0, 8.0)], &[&[(9.0, 9.0)], &[(9.0, 8.0)]]);
    assert_eq!(alone.choice().finding, Finding::NoneBetter);
    let one = made_up(Lower::Cost, &[(9.0, 9.0), (8.0, 9.0)], &[&[(9.0, 9.0)], &[(1.0, 9.0)]]);
    assert_eq!(one.choice().finding, Finding::TooFew);
}

#[test]
fn functions_of_a_trace_are_drawn_again() {
    let mut sweep =
        made_up(Lower::Cost, &[(9.0, 9.0), (8.0, 9.0)], &[&[(80.0, 9.0)], &[(60.0, 9.0)]]);
    sweep.of.basis = Basis::Functions;
    let each = |cost, count| vec![Figures { cost, waiting: 1.0 }; count];
    let functions = |sweep: &mut Sweep, count| {
        sweep.baseline.judged.as_mut().unwrap().functions = each(10.0, count);
        sweep.candidates[0].judged.as_mut().unwrap().functions = each(7.5, count);
        (sweep.choice().finding, sweep.choice().cost.interval)
    };
    let interval = Interval { low: -20.0, high: -20.0 };
    assert_eq!(functions(&mut sweep, 8), (Finding::Suggested, Some(interval)));
    assert_eq!(functions(&mut sweep, 7), (Finding::TooFew, None));
}

#[test]
fn a_report_has_the_block_and_what_it_saves() {
    let good = [(90.0, 100.0), (91.0, 99.0), (89.0, 103.0)];
    let was = [(100.0, 100.0), (102.0, 98.0), (98.0, 104.0)];
    let sweep = made_up(Lower::Cost, &[(100.0, 100.0), (90.0, 101.0)], &[&was, &good]);
    let text = SweepKind::Text.write(&sweep);
    let saved = "suggested: window=1s: pod_seconds -10.0 % (-12.5 % to -7.5 %); waited +0.0 % (";
    assert!(text.contains(saved), "{text}");
    let block = "metadata:\n  annotations:\n    autoscaling.knative.dev/window: \"1s\"\n";
    assert!(text.contains(block), "{text}");
    assert!(text.contains("chosen on 2m to 12m, seeds 1..3; judged by 12m to 22m, seeds 4..6"));
    let markdown = SweepKind::Markdown.write(&sweep);
    assert!(markdown.starts_with("### bursts \\| of \\*some\\*\n"), "{markdown}");
    assert!(markdown.contains(&format!("```yaml\n{block}```\n")), "{markdown}");
    let table = "| window=1s | 90 pod-s | 90 pod-s | 101 | 100.667 |\n";
    assert!(markdown.contains(table), "{markdown}");
}

#[test]
fn a_frontier_is_drawn_where_it_was_chosen_and_where_it_was_judged() {
    let good = [(90.0, 100.0), (91.0, 99.0), (89.0, 103.0)];
    let was = [(100.0, 100.0), (102.0, 98.0), (98.0, 104.0)];
    let sweep = made_up(
        Lower::Cost,
        &[(100.0, 100.0), (90.0, 101.0), (100.0, 101.0)],
        &[&was, &good, &was],
    );
    let [svg, html] = ["svg", "html"].map(|kind| SweepKind::parse(kind).unwrap().write(&sweep));
    for drawn in [&svg, &html] {
        is_well_formed(drawn);
        let places = |of: &str| {
            let places = drawn.split(of).skip(1).map(|it| {
                let place = |name: &str| it.split(name).nth(1).unwrap().split('"').next().unwrap();
                (place("cx=\""), place("cy=\""))
            });
            places.collect::<Vec<_>>()
        };
        // The most are 100 pod-seconds and 101 that waited: 390 wide from 76 and 546 on, 276 high.
        let on_both = [("427", "34"), ("897", "34.9")];
        assert_eq!(places("class=\"dot p0\""), on_both);
        assert_eq!(places("class=\"range good\""), on_both, "the ring is around the chosen one");
        assert_eq!(places("class=\"dot p1\""), [("466", "36.7"), ("936", "34.9")]);
        assert_eq!(places("class=\"candidate\"").len(), 2, "also what another one beats");
    }
    fetches_nothing(&html);
    assert!(!html.contains("<script"), "nothing runs");
    assert!(html.contains("<p class=\"ruling good\">suggested: window=1s: pod_seconds -10.0 %"));
    assert!(html.contains("<td>1</td><td>window=1s</td><td>90 pod-s</td><td>90 pod-s</td>"));
    assert!(html.contains("autoscaling.knative.dev/window: &quot;1s&quot;"), "the block to paste");
    assert!(html.contains("<h1>bursts | of *some*</h1>"));
    let slice = Sweep { partition: "slice:1/2".parse().unwrap(), ..sweep };
    let slice = SweepKind::parse("html").unwrap().write(&slice);
    assert!(slice.contains("slice:1/2: 2 of them; `sim merge` concludes"), "{slice}");
    assert!(!slice.contains("class=\"dot p0\"") && !slice.contains("metadata:"), "{slice}");
}

#[test]
fn shards_that_are_no_whole_are_named() {
    let shard = |slice: &str| SweepKind::Json.write(&swept(slice, 2));
    let [one, two] = ["slice:1/2", "slice:2/2"].map(shard);
    let put = |texts: &[(&str, &str)]| {
        let read = |(name, text): &(&str, &str)| Ok(((*name).to_owned(), read(name, text)?));
        let slices = texts.iter().map(read).collect::<Result<_, MergeError>>();
        slices.and_then(merge).map(|_| ()).map_err(|error| error.to_string())
    };
    let check = |texts: &[(&str, &str)], rule: &str| {
        let told = put(texts).unwrap_err();
        assert!(told.contains(rule), "{rule:?} is not in {told:?}");
    };
    assert_eq!(put(&[("a", &one), ("b", &two)]), Ok(()));
    check(&[("a", &one), ("b", &one)], "a and b both have slice:1/2");
    check(&[("b", &two)], "slice:1/2 is missing: given are slice:2/2 (b)");
    let [third, seeds] = [
        two.replace("slice:2/2", "slice:2/3"),
        two.replacen("\"waited_over\": \"20ms\"", "\"waited_over\": \"30ms\"", 1),
    ];
    check(&[("a", &one), ("b", &third)], "does not have the candidates of slice:2/3");
    check(
        &[("a", &one), ("b", &seeds)],
        "a and b are of different sweeps: scenario.score.waited_over is \"20ms\" and \"30ms\"",
    );
    let hash = crate::plan::sha256(SCENARIO.as_bytes());
    let other = two.replace(&hash, &hash.replace(&hash[..4], "0000"));
    check(&[("a", &one), ("b", &other)], "different sweeps: inputs.0.sha256 is ");
    let newer = two.replace(env!("CARGO_PKG_VERSION"), "9.0.0");
    check(&[("a", &one), ("b", &newer)], "b: was made by dormouse 9.0.0, this is dormouse 0.1.0");
    check(
        &[("b", &two.replace("\"schema\": 1,\n  \"v", "\"schema\": 2,\n  \"v"))],
        "b: has schema 2",
    );
    for cut in [0, 1, two.len() / 2, two.len() - 3] {
        check(&[("b", &two[..cut])], "b: is no part of a sweep: EOF while parsing");
    }
    check(&[("b", "{}")], "b: is no part of a sweep: missing field `schema`");
    check(&[], "there is nothing to merge");
    let range = SeedRange { first: 1, last: 3 };
    assert_eq!(swept("slice:1/2", 1).of.chosen_on.seeds(), range);
}

proptest::proptest! {
    /// Whatever is changed of a shard is refused or taken, and nothing panics.
    #[test]
    fn damaged_shards_never_panic(at in 0_usize..4_000, byte in 32_u8..127) {
        static SHARD: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        let shard = SHARD.get_or_init(|| SweepKind::Json.write(&swept("slice:1/1", 1)));
        let mut bytes = shard.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(text) = String::from_utf8(bytes)
            && let Ok(sweep) = read("a", &text)
            && let Ok(whole) = merge(vec![("a".to_owned(), sweep)])
        {
            for kind in ["text", "md", "svg", "html"] {
                proptest::prop_assert!(!SweepKind::parse(kind).unwrap().write(&whole).is_empty());
            }
        }
    }
}
