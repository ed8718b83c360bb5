use super::*;
use crate::metric::Fate;
use crate::scenario::{Scenario, read};

fn scenario() -> Scenario {
    let text = "schema = 1\nlength = \"1h\"\n[policy.now]\n[policy.next]\n[function.api]\n\
                load = { poisson = \"3/s\" }\nservice = \"20ms\"\n";
    read("x.toml", text).unwrap()
}

fn parse(text: &str) -> Result<Assertion, String> {
    let scenario = scenario();
    let names =
        Names { policies: &scenario.policies, functions: &scenario.functions, end: scenario.end() };
    Assertion::parse(text, &names)
}

/// To the digit.
#[track_caller]
fn is(value: f64, want: f64) {
    assert!(value.total_cmp(&want).is_eq(), "{value} for {want}");
}

#[test]
fn the_grammar() {
    let p99 = parse("api  wait.p99<=500ms").unwrap();
    assert_eq!(p99.text, "api wait.p99 <= 500ms");
    is(p99.value, 5e8);
    assert_eq!(p99.function.as_deref(), Some("api"));
    let refused = parse("refused == 0").unwrap();
    assert_eq!((refused.metric, refused.relation), (Metric::Requests(Fate::Refused), Relation::Is));
    assert_eq!(parse("flaps <= 4 per hour").unwrap().per, Per::Hour);
    let cheaper = parse("mean next pod_seconds <= 0.80 of now after 30m").unwrap();
    assert_eq!((cheaper.policy.as_deref(), cheaper.of.as_deref()), (Some("next"), Some("now")));
    assert_eq!(cheaper.basis, Basis::Mean);
    is(cheaper.value, 0.8);
    assert_eq!(cheaper.after, Some(Time(1_800_000_000_000)));
    is(parse("next pod_seconds <= 80 % of now").unwrap().value, 0.8);
    is(parse("waited.share < 5%").unwrap().value, 0.05);
    is(parse("wait.max < 1.5 s").unwrap().value, 1.5e9);
    is(parse("cost <= 12 USD per hour").unwrap().value, 12.0);
}

#[test]
fn what_is_no_assertion() {
    for (text, want) in [
        ("", "has none of <=, <, >=, >, == and !="),
        ("wait.p99 500ms", "has none of <=, <, >=, >, == and !="),
        ("<= 5", "names no metric"),
        ("refused ==", "has no value"),
        ("web refused == 0", "there is no policy and no function \"web\""),
        ("api api refused == 0", "there is no policy and no function \"api\""),
        ("refuse == 0", "there is no metric \"refuse\"; did you mean refused?"),
        ("wiat.p99 <= 5s", "there is no metric \"wiat.p99\"; did you mean wait.p99?"),
        ("latncy.max <= 5s", "there is no metric \"latncy.max\"; did you mean latency.max?"),
        ("refused == NaN", "\"NaN\": must be a number, not below 0"),
        ("refused == -1", "\"-1\": must be a number, not below 0"),
        ("refused == inf", "\"inf\": must be a number, not below 0"),
        ("refused == 5 ms", "\"ms\" is not a unit of it"),
        (
            "wait.p99 <= 5",
            "\"5\": must be a duration such as 1m30s, at most 8784h; units are h, m, s, ms, us \
             and ns",
        ),
        ("wait.p99 <= 5ms per hour", "wait.p99 is not counted per hour"),
        ("pods.max <= 5 per hour", "pods.max is not counted per hour"),
        ("refused == 0 of then", "there is no policy \"then\""),
        ("refused == 0 after 1h", "after must be before the end of the run, 1h"),
        (
            "refused == 0 per day",
            "\"per\" is not understood; after the value come [unit] [of policy] [per hour] \
             [after T]",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err(), want, "{text}");
    }
}

/// Bounds at a nanosecond of each other are told apart, which buckets could not.
#[test]
fn a_percentile_is_decided_by_counting() {
    let (bounds_ns, waits_ns) = ([499_999_998, 499_999_999, 500_000_000, 500_000_001], 500_000_000);
    let mut score = Score { arrived: 100, ..Score::default() };
    score.wait = crate::world::Times::new(bounds_ns.len());
    for _ in 0..100 {
        score.wait.record(waits_ns, &bounds_ns);
    }
    let judged =
        Judged { price: None, time_ns: 1, wait_bounds_ns: &bounds_ns, latency_bounds_ns: &[] };
    for (text, want) in [
        ("wait.p99 <= 500ms", true),
        ("wait.p99 <= 499999999ns", false),
        ("wait.p99 < 500ms", false),
        ("wait.p99 < 500000001ns", true),
        ("wait.p99 >= 500ms", true),
        ("wait.p99 >= 500000001ns", false),
        ("wait.p99 > 499999999ns", true),
        ("wait.p99 > 500ms", false),
        ("wait.p99 == 500ms", true),
        ("wait.p99 != 500ms", false),
    ] {
        let assertion = parse(text).unwrap();
        // Whatever the buckets say.
        assert_eq!(assertion.holds(0.0, assertion.value, &score, &judged), want, "{text}");
    }
    score.wait.record_infinite();
    score.wait.record_infinite();
    let p99 = parse("wait.p99 <= 500ms").unwrap();
    assert!(!p99.holds(0.0, p99.value, &score, &judged), "what never ended is longest");
}
