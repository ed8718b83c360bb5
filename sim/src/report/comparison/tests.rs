use std::num::NonZeroUsize;

use super::*;
use crate::compare::{MARGIN, contestants};
use crate::input::Given;
use crate::metric::Metric;
use crate::plan::{Options, Plan};
use crate::report::tests::{fetches_nothing, is_well_formed};
use crate::statistics::{Interval, Pair};

const SCENARIO: &str = r#"
schema = 1
name = "a <b> | c"
length = "5m"
seeds = 10
[policy.now]
[policy.wide.set]
"autoscaling.knative.dev/min-scale" = 3
[function.api]
load = { poisson = "2/m" }
service = "50ms"
start_up = { boot = "2s" }
[score]
assert = ["wide pods.max >= 3"]
"#;

fn reports() -> [String; 5] {
    let plan = Plan::new("x.toml", SCENARIO, &Options::default(), &Given(&[])).unwrap();
    let cards = plan.run(&plan.jobs(), NonZeroUsize::MIN, |_| {}).unwrap();
    let outcomes = [Outcome { plan: &plan, cards }];
    let contestants = contestants(&outcomes, &["x.toml".to_owned()]);
    let mut comparison = Comparison::new(&contestants, &Metric::compared(), MARGIN);
    let mut otherwise = comparison.clone();
    comparison.note_start_up(50, &comparison.clone());
    otherwise.rows[0].verdict = Verdict::Undecided;
    comparison.note_start_up(200, &otherwise);
    let verdicts = [outcomes[0].verdicts()];
    let compared = Compared { comparison: &comparison, outcomes: &outcomes, verdicts: &verdicts };
    let kinds = ["text", "json", "md", "svg", "html"].map(|kind| Kind::parse(kind).unwrap());
    kinds.map(|kind| kind.write(&compared))
}

#[test]
fn a_comparison_is_told_with_intervals_verdicts_and_what_they_stand_on() {
    let [text, json, markdown, ..] = reports();
    let head = "a <b> | c: 5m scored after 0s; mean of 10 seeds; 95 % intervals: paired t over 10 \
                seeds; same: within 2 %\n";
    assert!(text.starts_with(head), "{text}");
    let waited = text.lines().find(|line| line.trim_start().starts_with("waited")).unwrap();
    assert!(
        waited.contains("−100 % (−131.26 % to −68.74 %)") && waited.ends_with("better"),
        "{text}"
    );
    assert!(!text.contains("refused"), "what is 0 under both is left out: {text}");
    for line in [
        "  start-up × 0.5: every verdict holds\n",
        "  start-up × 2: waited undecided; the others hold\n",
        "ok      wide: wide pods.max >= 3: 3 against 3, seed 1\n",
        "\nnot modelled:\n  the network",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["schema"], 1);
    assert_eq!(report["basis"]["of"], "seeds");
    let waited = &report["rows"][0];
    assert_eq!((&waited["policy"], &waited["figure"]), (&"wide".into(), &"waited".into()));
    assert_eq!(waited["seeds"].as_array().unwrap().len(), 10);
    assert_eq!(waited["start_up"], serde_json::json!({"0.5": "better", "2": "undecided"}));
    assert_eq!(report["scenarios"][0]["settings"]["wide"]["api"]["scaling"]["min_scale"], 3);
    assert_eq!(report["assertions"][0]["ruling"], "holds");
    assert!(markdown.starts_with("### a \\<b\\> \\| c: beside now\n\n| figure | now | wide |"));
    assert!(markdown.contains("| --- | ---: | ---: | ---: | --- |\n| waited |"), "{markdown}");
    assert!(markdown.contains("start-up × 2: waited undecided"), "{markdown}");
}

#[test]
fn a_comparison_is_drawn_as_intervals_around_no_difference() {
    let [text, .., svg, html] = reports();
    is_well_formed(&svg);
    is_well_formed(&html);
    fetches_nothing(&html);
    assert!(!html.contains("<script") && html.contains("script-src 'none'"), "nothing runs");
    for drawn in [&svg, &html] {
        assert!(drawn.contains("<title id=\"plot-0-title\">wide beside now</title>"), "{drawn}");
        // A row for each figure that the text has, each with its interval, all inside the plot.
        let rows = text.lines().filter(|line| line.ends_with("better") || line.ends_with("worse"));
        let rows = rows.count() + text.matches("  same\n").count();
        assert_eq!(drawn.matches("class=\"dot\"").count(), rows, "{text}");
        assert_eq!(drawn.matches("class=\"range\"").count(), rows);
        let places = drawn.split("cx=\"").skip(1).map(|it| it.split('"').next().unwrap());
        assert!(places.map(|x| x.parse::<f64>().unwrap()).all(|x| (150.0..=640.0).contains(&x)));
        // What is lower by all there is lies at the left end.
        let waited = "<g class=\"good\"><title>wide: waited: −100 % (";
        let waited = drawn.split(waited).nth(1).unwrap();
        assert!(waited.split("</g>").next().unwrap().contains("cx=\"150\""), "{waited}");
    }
    assert!(html.contains("<p class=\"ruling bad\">"), "pod-seconds are worse");
    assert!(html.contains("<p class=\"dim\">start-up × 2: waited undecided; the others hold</p>"));
    assert!(html.contains("<td><code>wide pods.max &gt;= 3</code></td>"), "{html}");
}

#[test]
fn a_difference_is_a_share_of_the_baseline_where_that_is_one() {
    let told = |metric: &str, was: f64, is: f64, interval: Option<(f64, f64)>| {
        told(&Row {
            policy: "other".to_owned(),
            metric: Metric::parse(metric).unwrap(),
            was,
            is,
            interval: interval.map(|(low, high)| Interval { low, high }),
            seeds: vec![Pair { baseline: was, other: is }],
            verdict: Verdict::Undecided,
            with_start_up: Vec::new(),
        })
    };
    assert_eq!(told("waited", 200.0, 210.0, Some((-2.0, 22.0))), "+5 % (−1 % to +11 %)");
    assert_eq!(told("wait.p99", 0.0, 2e9, Some((1e9, 3e9))), "+2 s (+1 s to +3 s)");
    assert_eq!(told("waited", 7.0, 7.0, Some((0.0, 0.0))), "0 % (0 % to 0 %)");
    assert_eq!(told("wait.p99", 1e9, f64::INFINITY, None), "+∞");
    assert_eq!(told("wait.p99", f64::INFINITY, 1e9, None), "−∞");
}
