use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const CASE: &str = r#"{"id":7,"load":"step","policy":{"metric":"rps","target":0.7,"total":1,
"target_burst_capacity":-1,"max_scale_up_rate":10,"max_scale_down_rate":2,"panic_threshold":2,
"stable_window_s":60,"panic_window_s":6,"scale_down_delay_s":0,"activation_scale":1,
"aggregation":"weighted-exponential"},"initial_ready":3,"steps":[
{"t":0,"samples":[[0,2.5],[0.25,1]],"ready":3,"want":{"valid":false}},
{"t":2.5,"samples":[],"ready":3,"want":{"valid":true,"stable":1,"panic":2,"desired":3,
"excess_burst_capacity":-1,"panicking":true}}]}"#;

/// The case with one thing in it replaced, as a line.
#[track_caller]
fn case(what: &str, by: &str) -> String {
    let line = CASE.replace('\n', "");
    assert!(what.is_empty() || line.contains(what), "{what}");
    line.replacen(what, by, usize::from(!what.is_empty())) + "\n"
}

fn read(file: &str, bytes: &[u8]) -> Vec<Result<Case, String>> {
    match Recording::new(file, bytes) {
        Ok(cases) => cases.map(|case| case.map_err(|error| error.to_string())).collect(),
        Err(error) => vec![Err(error.to_string())],
    }
}

