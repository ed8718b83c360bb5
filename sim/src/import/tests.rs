//! Fixtures of each format, what is refused, and sorting outside of memory.

use std::cell::Cell;
use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::trace::indexed::{Entry, Indexed};

/// Temporary files in memory, counted.
#[derive(Default)]
struct Memory {
    files: Cell<usize>,
}

impl Spill for Vec<u8> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend(bytes);
        Ok(())
    }
}

impl Scratch for Memory {
    fn file(&self) -> io::Result<Box<dyn Spill>> {
        self.files.set(self.files.get() + 1);
        Ok(Box::new(Vec::new()))
    }
}

fn options(format: Format) -> Options {
    Options {
        format,
        moment: None,
        resolution_ns: None,
        disorder_ns: None,
        time_unit: Unit::Seconds,
        duration_unit: Unit::Seconds,
        zone_s: None,
        fields: BTreeMap::new(),
        rules: Vec::new(),
        memory_bytes: MEMORY_BYTES_MIN,
    }
}

fn with_fields(format: Format, fields: &[(&str, &str)]) -> Options {
    let fields = fields.iter().map(|&(name, field)| (name.to_owned(), field.to_owned()));
    Options { fields: fields.collect(), ..options(format) }
}

fn imported(options: Options, text: &[u8]) -> Result<(Indexed, Imported), ImportError> {
    let scratch = Memory::default();
    let mut import = Import::new(options, &scratch);
    import.read("in", text)?;
    let (bytes, imported) = import.finish(Vec::new())?;
    Ok((Indexed::open(Arc::new(bytes), |_| {}).unwrap(), imported))
}

/// Function by function: name, requests, and the first and the last arrival in milliseconds.
fn entries(trace: &Indexed) -> Vec<(&str, u64, u64, u64)> {
    let head = trace.head();
    let ms = |tick: u64| (head.first_tick + tick) * head.resolution_ns / 1_000_000;
    let entry = |entry: &'_ Entry| (entry.requests, ms(entry.first), ms(entry.last));
    let entries = trace.entries().iter().map(|it| (it.name.as_str(), entry(it)));
    entries.map(|(name, (requests, first, last))| (name, requests, first, last)).collect()
}

/// Service times of a function, in milliseconds.
fn services(trace: &Indexed, name: &str) -> Vec<u64> {
    let place = trace.entries().iter().position(|entry| entry.name == name).unwrap();
    trace.services(place, 0).map(|us| us / 1_000).collect()
}

const MORNING_MS: u64 = 1_772_524_800_000;

#[test]
fn azure_2021_has_ends_in_seconds_and_no_order() {
    let text = include_bytes!("../../testdata/import/azure-2021.csv");
    let (trace, imported) = imported(options(Format::Azure2021), text).unwrap();
    assert_eq!((imported.summary.requests, imported.resolution_ns), (9, 1_000_000));
    let known: Vec<_> = entries(&trace)
        .into_iter()
        .map(|(name, requests, first, last)| (name.split_at(5).0, requests, first, last))
        .collect();
    assert_eq!(
        known,
        [("a1-f1", 5, 500, 120_000), ("a1-f2", 2, 3, 117_000), ("a2-f1", 2, 12_250, 60_000)]
    );
    assert_eq!(trace.entries()[0].source, "a1/f1");
    assert_eq!(services(&trace, &trace.entries()[0].name), [1500, 78, 1000, 1000, 0]);
    for text in [
        String::from_utf8_lossy(text).replace('\n', "\r\n"),
        format!("\u{feff}{}", String::from_utf8_lossy(text)),
        String::from_utf8_lossy(text).replace("a2,f1,12", "\"a2\",\"f1\",12"),
    ] {
        let (again, _) =
            super::tests::imported(options(Format::Azure2021), text.as_bytes()).unwrap();
        assert_eq!(entries(&again), entries(&trace), "{text}");
    }
}

#[test]
fn common_logs_are_one_function_or_ruled_by_path() {
    let text = include_bytes!("../../testdata/import/common.log");
    let (trace, whole) = imported(options(Format::AccessLog), text).unwrap();
    assert_eq!((whole.times, whole.resolution_ns), (Times::Unknown, SECOND_NS));
    assert_eq!(entries(&trace), [("all", 10, MORNING_MS, MORNING_MS + 150_000)]);
    let rules = ["/api/*=api", "/health=", "*=rest"].map(|rule| rule.parse().unwrap());
    let ruled = Options { rules: rules.to_vec(), ..options(Format::AccessLog) };
    let (trace, ruled) = imported(ruled, text).unwrap();
    assert_eq!(ruled.left_out, 2);
    assert_eq!(
        entries(&trace),
        [
            ("api", 5, MORNING_MS, MORNING_MS + 150_000),
            ("rest", 3, MORNING_MS, MORNING_MS + 60_000)
        ]
    );
}

