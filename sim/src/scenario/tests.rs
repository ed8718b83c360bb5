use super::*;

const SHAPE: &str = r#"
schema = 1
name   = "checkout on a Tuesday"
seeds  = 10
start  = 2026-03-03T08:00:00Z
warmup = "1h"
length = "4h"
[policy.now]
manifest = "deploy/shop.yaml"
[policy.cheaper]
manifest = "deploy/shop.yaml"
[policy.cheaper.set]
"autoscaling.knative.dev/window" = "30s"
"dormouse.dev/idle-cost" = 300
api = { "dormouse.dev/queue-depth" = "50" }
[policy.kept]
kind = { fixed-idle = "10m" }
[policy.built-in]
kind = { hpa = { tolerance = 0.2, stabilisation = "1m" } }
[policy.usual]
kind = "hpa"
[policy.learnt]
kind = "hybrid-histogram"
[function.api]
load     = [
    { diurnal = "20..120/s", period = "24h" },
    { flash = "900/s", at = "2h", rise = "10s", hold = "5m" },
]
service  = { lognormal = ["40ms", "900ms"] }
capacity = { share = 2 }
start_up = { image = "0s", boot = { lognormal = ["1.2s", "6s"] }, stop = "1s" }
[function."fleet/*"]
[function."fleet/*".trace]
format = "azure-2019"
counts = "inv.csv.gz"
durations = "dur.csv.gz"
where = "trigger = http"
place = "uniform"
[world]
activators = 3
report = { every = "1s", delay = "5ms", loss = 0.001 }
api    = { latency = "10ms", rate = "20/s", burst = 30 }
nodes  = { count = 10, pods = 110, schedule = "80ms" }
fault  = [
    { at = "2h30m", kill = "activator", for = "8s" },
    { at = "2h", kill = "leader", for = "6s" },
]
[score]
waited_over = "20ms"
price  = { pod_hour = 0.05, currency = "USD" }
assert = [
    "api wait.p99 <= 500ms",
    "refused == 0",
    "flaps <= 4 per hour",
    "cheaper pod_seconds <= 0.80 of now",
]
tolerance = { wait = "5%" }
"#;

#[track_caller]
fn faults(text: &str) -> Vec<String> {
    let faults = read("x.toml", text).unwrap_err();
    faults.0.iter().map(ToString::to_string).collect()
}

#[test]
fn the_shape_of_the_documentation_is_read() {
    let scenario = read("x.toml", SHAPE).unwrap();
    assert_eq!((scenario.seeds, scenario.end()), (10, Time(18_000_000_000_000)));
    let names: Vec<_> = scenario.policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["now", "cheaper", "kept", "built-in", "usual", "learnt"]);
    assert_eq!(scenario.policies[2].kind, Kind::FixedIdle(Time(600_000_000_000)));
    let built_in = Hpa { tolerance: 0.2, stabilisation: Time(60_000_000_000), ..Hpa::default() };
    let kinds: Vec<_> = scenario.policies[3..].iter().map(|policy| policy.kind).collect();
    assert_eq!(kinds, [Kind::Hpa(built_in), Kind::Hpa(Hpa::default()), Kind::HybridHistogram]);
    let set = &scenario.policies[1].set;
    assert_eq!((set[1].value.as_str(), set[2].function.as_deref()), ("300", Some("api")));
    let Traffic::Load(loads) = &scenario.functions[0].traffic else { panic!() };
    assert_eq!(loads.len(), 2);
    assert_eq!(scenario.functions[1].each_row(), Some("fleet"));
    assert_eq!(scenario.world.fault[0].kill, Kill::Leader, "by time");
    assert_eq!(scenario.score.assertions.len(), 4);
}

#[test]
fn what_was_read_is_written_as_a_scenario_that_means_the_same() {
    for text in [SHAPE, &minimal("")] {
        let scenario = read("x.toml", text).unwrap();
        let written = toml::to_string(&scenario).unwrap();
        let again = read("x.toml", &written).unwrap_or_else(|faults| panic!("{faults}\n{written}"));
        assert_eq!(toml::to_string(&again).unwrap(), written);
    }
}

#[test]
fn crlf_and_a_byte_order_mark_do_not_matter() {
    let text = format!("\u{feff}{}", SHAPE.replace('\n', "\r\n"));
    assert_eq!(read("x.toml", &text).unwrap().functions[0].service, {
        read("x.toml", SHAPE).unwrap().functions[0].service
    });
}

