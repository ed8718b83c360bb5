//! Verdicts on worlds whose figures are known to the digit.

use super::*;
use crate::input::Given;
use crate::plan::Options;

/// One request a minute, and as many pods as the policy says; nobody waits.
const STEADY: &str = r#"
schema = 1
length = "1h"
[policy.now.set]
"autoscaling.knative.dev/min-scale" = 1
[policy.wide.set]
"autoscaling.knative.dev/min-scale" = 2
"autoscaling.knative.dev/max-scale" = 2
[function.api]
load = { constant = "1/m" }
service = "50ms"
replicas = 2
"#;

const SAMPLE: &str = r#"
schema = 1
length = "3m"
[policy.now.set]
"autoscaling.knative.dev/min-scale" = 1
[function."all/*"]
replicas = 1
[function."all/*".trace]
format = "invitro"
counts = "invocations.csv"
durations = "durations.csv"
place = "even"
"#;

/// One pod that serves one request at a time, and more of them than that every minute.
const SATURATED: &str = r#"
schema = 1
length = "1m"
[policy.now.set]
"autoscaling.knative.dev/min-scale" = 1
"autoscaling.knative.dev/max-scale" = 1
"dormouse.dev/container-concurrency" = 1
[function."all/*"]
replicas = 1
service = "1500ms"
capacity = { slots = 1 }
[function."all/*".trace]
format = "azure-2019"
counts = "invocations.csv"
place = "even"
"#;

/// Policy, ruling, figure and worst seed of each verdict.
type Judged = (usize, Ruling, Option<f64>, Option<u64>);

fn judged(text: &str, seeds: u64, assertions: &[&str], files: &[(&str, &str)]) -> Vec<Judged> {
    let assertions = assertions.iter().map(|it| (*it).to_owned()).collect();
    let options = Options { assertions, ..Options::default() };
    let text = text.replacen("schema = 1\n", &format!("schema = 1\nseeds = {seeds}\n"), 1);
    let plan = Plan::new("x.toml", &text, &options, &Given(files));
    let plan = plan.unwrap_or_else(|faults| panic!("{faults}"));
    let cards = plan.run(&plan.jobs(), NonZeroUsize::MIN, |_| {}).unwrap();
    let verdicts = Outcome { plan: &plan, cards }.verdicts();
    verdicts.into_iter().map(|it| (it.policy, it.ruling, it.figure, it.seed)).collect()
}

/// Each holds, of the only policy and under the only seed.
#[track_caller]
fn hold(text: &str, assertions: &[&str], files: &[(&str, &str)]) {
    let judged = judged(text, 1, assertions, files);
    for (assertion, (_, ruling, figure, _)) in assertions.iter().zip(judged) {
        assert_eq!(ruling, Ruling::Holds, "{assertion}: {figure:?}");
    }
}

/// Thirty requests in the half hour that is asked about.
#[test]
fn what_is_counted_per_hour_is_of_the_time_that_is_scored() {
    let assertions = [
        "now arrived == 60 per hour after 30m",
        "now arrived == 60 per hour",
        "now arrived == 30 after 30m",
        "now arrived < 60 per hour after 30m",
        "now scale_downs == 1 per hour",
    ];
    let (holds, fails) = (Ruling::Holds, Ruling::Fails);
    let rulings = [(holds, 60.0), (holds, 60.0), (holds, 30.0), (fails, 60.0), (holds, 1.0)];
    let want = rulings.map(|(ruling, figure)| (0, ruling, Some(figure), Some(1)));
    assert_eq!(judged(STEADY, 1, &assertions, &[]), want);
}

/// The mean of both seeds holds where the worse of them does not.
#[test]
fn a_mean_is_of_all_seeds_and_otherwise_the_worst_counts() {
    let text = STEADY.replace("constant = \"1/m\"", "poisson = \"1/s\"");
    let each = judged(&text, 2, &["now arrived >= 1", "now arrived <= 1"], &[]);
    let [fewest, most] = [each[0], each[1]];
    let (Some(few), Some(many)) = (fewest.2, most.2) else {
        panic!("{each:?}");
    };
    assert!(few < many && fewest.3 != most.3, "{each:?}");
    let middle = (few + many) / 2.0;
    let asserted = [format!("mean now arrived == {middle}"), format!("now arrived <= {middle}")];
    let want = [(0, Ruling::Holds, Some(middle), None), (0, Ruling::Fails, Some(many), most.3)];
    assert_eq!(judged(&text, 2, &asserted.each_ref().map(String::as_str), &[]), want);
}

#[test]
fn a_mean_beside_another_policys_is_a_share_of_its_mean() {
    let assertions = ["mean wide pod_seconds == 2 of now after 30m", "pod_seconds > 2 of now"];
    let pod_seconds = 2.0 * 1_800.0;
    let judged = judged(STEADY, 2, &assertions, &[]);
    assert_eq!(judged[0], (1, Ruling::Holds, Some(pod_seconds), None));
    // Of itself nothing is asserted, and until the second pod of the other goes it is fewer.
    assert_eq!((judged.len(), judged[1].0, judged[1].1), (2, 1, Ruling::Fails));
}

/// Five requests of 100 ms, and a timer of 50 ms that goes once a minute.
#[test]
fn an_invitro_sample_is_lived_through_to_the_digit() {
    let header = "HashOwner,HashApp,HashFunction";
    let counts = format!("{header},Trigger,1,2,3\no,a,web,http,3,0,2\no,a,nightly,timer,1,1,1\n");
    let columns = "Average,Count,Minimum,Maximum,percentile_Average_0,percentile_Average_1,\
                   percentile_Average_25,percentile_Average_50,percentile_Average_75,\
                   percentile_Average_99,percentile_Average_100";
    let row = |function: &str, ms: &str| format!("o,a,{function}{}\n", format!(",{ms}").repeat(11));
    let durations = format!("{header},{columns}\n{}{}", row("web", "100"), row("nightly", "50"));
    let files = [("invocations.csv", &*counts), ("durations.csv", &*durations)];
    let assertions = [
        "arrived == 8",
        "answered == 8",
        "waited == 0",
        "latency.max == 100ms",
        "latency.mean == 81250us",
        "latency.p50 == 100ms",
        "latency.p1 == 50ms",
        "pod_seconds == 360",
        "arrived == 160 per hour",
    ];
    hold(SAMPLE, &assertions, &files);
    let web = SAMPLE.replace("place = ", "where = \"trigger = http\"\nplace = ");
    let assertions = ["arrived == 5", "latency.mean == 100ms", "arrived == 2 after 2m"];
    hold(&web, &assertions, &files);
}

/// Requests come at 0.5 s, 1.5 s, … and take 1.5 s: the one of number k waits k × 0.5 s, and number
/// 38, at 59 s, is the last that is answered.
#[test]
fn who_waits_for_pods_that_are_all_busy_waits_for_want_of_more() {
    let counts = "HashOwner,HashApp,HashFunction,Trigger,1\no,a,web,http,60\n";
    let assertions = [
        "arrived == 60",
        "answered == 39",
        "open == 21",
        "waited == 38",
        "waited.saturated == 38",
        "waited.at_zero == 0",
        "waited.scaling == 0",
        "wait.mean == 9500ms",
        "wait.max == 19s",
        "latency.max == 20500ms",
    ];
    hold(SATURATED, &assertions, &[("invocations.csv", counts)]);
}