#[test]
fn combined_logs_may_have_hosts_and_times() {
    let text = include_bytes!("../../testdata/import/combined.log");
    let fields = [("function", "first"), ("duration", "last")];
    let (trace, imported) = imported(with_fields(Format::AccessLog, &fields), text).unwrap();
    assert_eq!(imported.times, Times::Known);
    let known = entries(&trace);
    assert!(known[0].0.starts_with("blog-example-443-"), "{known:?}");
    // Ended at 08:00:11 after 10.5 s; the resolution is a second.
    assert_eq!((known[0].1, known[0].2, known[0].3), (2, MORNING_MS, MORNING_MS + 17_000));
    assert_eq!((known[1].1, known[1].2, known[1].3), (8, MORNING_MS + 9_000, MORNING_MS + 16_000));
    assert_eq!(services(&trace, known[0].0), [10_500, 3_000]);
    let begins = Options { moment: Some(Moment::Start), ..with_fields(Format::AccessLog, &fields) };
    let (trace, _) = super::tests::imported(begins, text).unwrap();
    assert_eq!(entries(&trace)[0].2, MORNING_MS + 11_000);
}

#[test]
fn json_lines_have_fields_by_name() {
    let text = include_bytes!("../../testdata/import/json-lines.jsonl");
    let fields = [("time", "ts"), ("duration", "dur"), ("function", "http.host")];
    let (trace, imported) = imported(with_fields(Format::JsonLines, &fields), text).unwrap();
    assert_eq!((imported.summary.requests, imported.summary.functions), (10, 4));
    let known = entries(&trace);
    assert_eq!(known[0], ("7", 1, MORNING_MS + 7_000, MORNING_MS + 7_000));
    assert_eq!(known[1], ("blog", 2, MORNING_MS + 1_000, MORNING_MS + 1_000));
    assert_eq!(known[2], ("shop", 6, MORNING_MS, MORNING_MS + 9_500));
    assert!(known[3].0.starts_with("shop-example-"));
    assert_eq!(services(&trace, "shop"), [250, 1, 0, 2, 1, 500]);
}

#[test]
fn an_answer_of_prometheus_has_counts_by_the_step() {
    let text = include_bytes!("../../testdata/import/prometheus.json");
    let fields = [("function", "service")];
    let (trace, imported) = imported(with_fields(Format::Prometheus, &fields), text).unwrap();
    assert_eq!((imported.resolution_ns, imported.times), (60 * SECOND_NS, Times::Unknown));
    assert_eq!(
        entries(&trace),
        [
            ("blog", 7, MORNING_MS + 120_000, MORNING_MS + 120_000),
            ("shop", 9, MORNING_MS - 60_000, MORNING_MS + 180_000)
        ]
    );
    let by_step: Vec<_> = trace.arrivals(1, 0).collect();
    assert_eq!(by_step, [(0, 3), (1, 1), (2, 2), (4, 3)], "what rounding leaves goes on");
}

#[test]
fn a_record_is_load_again() {
    let text = include_bytes!("../../testdata/import/record.jsonl");
    let (trace, imported) = imported(options(Format::Record), text).unwrap();
    assert_eq!((imported.resolution_ns, imported.times), (SECOND_NS, Times::Known));
    // Two activators begin a hundred each second, from their first report at 1.3 s to 6.3 s.
    assert_eq!(entries(&trace), [("hello", 1_000, 1_700_000_001_000, 1_700_000_006_000)]);
    let by_second: Vec<_> = trace.arrivals(0, 0).map(|(_, requests)| requests).collect();
    assert_eq!(by_second, [132, 200, 200, 200, 200, 68]);
}

#[track_caller]
fn is_refused(options: Options, text: &str, want: &str) {
    let refused = imported(options, text.as_bytes()).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains(want), "{refused}");
}