fn minimal(more: &str) -> String {
    let more = if more.is_empty() { String::new() } else { format!("{more}\n") };
    format!(
        "schema = 1\nlength = \"1m\"\n{more}[function.api]\nload = {{ poisson = \"3/s\" }}\n\
         service = \"20ms\"\n"
    )
}

#[test]
fn little_is_needed() {
    let scenario = read("x.toml", &minimal("")).unwrap();
    assert_eq!((scenario.seeds, scenario.policies.len()), (1, 1));
    assert_eq!(scenario.world, World::default());
}

#[test]
fn all_faults_are_named_at_once_each_with_its_place() {
    let text = "schema = 2\nlenght = \"1h\"\n[function.api]\nload = { poison = \"3/s\" }\n\
                service = { lognormal = [\"9ms\", \"1ms\"] }\n[world]\nactivators = 0\n";
    assert_eq!(
        faults(text),
        [
            "x.toml:1:1: length is missing",
            "x.toml:1:10: schema: 2: must be a whole number from 1 to 1",
            "x.toml:2:1: lenght: there is no such key; did you mean length?",
            "x.toml:4:1: function.api.load: must have exactly one of constant, poisson, on-off, \
             diurnal, step, ramp, flash",
            "x.toml:4:10: function.api.load.poison: there is no such key; did you mean poisson?",
            "x.toml:5:25: function.api.service.lognormal: must be a median above 0s and a 99th \
             percentile not below it",
            "x.toml:7:14: world.activators: 0: must be a whole number from 1 to 256",
        ]
    );
}

/// Each text breaks a rule, which is told in these words.
#[track_caller]
fn are_refused(cases: &[(String, &str)]) {
    for (text, want) in cases {
        let faults = faults(text);
        let want = format!("x.toml:{want}");
        assert!(faults.iter().any(|fault| fault.starts_with(&want)), "{want}\n{faults:#?}");
    }
}

#[test]
fn each_rule_has_its_words() {
    let function = |rest: &str| format!("schema = 1\nlength = \"1m\"\n[function.api]\n{rest}\n");
    let with = |rest: &str| minimal("") + rest;
    are_refused(&[
        ("length = \"1m\n".to_owned(), "1:13: invalid basic string"),
        (with("[function]\na = 1\n[function]"), "8:2: duplicate key"),
        (minimal("seeds = -1"), "3:9: seeds: -1: must be a whole number from 1 to 100000"),
        (minimal("seeds = 1.5"), "3:9: seeds: 1.5: must be a whole number from 1 to 100000"),
        (minimal("start = \"now\""), "3:9: start: \"now\": must be a date and time such as"),
        (minimal("warmup = \"-1s\""), "3:10: warmup: \"-1s\": must not be negative"),
        (minimal("warmup = 60"), "3:10: warmup: 60: must be a text in quotes"),
        (minimal("warmup = \"99999h\""), "3:10: warmup: \"99999h\": must be at most 8784h"),
        (minimal("").replace("1m", "0s"), "2:10: length: must be above 0s"),
        (function("service = \"1ms\""), "3:11: function.api: must have exactly one of load, trace"),
        (function("load = []\nservice = \"1ms\""), "4:8: function.api.load: must hold a load"),
        (function("load = { poisson = \"1/s\" }"), "3:11: function.api: service is missing"),
        (
            function("load = { poisson = \"NaN/s\" }\nservice = \"1ms\""),
            "4:20: function.api.load.poisson: \"NaN/s\": must be a rate such as 120/s",
        ),
        (
            function("load = { flash = \"1/s\", at = \"1m\" }\nservice = \"1ms\""),
            "4:30: function.api.load.at: must be before the end of the run, 1m",
        ),
        (
            function("load = { on-off = \"1/s\", on = \"0s\", off = \"1s\" }\nservice = \"1ms\""),
            "4:31: function.api.load.on: must be at least 10ms",
        ),
        (
            function("load = { diurnal = \"9..1/s\", period = \"24h\" }\nservice = \"1ms\""),
            "4:20: function.api.load.diurnal: must be a low rate and a high one",
        ),
        (with("capacity = { slots = 0 }"), "6:22: function.api.capacity.slots: 0: must be a whole"),
        (
            with("[function.\"all/*\"]\nload = { poisson = \"1/s\" }\nservice = \"1ms\""),
            "6:11: function.\"all/*\": a key that ends in /* needs a trace",
        ),
        (
            with(
                "[function.web]\nservice = \"1s\"\n[function.web.trace]\n\
                 format = \"azure-2019\"\ncounts = \"a.csv\"",
            ),
            "6:11: function.web: a trace of many functions needs a key that ends in /*",
        ),
        (
            with("[function.Web]\nload = { poisson = \"1/s\" }\nservice = \"1ms\""),
            "6:11: function.Web: must be named as Kubernetes names things",
        ),
    ]);
}

