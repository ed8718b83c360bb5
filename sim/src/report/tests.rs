use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::thread;

use super::*;
use crate::input::Given;
use crate::judge::Ruling;
use crate::metric::Metric;
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
        .map(|kind| kind.write(&outcome, &verdicts, None))
        .to_vec()
}

#[test]
fn every_report_is_the_same_on_any_number_of_threads() {
    let one = reports(1);
    assert_eq!(reports(2), one);
    assert_eq!(reports(7), one);
}

#[test]
fn runs_are_told_of_one_after_the_other() {
    let plan = Plan::new("x.toml", SCENARIO, &Options::default(), &Given(&[])).unwrap();
    let told = Mutex::new(Vec::new());
    let tell = |done| {
        // Whoever is told of an odd one is slow to hear it.
        (0..(done % 2) * 10_000).for_each(|_| thread::yield_now());
        told.lock().unwrap().push(done);
    };
    plan.run(&plan.jobs(), NonZeroUsize::new(6).unwrap(), tell).unwrap();
    assert_eq!(told.into_inner().unwrap(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn every_report_says_what_is_not_modelled_but_a_table_for_programs() {
    let plan = Plan::new("x.toml", SCENARIO, &Options::default(), &Given(&[])).unwrap();
    let cards = plan.run(&plan.jobs(), NonZeroUsize::MIN, |_| {}).unwrap();
    let outcome = Outcome { plan: &plan, cards };
    let verdicts = outcome.verdicts();
    let courses = outcome.courses(NonZeroUsize::MIN).unwrap();
    for name in ["text", "json", "junit", "md", "prom", "svg", "html"] {
        let report = Kind::parse(name).unwrap().write(&outcome, &verdicts, Some(&courses));
        for left_out in crate::world::NOT_MODELLED {
            assert!(report.contains(left_out), "{name}: {left_out}");
        }
    }
}

#[test]
fn the_schema_says_what_each_figure_means() {
    let schema: serde_json::Value = serde_json::from_str(JSON_SCHEMA).unwrap();
    let said = schema["$defs"]["figures"]["properties"].as_object().unwrap();
    let mut names: Vec<_> = Metric::shown().iter().map(ToString::to_string).collect();
    names.sort();
    assert_eq!(said.keys().cloned().collect::<Vec<_>>(), names);
    assert!(said.values().all(|figure| figure["description"].is_string()));
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
    let junit = Kind::Junit.write(&outcome, &verdicts, None);
    assert!(junit.contains("name=\"a &lt;b&gt; &amp; &quot;c&quot;\" tests=\"8\" failures=\"4\""));
    assert!(junit.contains("classname=\"now\" name=\"now wait.max &lt; 1us\""), "{junit}");
    assert!(junit.contains("against 1 us, seed ") && junit.contains("worst from 0s to 5s"));
    assert!(junit.contains("type=\"no-data\" message=\"no data\""));
    let text = Kind::Text.write(&outcome, &verdicts, None);
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

/// Names that would break out of wherever they are put.
const HOSTILE: &str = r#"
schema = 1
name = "</script><script>alert(1)</script> \"'& <!-- ]]> \\ | `x` *y*"
warmup = "1m"
length = "4m"
[policy.now]
[policy.least]
kind = "floor"
[function."a"]
load = { on-off = "5/s", on = "20s", off = "100s" }
service = "50ms"
start_up = { boot = "2s" }
[score]
assert = ["a wait.p99 <= 10s"]
"#;

fn drawn(text: &str, kind: &str) -> String {
    let plan = Plan::new("x.toml", text, &Options::default(), &Given(&[])).unwrap();
    let cards = plan.run(&plan.jobs(), NonZeroUsize::MIN, |_| {}).unwrap();
    let outcome = Outcome { plan: &plan, cards };
    let courses = outcome.courses(NonZeroUsize::MIN).unwrap();
    Kind::parse(kind).unwrap().write(&outcome, &outcome.verdicts(), Some(&courses))
}

#[test]
fn a_page_fetches_nothing_and_runs_nothing_but_its_own_script() {
    let page = drawn(HOSTILE, "html");
    assert_eq!(page.matches("<script").count(), 2, "the data and the script");
    assert_eq!(page.matches("</script>").count(), 2);
    assert_eq!(page.matches("alert(1)").count(), page.matches("&gt;alert(1)&lt;").count());
    fetches_nothing(&page);
}

/// A page's own policy forbids it, and there is nothing that would be fetched.
#[track_caller]
pub(crate) fn fetches_nothing(page: &str) {
    let policy = page.split("Content-Security-Policy\" content=\"").nth(1).unwrap();
    let policy = policy.split('"').next().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    for fetched in [" src=", "url(http", "@import", "href=\"http", " style=", " onload=", " on"] {
        let of_markup = page.split("<style>").next().unwrap().to_owned()
            + page.split("</style>").nth(1).unwrap().split("<script").next().unwrap();
        let tags = of_markup.split('<').filter_map(|tag| tag.split('>').next());
        for tag in tags {
            assert!(!tag.contains(fetched), "{fetched} in <{tag}>");
        }
    }
}

/// Every element that is opened is closed, in order; attributes are quoted.
#[track_caller]
pub(crate) fn is_well_formed(text: &str) {
    let alone = ["meta", "link", "input"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some((_, tag)) = rest.split_once('<') {
        let (tag, after) = tag.split_once('>').unwrap();
        rest = after;
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        match tag.as_bytes()[0] {
            b'!' | b'?' => {}
            b'/' => assert_eq!(open.pop(), Some(name), "in {tag}"),
            _ if tag.ends_with('/') || alone.contains(&name) => {}
            _ => open.push(name),
        }
        if ["script", "style"].contains(&name) && !tag.starts_with('/') {
            rest = &rest[rest.find(&format!("</{name}>")).unwrap()..];
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
}

#[test]
fn pages_and_charts_are_well_formed_whatever_names_are_in_them() {
    for text in [SCENARIO, HOSTILE] {
        is_well_formed(&drawn(text, "html"));
        is_well_formed(&drawn(text, "svg"));
    }
}

#[test]
fn a_page_has_a_chart_for_each_way_and_says_the_same_in_words() {
    let page = drawn(SCENARIO, "html");
    assert_eq!(page.matches("role=\"img\"").count(), 1, "one function");
    assert_eq!(page.matches("class=\"ready-line\"").count(), 3, "its legend, and two policies");
    assert_eq!(page.matches(": the chart as a table</summary>").count(), 2);
    assert!(page.contains("<title id=\"chart-0-title\">default/api</title>"));
    for left_out in crate::world::NOT_MODELLED {
        assert!(page.contains(left_out));
    }
    assert!(page.contains("<dt>seeds</dt><dd>1 to 3</dd>"));
    assert!(page.contains("<dt>policies</dt><dd>now, wide</dd>"));
    let data = page.split("id=\"courses\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    let ways = data["charts"][0].as_array().unwrap();
    assert_eq!((ways.len(), data["times"].as_array().unwrap().len()), (2, 600));
    // What a decision wants is what is desired in its bin.
    let said = ways[0]["said"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it[1][0][1].as_str().unwrap().starts_with("wake: scale to 1; "));
    let bin = said.unwrap()[0].as_u64().unwrap();
    let mut desired = ways[0]["desired"].as_array().unwrap().iter();
    let desired = desired.rfind(|change| change[0].as_u64().unwrap() <= bin).unwrap();
    assert!(desired[1].as_str().unwrap().ends_with('1'), "{desired}");
}

#[test]
fn what_is_worked_out_has_figures_and_no_chart() {
    let floor = SCENARIO.replace("[policy.now]", "[policy.now]\nkind = \"floor\"");
    let page = drawn(&floor, "html");
    assert_eq!(page.matches(": the chart as a table</summary>").count(), 1);
    let only = HOSTILE.replace("[policy.now]\n", "");
    assert_eq!(drawn(&only, "html").matches("role=\"img\"").count(), 0);
    is_well_formed(&drawn(&only, "svg"));
}

fn written(text: &str, kind: &str) -> String {
    let plan = Plan::new("x.toml", text, &Options::default(), &Given(&[])).unwrap();
    let cards = plan.run(&plan.jobs(), NonZeroUsize::MIN, |_| {}).unwrap();
    let outcome = Outcome { plan: &plan, cards };
    Kind::parse(kind).unwrap().write(&outcome, &outcome.verdicts(), None)
}

#[test]
fn a_summary_is_tables_whatever_names_are_in_it() {
    let summary = written(SCENARIO, "md");
    assert!(summary.starts_with("### a \\<b\\> \\& \"c\"\n\n5m scored after 0s, "), "{summary}");
    assert!(summary.contains("| figure | now | wide |\n| --- | ---: | ---: |\n| arrived | "));
    assert!(summary.contains("| FAILS | now | now wait.max \\< 1us | "), "{summary}");
    assert!(summary.contains("| NO DATA | wide | "));
    let hostile = written(HOSTILE, "md");
    assert!(hostile.starts_with("### \\</script\\>\\<script\\>"), "{hostile}");
    assert!(hostile.contains("\\| \\`x\\` \\*y\\*"), "{hostile}");
}

#[test]
fn figures_for_prometheus_are_families_of_distinct_series_in_base_units() {
    let text = written(SCENARIO, "prom");
    let mut series = std::collections::BTreeSet::new();
    let (mut family, mut helped) = ("", "");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(words.ends_with('.'), "{line}");
            helped = name;
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            family = kind.strip_suffix(" gauge").unwrap();
            assert_eq!(family, helped);
        } else if !line.starts_with("# Not modelled: ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(name == family || name.starts_with(&format!("{family}{{policy=\"")), "{line}");
            assert!(series.insert(name), "twice: {line}");
        }
    }
    let least = "dormouse_sim_most{policy=\"wide\",function=\"api\",of=\"pods\"} ";
    let least = text.lines().find_map(|line| line.strip_prefix(least)).unwrap();
    assert!(least.parse::<f64>().unwrap() >= 3.0);
    let wait = "dormouse_sim_wait_seconds{policy=\"now\",function=\"api\",stat=\"max\"} ";
    let wait = text.lines().find_map(|line| line.strip_prefix(wait)).unwrap();
    let wait: f64 = wait.parse().unwrap();
    assert!(wait > 0.0 && wait < 100.0, "{wait} s");
    let fails = "dormouse_sim_assertion_holds{policy=\"now\",assertion=\"now wait.max < 1us\"} 0\n";
    assert!(text.contains(fails), "{text}");
}

/// Eight of twenty have no answer yet, for there is one pod and it takes one at a time.
#[test]
fn times_without_those_of_many_requests_say_so() {
    let overloaded = "schema = 1\nlength = \"20s\"\n[policy.now.set]\n\
         \"autoscaling.knative.dev/max-scale\" = 1\n\"dormouse.dev/container-concurrency\" = 1\n\
         [function.api]\nload = { constant = \"1/s\" }\nservice = \"1500ms\"\nreplicas = 1\n";
    let caveat = "up to 40 % of the requests were open at the end; no time above is theirs";
    for kind in ["text", "md", "html"] {
        assert!(written(overloaded, kind).contains(caveat), "{kind}");
        assert!(!written(SCENARIO, kind).contains("open at the end"), "{kind}");
    }
}