#[test]
fn what_is_wrong_with_azure_2021_is_named() {
    let header = "app,func,end_timestamp,duration\n";
    for (row, want) in [
        ("a,f,1", "in:2: row: has 3 columns, the header has 4"),
        ("a,f,1,-1", "in:2: column duration: \"-1\": must be seconds, 0 or more"),
        ("a,f,NaN,1", "in:2: column end_timestamp: \"NaN\": must be seconds"),
        ("a,f,1,2", "in:2: duration: must not be longer than the time since"),
        ("a,f,1e9,90000", "in:2: duration: must be at most a day"),
        ("a,f,99999999999999999999,1", "in:2: column end_timestamp"),
    ] {
        is_refused(options(Format::Azure2021), &format!("{header}{row}\n"), want);
    }
    is_refused(options(Format::Azure2021), "app,func,end,duration\n", "in:1: column end_timestamp");
    is_refused(options(Format::Azure2021), "", "in: row: is empty");
    is_refused(options(Format::Azure2021), header, "there is not one request in it");
}

#[test]
fn what_is_wrong_with_a_line_is_named() {
    let log = |text: &str, want: &str| is_refused(options(Format::AccessLog), text, want);
    let good = "h - - [03/Mar/2026:08:00:00 +0000] \"GET / HTTP/1.1\" 200 1\n";
    log("hello", "in:1: line: \"hello\": must be: host ident user [time]");
    log(&format!("{good}{}", &good[..40]), "in:2: line: ");
    log(&good.replace("Mar", "Mrz"), "in:1: time: \"03/Mrz/2026:08:00:00 +0000\": must be a time");
    log(&good.replace(" +0000", ""), "in:1: time: ");
    log(&good.replace(" 200 ", " ok "), "in:1: status: \"ok\": must be three digits");
    let fields = [("duration", "last")];
    is_refused(
        with_fields(Format::AccessLog, &fields),
        good.replace(" 1\n", " -\n").as_str(),
        "in:1: duration: \"-\"",
    );
    let fields = [("duration", "third")];
    is_refused(with_fields(Format::AccessLog, &fields), good, "in: --field duration: must be last");

    let json = |text: &str, want: &str| {
        is_refused(with_fields(Format::JsonLines, &[("duration", "d")]), text, want);
    };
    json("{\"time\":1,\"d\":1}\n[]", "in:2: line: must be a JSON object");
    json("{\"d\":1}", "in:1: time: is missing");
    json("{\"time\":1}", "in:1: d: is missing");
    json("{\"time\":-1,\"d\":1}", "in:1: time: -1: must be a time from 1970 on");
    json("{\"time\":\"2026-03-03T08:00:00\",\"d\":1}", "states no offset from UTC; --zone");
    json("{\"time\":1,\"d\":\"1s\"}", "in:1: d: \"1s\": must be a number, 0 or more");
    json("{\"time\":1,\"d\":NaN}", "in:1: line: must be a JSON object");
    is_refused(options(Format::JsonLines), "\u{1f}\u{8b}", "in:1: line: ");
}

#[test]
fn what_is_wrong_with_an_answer_is_named() {
    let answer = |text: &str, want: &str| {
        is_refused(with_fields(Format::Prometheus, &[("function", "job")]), text, want);
    };
    // Each point is in a line of its own, from the third on.
    let of = |values: &[&str]| {
        let metric =
            format!("{{\"metric\":{{\"job\":\"a\"}},\"values\":[\n{}]}}", values.join(",\n"));
        let data = format!("{{\"resultType\":\"matrix\",\n\"result\":[{metric}]}}");
        format!("{{\"status\":\"success\",\"data\":{data}}}")
    };
    answer(
        "{\"status\":\"error\",\"error\":\"too long\"}",
        "in:1: status: \"error\", not success: too long",
    );
    answer("{\n\"status\":", "in:2: status: EOF while parsing a value");
    answer("{\"status\":\"success\"}\n{", "in:2: answer: trailing characters");
    answer("\u{feff}\n{\"status\":7}", "in:2: status: invalid type: integer");
    answer(
        &of(&["[0,\"1\"]", "[1,\n\"NaN\"]"]),
        "in:5: data.result[0].values[1][1]: \"NaN\": must be a count from 0",
    );
    answer(&of(&["[0,\"-1\"]"]), "in:3: data.result[0].values[0][1]: \"-1\": must be a count");
    answer(&of(&["[-5,\"1\"]"]), "in:3: data.result[0].values[0][0]: -5: must be seconds since");
    answer(&of(&["[60]"]), "in:3: data.result[0].values[0]: invalid length 1");
    answer(&of(&["[60,\"1\"]"]), "in:1: data.result: has no two points");
    let points = ["[60,\"1\"]", "[120,\"1\"]", "[160,\"1\"]"];
    let rule = "must be some steps of 40000 ms after data.result[0].values[0]";
    answer(&of(&points), &format!("in:4: data.result[0].values[1]: {rule}"));
    let back = [points[0], points[1], "[90,\"1\"]"];
    answer(&of(&back), "in:5: data.result[0].values[2]: must be some steps of 60000 ms after");
    answer(&of(&points).replace("job", "jab"), "in:3: data.result[0].metric.job: is missing");
    answer(&of(&points).replace("values", "value"), "in:5: data.result[0]: missing field `values`");
    let vector = "data.resultType: \"vector\": must be matrix";
    answer(&of(&[]).replace("matrix", "vector"), vector);
}

