use std::num::NonZeroUsize;

use super::*;
use crate::input::Given;
use crate::judge::Ruling;
use crate::plan::{Options, Plan};

const SCENARIO: &str = r#"
schema = 1
name = "a <b> & \"c\""
length = "5m"
seeds = 3
[policy.now]
[policy.wide.set]
"autoscaling.knative.dev/min-scale" = 3
[function.api]
load = { poisson = "2/s" }
service = "50ms"
[score]
assert = [
    "api wait.p99 <= 10s",
    "now wait.max < 1us",
    "wide pod_seconds <= 1 of now",
    "arrived > 100 after 1m",
    "wait.p99 < 1h after 4m59s999ms",
]
"#;

fn reports(threads: usize) -> Vec<String> {
    let threads = NonZeroUsize::new(threads).unwrap();
    let plan = Plan::new("x.toml", SCENARIO, &Options::default(), &Given(&[])).unwrap();
    let cards = plan.run(&plan.jobs(), threads, |_| {}).unwrap();
    let outcome = Outcome { plan: &plan, cards };
    let mut verdicts = outcome.verdicts();
    outcome.find_moments(&mut verdicts, threads).unwrap();
    [Kind::Text, Kind::Json, Kind::Junit, Kind::Csv]
        .map(|kind| kind.write(&outcome, &verdicts))
        .to_vec()
}

#[test]
fn every_report_is_the_same_on_any_number_of_threads() {
    let one = reports(1);
    assert_eq!(reports(2), one);
    assert_eq!(reports(7), one);
}

#[test]
fn verdicts_name_figure_bound_seed_and_moment() {
    let plan = Plan::new("x.toml", SCENARIO, &Options::default(), &Given(&[])).unwrap();
    let cards = plan.run(&plan.jobs(), NonZeroUsize::MIN, |_| {}).unwrap();
    let outcome = Outcome { plan: &plan, cards };
    let mut verdicts = outcome.verdicts();
    outcome.find_moments(&mut verdicts, NonZeroUsize::MIN).unwrap();
    let rulings: Vec<_> = verdicts.iter().map(|verdict| (verdict.policy, verdict.ruling)).collect();
    use Ruling::{Fails, Holds, NoData};
    assert_eq!(
        rulings,
        [
            (0, Holds),
            (1, Holds),
            (0, Fails),
            (1, Fails),
            (0, Holds),
            (1, Holds),
            (0, NoData),
            (1, NoData)
        ]
    );
    let waited = &verdicts[2];
    // The first request finds no pod: it is the first part that is worst.
    let (from, until) = waited.moment.unwrap();
    assert_eq!((from.to_string(), until.to_string()), ("0s".to_owned(), "5s".to_owned()));
    assert!(waited.seed.is_some() && waited.figure.unwrap() > 1e9, "{waited:?}");
    let junit = Kind::Junit.write(&outcome, &verdicts);
    assert!(junit.contains("name=\"a &lt;b&gt; &amp; &quot;c&quot;\" tests=\"8\" failures=\"4\""));
    assert!(junit.contains("classname=\"now\" name=\"now wait.max &lt; 1us\""), "{junit}");
    assert!(junit.contains("against 1 us, seed ") && junit.contains("worst from 0s to 5s"));
    assert!(junit.contains("type=\"no-data\" message=\"no data\""));
    let text = Kind::Text.write(&outcome, &verdicts);
    assert!(text.contains("NO DATA wide: wait.p99 < 1h"), "{text}");
    assert!(text.contains("\nnot modelled:\n  "));
}

#[test]
fn a_report_holds_its_scenario_and_the_hashes_of_its_inputs() {
    let json = &reports(1)[1];
    let report: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(report["scenario"]["function"]["api"]["service"]["constant"], "50ms");
    assert_eq!(report["scenario"]["world"]["activators"], 1);
    assert_eq!(report["settings"]["wide"]["api"]["scaling"]["min_scale"], 3);
    let hash = crate::plan::sha256(SCENARIO.as_bytes());
    assert_eq!(report["inputs"], serde_json::json!([{"name": "x.toml", "sha256": hash}]));
    assert_eq!(report["results"].as_array().unwrap().len(), 6);
}

#[test]
fn a_row_of_csv_for_each_figure_of_each_function() {
    let csv = &reports(1)[3];
    assert!(csv.starts_with("policy,seed,function,metric,value\nnow,1,default/api,arrived,"));
    assert!(csv.lines().all(|line| line.split(',').count() == 5));
}

#[test]
fn the_effective_scenario_is_one() {
    let plan = Plan::new("x.toml", SCENARIO, &Options::default(), &Given(&[])).unwrap();
    let text = effective(&plan);
    assert!(text.contains("# scaling.min_scale = 3\n"), "{text}");
    let again = Plan::new("x.toml", &text, &Options::default(), &Given(&[])).unwrap();
    assert_eq!(again.settings, plan.settings);
    assert_eq!(toml::to_string(&again.scenario).unwrap(), toml::to_string(&plan.scenario).unwrap());
}

#[test]
fn what_comes_first_counts() {
    let options = |set: &[(&str, &str)]| Options {
        set: set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..Options::default()
    };
    let min_scale = |set: &[(&str, &str)]| {
        let plan = Plan::new("x.toml", SCENARIO, &options(set), &Given(&[])).unwrap();
        plan.settings.iter().map(|own| own["api"].scaling.min_scale).collect::<Vec<_>>()
    };
    assert_eq!(min_scale(&[]), [0, 3]);
    // In the older spelling too.
    assert_eq!(min_scale(&[("autoscaling.knative.dev/minScale", "2")]), [2, 2]);
    let wrong = options(&[("autoscaling.knative.dev/min-scale", "many")]);
    let faults = Plan::new("x.toml", SCENARIO, &wrong, &Given(&[])).err().unwrap();
    assert_eq!(faults.0.len(), 2, "{faults}");
}