#[test]
fn each_rule_of_the_world_of_policies_and_scores_has_its_words() {
    let with = |rest: &str| minimal("") + rest;
    are_refused(&[
        (
            with("[policy.now]\nkind = \"hpas\""),
            "7:8: policy.now.kind: \"hpas\": must be \"kpa\", \"hpa\", \
             { hpa = { window = \"15s\" } }, \"hybrid-histogram\", \"floor\" or \
             { fixed-idle = \"10m\" }",
        ),
        (
            with("[world]\nreport = { loss = nan }"),
            "7:19: world.report.loss: nan: must be a number",
        ),
        (
            with("[world]\nreport = { loss = 1.5 }"),
            "7:19: world.report.loss: 1.5: must be a number",
        ),
        (with("[world]\napi = { burst = 3 }"), "7:1: world.api: burst needs a rate beside it"),
        (
            with("[world]\nfault = [{ at = \"1s\", kill = \"node\", for = \"1s\" }]"),
            "7:30: world.fault[0].kill: needs world.nodes",
        ),
        (
            with(
                "[world]\n\
                 fault = [{ at = \"1s\", kill = \"activator\", number = 1, for = \"1s\" }]",
            ),
            "7:52: world.fault[0].number: must be below world.activators (1)",
        ),
        (
            with(
                "[world]\nnodes = { count = 2, pods = 9 }\n\
                 fault = [{ at = \"1s\", kill = \"node\", number = 2, for = \"1s\" }]",
            ),
            "8:47: world.fault[0].number: must be below world.nodes.count (2)",
        ),
        (
            with("[world]\nfault = [{ at = \"1s\", kill = \"pod\" }]"),
            "7:10: world.fault[0]: function is missing",
        ),
        (with("[policy.api]\n"), "6:9: policy.api: a function has this name"),
        (
            with("[policy.now]\nset = { apis = { a = \"b\" } }"),
            "7:9: policy.now.set.apis: there is no function of this name",
        ),
        (
            with("[policy.now]\nset = { \"autoscaling.knative.de/window\" = \"30s\" }"),
            "7:43: policy.now.set.\"autoscaling.knative.de/window\": there is no such annotation; \
             did you mean autoscaling.knative.dev/window?",
        ),
        (
            with("[policy.now.set.api]\nwindow = \"30s\""),
            "7:10: policy.now.set.api.window: there is no such annotation; did you mean \
             autoscaling.knative.dev/window?",
        ),
        (
            with("[score]\nassert = [\"wait.p99 < 1\"]"),
            "7:11: score.assert[0]: \"wait.p99 < 1\": \"1\": must be a duration",
        ),
        (
            with("[score]\ntolerance = { waits = \"5%\" }"),
            "7:23: score.tolerance.waits: there is no such metric",
        ),
    ]);
}

#[test]
fn complaints_are_short_and_each_is_made_once() {
    for opened in ["[", "{a=", "[\n"] {
        let faults = faults(&format!("a = {}", opened.repeat(20_000)));
        assert_eq!(faults.len(), 2, "{faults:#?}");
    }
    let long = "x".repeat(100_000);
    for text in [
        minimal("").replace("20ms", &long),
        minimal(&format!("seeds = {}", "7".repeat(long.len()))),
        minimal(&format!("{long} = 1")),
        minimal(&format!("{long}.{long} = \"\"")),
    ] {
        let told = faults(&text).join("\n");
        assert!(told.len() < 1_000 && told.contains('…'), "{told}");
    }
}

#[test]
fn no_text_makes_it_panic() {
    for end in 0..SHAPE.len() {
        drop(read("x.toml", &SHAPE[..end]));
    }
    for (from, to) in [("\"", ""), ("[", ""), ("=", ""), ("1", "-9999999999999999999"), ("h", "é")]
    {
        drop(read("x.toml", &SHAPE.replace(from, to)));
    }
}