#[test]
fn what_is_wrong_with_a_record_is_named() {
    let text = String::from_utf8_lossy(include_bytes!("../../testdata/import/record.jsonl"));
    let record = |text: &str, want: &str| is_refused(options(Format::Record), text, want);
    record(&text.replace("\"version\":1", "\"version\":9"), "in:1: header.version: must be 1");
    record(text.split_once('\n').unwrap().1, "in:1: header: must be the first line");
    record(&text.replace("\"heard_us\":2", "\"heard_us\":-2"), "in:6: decided.heard[0].heard_us");
    record("", "header: must be the first line");
    record("GET / HTTP/1.1\n", "in:1: header: must be the first line of a record of decisions");
    // A last line without an end is left out.
    let (trace, _) = imported(options(Format::Record), &text.as_bytes()[..text.len() - 9]).unwrap();
    assert_eq!(trace.entries()[0].requests, 800);
}

#[test]
fn a_line_too_far_from_its_order_is_refused_with_the_line_it_should_precede() {
    let line =
        |hour: u32| format!("h - - [03/Mar/2026:{hour:02}:00:00 +0000] \"GET / HTTP/1.1\" 200 1\n");
    let text = [line(8), line(10), line(9), line(8)].concat();
    is_refused(
        options(Format::AccessLog),
        &text,
        "in:4: time: is 7200 s before line 2; a line may lie 3600 s before",
    );
    let more = Options { disorder_ns: Some(7_200 * SECOND_NS), ..options(Format::AccessLog) };
    let (trace, _) = imported(more, text.as_bytes()).unwrap();
    assert_eq!(entries(&trace)[0].1, 4);
}

#[test]
fn what_does_not_fit_memory_is_merged_and_comes_out_the_same() {
    let mut text = String::from("app,func,end_timestamp,duration\n");
    let mut number = 1_u64;
    // Several times what fits memory: more runs than are merged at once.
    for _ in 0..150_000 {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (app, at, took) = (number >> 62, number >> 40 & 0xf_ffff, number >> 50 & 0x3f);
        writeln!(text, "a{app},f,{},0.0{took:02}", at + 1).unwrap();
    }
    let import = |memory_bytes: usize| {
        let scratch = Memory::default();
        let mut import = Import::new(options(Format::Azure2021), &scratch);
        import.sorter = Sorter::bounded(&scratch, memory_bytes / size_of::<Row>(), 3);
        import.read("in", text.as_bytes()).unwrap();
        let (bytes, imported) = import.finish(Vec::new()).unwrap();
        assert_eq!(imported.summary.requests, 150_000);
        (bytes, scratch.files.get())
    };
    let (whole, none) = import(64 << 20);
    assert_eq!(none, 0);
    let (merged, files) = import(1 << 18);
    assert!(files >= 3, "{files}: runs were merged more than once");
    assert!(whole == merged);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever rows in whatever order: they come back sorted, equal ones as one.
    #[test]
    fn rows_come_back_sorted(
        rows in proptest::collection::vec((0_u32..3, 0_u64..9, 0_u64..3), 0..200)
    ) {
        let scratch = Memory::default();
        let mut sorter = Sorter::bounded(&scratch, 7, 2);
        let mut want = BTreeMap::new();
        for (function, tick, service_us) in rows {
            sorter.push(Row { function, tick, service_us, requests: 1 }).unwrap();
            *want.entry((function, tick, service_us)).or_insert(0) += 1;
        }
        let mut got = BTreeMap::new();
        let mut last = None;
        sorter.finish(|row| {
            assert!(last.is_none_or(|last| last <= row));
            last = Some(row);
            *got.entry((row.function, row.tick, row.service_us)).or_insert(0) += row.requests;
            Ok(())
        }).unwrap();
        prop_assert_eq!(got, want);
    }
}