/// The error that the last line gives, after as many good cases.
#[track_caller]
fn error(file: &str, bytes: &[u8], good: usize) -> String {
    let mut cases = read(file, bytes);
    let last = cases.pop().unwrap();
    assert_eq!(cases.iter().filter(|case| case.is_ok()).count(), good);
    assert_eq!(cases.len(), good);
    last.unwrap_err()
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_line_is_a_case() {
    let text = format!("{}\n  \r\n{}", case("", ""), case("", "").trim_end());
    let cases = read("a.jsonl", text.as_bytes());
    assert_eq!(cases.len(), 2);
    let case = cases[0].clone().unwrap();
    let times: Vec<_> = case.steps.iter().map(|step| step.t.to_string()).collect();
    assert_eq!((case.id, case.initial_ready, times), (7, 3, vec!["0".into(), "2.5".into()]));
    assert_eq!(case.steps[0].samples[1].0.us(), 250_000);
    assert_eq!(case.steps[0].want.load, None);
    assert_eq!(case.steps[1].want.load.unwrap().excess_burst_capacity, -1);
    assert_eq!(cases[1], Ok(case));
    assert!(read("empty.jsonl", b"").is_empty());
}

#[test]
fn gzip_is_unpacked_whatever_its_name_is() {
    let text = case("", "");
    let plain = read("a.jsonl", text.as_bytes());
    assert_eq!(read("a.jsonl.gz", &packed(&text)), plain);
    assert_eq!(read("-", &packed(&text)), plain);
    // As `cat a.gz b.gz` makes it.
    let both = [packed(&text), packed(&text)].concat();
    assert_eq!(read("a.jsonl.gz", &both).len(), 2);
}

#[test]
fn fields_that_are_not_known_are_skipped() {
    let more = case(r#""id":7"#, r#""id":7,"note":{"by":["us"]}"#);
    assert_eq!(read("a", more.as_bytes()), read("a", case("", "").as_bytes()));
}

#[test]
fn a_whole_number_may_be_written_with_a_point() {
    let mut pointed = case("", "");
    for number in ["id\":7", "_ready\":3", "window_s\":60", "capacity\":-1", "desired\":3"] {
        let at = pointed.rfind(number).unwrap() + number.len();
        pointed.insert_str(at, ".0");
    }
    let pointed = pointed.replace(r#""ready":3,"#, r#""ready":3e0,"replicas":3.0,"#);
    let plain = case("", "").replace(r#""ready":3,"#, r#""ready":3,"replicas":3,"#);
    assert_eq!(read("a", pointed.as_bytes()), read("a", plain.as_bytes()));
    assert_eq!(read("a", plain.as_bytes())[0].clone().unwrap().steps[1].replicas, Some(3));
}

/// What stands in a case, what breaks a rule in its place, and how that is named.
const BROKEN: &[(&str, &str, &str)] = &[
    (r#""id":7,"#, "", "id: is missing"),
    (r#""ready":3,"want":{"valid":f"#, r#""want":{"valid":f"#, "steps[0].ready: is missing"),
    (r#""panic":2,"#, "", "steps[1].want.panic: is missing"),
    (r#""valid":false"#, "", "steps[0].want.valid: is missing"),
    (
        r#""desired":3"#,
        r#""desired":"3""#,
        "steps[1].want.desired: invalid type: string \"3\", expected u32",
    ),
    (
        r#""initial_ready":3"#,
        r#""initial_ready":-1"#,
        "initial_ready: invalid value: integer `-1`, expected u32",
    ),
    (
        r#""panic_window_s":6"#,
        r#""panic_window_s":6.5"#,
        "policy.panic_window_s: invalid value: floating point `6.5`, expected u32",
    ),
    (
        r#""id":7"#,
        r#""id":9007199254740994.0"#,
        "id: invalid value: floating point `9007199254740994.0`, expected u64",
    ),
    (
        r#""initial_ready":3"#,
        r#""initial_ready":4294967296.0"#,
        "initial_ready: invalid value: floating point `4294967296.0`, expected u32",
    ),
    (
        r#""metric":"rps""#,
        r#""metric":"qps""#,
        "policy.metric: unknown variant `qps`, expected `concurrency` or `rps`",
    ),
    (r#""target":0.7"#, r#""target":0"#, "policy.target: must be a number above 0"),
    (
        r#"capacity":-1,"max"#,
        r#"capacity":-2,"max"#,
        "policy.target_burst_capacity: must be -1 or a number of at least 0",
    ),
    (r#"[0,2.5]"#, "[0,-1]", "steps[0].samples[0][1]: must be a number of at least 0"),
    (
        r#"[0,2.5]"#,
        "[-1,1]",
        "steps[0].samples[0][0]: must be a number of seconds from 0 to 9007199254",
    ),
    (r#""t":2.5"#, r#""t":1e10"#, "steps[1].t: must be a number of seconds from 0 to 9007199254"),
    (r#""t":2.5"#, r#""t":0"#, "steps[1].t: must be later than 0, the step before"),
    (
        r#""stable_window_s":60"#,
        r#""stable_window_s":4294967295"#,
        "policy.stable_window_s: must be from 1 to 86400",
    ),
    (
        r#""panic_window_s":6"#,
        r#""panic_window_s":61"#,
        "policy.panic_window_s: must be from 1 to stable_window_s",
    ),
    (
        r#""scale_down_delay_s":0"#,
        r#""scale_down_delay_s":86401"#,
        "policy.scale_down_delay_s: must be at most 86400",
    ),
];

#[test]
fn what_breaks_a_rule_is_named_by_file_line_and_field() {
    for (what, by, want) in BROKEN {
        let text = case("", "") + &case(what, by) + &case("", "");
        assert_eq!(error("dir/a.jsonl", text.as_bytes(), 1), format!("dir/a.jsonl:2: {want}"));
    }
}

#[test]
fn numbers_that_are_none_are_named_too() {
    for number in ["NaN", "1e999", "-Infinity", "0x10", "--1"] {
        let text = case(r#""stable":1"#, &format!(r#""stable":{number}"#));
        let message = error("a", text.as_bytes(), 0);
        assert!(message.starts_with("a:1: steps[1].want"), "{message}");
    }
    for number in ["\"NaN\"", "null", "[1]", "true"] {
        let text = case(r#""total":1"#, &format!(r#""total":{number}"#));
        let message = error("a", text.as_bytes(), 0);
        assert!(message.starts_with("a:1: policy.total: invalid type"), "{message}");
    }
}

#[test]
fn a_line_that_is_no_case_is_named() {
    for (text, want) in [
        ("7\n", "a:1: case: invalid type: integer `7`, expected struct Case"),
        ("{\n", "a:1: case: EOF while parsing an object (column 1)"),
        ("nonsense\n", "a:1: case: expected ident (column 2)"),
    ] {
        assert_eq!(error("a", text.as_bytes(), 0), want);
    }
    let twice = case("", "").trim_end().repeat(2);
    let message = error("a", twice.as_bytes(), 0);
    assert!(message.starts_with("a:1: case: trailing characters"), "{message}");
    let cut = &case("", "")[..500];
    let message = error("a", cut.as_bytes(), 0);
    assert!(message.starts_with("a:1: steps[1].want"), "{message}");
}

#[test]
fn bytes_that_cannot_be_had_or_are_no_text_are_named() {
    let mut text = case("", "").into_bytes();
    text.extend(b"{\"id\":\xff}");
    assert_eq!(error("a", &text, 1), "a:2: is not UTF-8, from byte 6 on");
    let whole = packed(&(case("", "") + &case("", "")));
    let message = error("a.gz", &whole[..whole.len() - 4], 2);
    assert!(message.starts_with("a.gz:3: cannot be read: "), "{message}");
    for cut in [0, 1, 5, 30] {
        let message = error("a.gz", &whole[..cut], 0);
        assert!(message.starts_with("a.gz:1: cannot be read: "), "{message}");
    }
    let mut damaged = whole.clone();
    let at = damaged.len() - 6;
    damaged[at] ^= 1;
    let message = error("a.gz", &damaged, 2);
    assert!(message.starts_with("a.gz:3: cannot be read: "), "{message}");
}

#[test]
fn a_line_without_end_is_not_held_in_memory() {
    let endless = io::repeat(b' ').take(1 << 40);
    let error = Recording::new("a", endless).unwrap().next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "a:1: is longer than 67108864 bytes");
}
