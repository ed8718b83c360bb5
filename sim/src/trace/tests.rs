use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const COUNTS: &str =
    "HashOwner,HashApp,HashFunction,Trigger,480,481\no,a,f1,http,3,0\no,a,f2,timer,1,1\n";

const DURATIONS: &str = "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,\
    percentile_Average_0,percentile_Average_1,percentile_Average_25,percentile_Average_50,\
    percentile_Average_75,percentile_Average_99,percentile_Average_100\n\
    o,a,f1,71,288,0.0,1458.0,0,0,1,2,5,1265,1458\n";

const PERIODS: &str = "period,count\n1998-04-30 21:30:00,2\n1998-04-30 21:32:00,5\n";

fn read(text: &[u8]) -> Result<Vec<Row>, Fault> {
    counts("c.csv", text, &Filter::default())
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn counts_are_read_however_they_are_written() {
    let plain = read(COUNTS.as_bytes()).unwrap();
    assert_eq!((plain.len(), &plain[0].per_minute[..], plain[1].line), (2, &[3, 0][..], 3));
    let others = [
        COUNTS.replace('\n', "\r\n"),
        format!("{}\r\n", COUNTS.replace('\n', "\r\n")),
        format!("\u{feff}{COUNTS}"),
        format!("\u{feff}{}", COUNTS.replacen("HashOwner", "\"HashOwner\"", 1)),
        COUNTS.replace("http", "\"http\""),
        COUNTS.trim_end().to_owned(),
    ];
    for text in others {
        assert_eq!(read(text.as_bytes()).unwrap(), plain, "{text}");
    }
    assert_eq!(read(&packed(COUNTS)).unwrap(), plain);
    let quoted = read(COUNTS.replace("o,a,f1", "\"o,p\",a,f1").as_bytes()).unwrap();
    assert_eq!(quoted[0].owner, "o,p");
}

#[test]
fn rows_are_chosen() {
    let of = |filter: &str| {
        let filter = Filter::parse(filter, COUNTS_COLUMNS).unwrap();
        let rows = counts("c.csv", COUNTS.as_bytes(), &filter).unwrap();
        rows.into_iter().map(|row| row.function).collect::<Vec<_>>()
    };
    assert_eq!(of("trigger = http"), ["f1"]);
    assert_eq!(of("trigger != http and owner=o"), ["f2"]);
    assert!(of("app = b").is_empty());
    assert!(
        Filter::parse("kind = http", COUNTS_COLUMNS)
            .unwrap_err()
            .starts_with("there is no column \"kind\"")
    );
    assert!(Filter::parse("trigger", COUNTS_COLUMNS).is_err());
}

#[track_caller]
fn is_wrong(text: &[u8], want: &str) {
    assert_eq!(read(text).unwrap_err().to_string(), want);
}

#[test]
fn what_is_wrong_with_counts_is_named() {
    let count = "must be a whole number from 0 to 100000000";
    for cell in ["NaN", "-1", "1.5", "", "100000001", "99999999999999999999"] {
        let text = COUNTS.replace(",3,0", &format!(",3,{cell}"));
        is_wrong(text.as_bytes(), &format!("c.csv:2: column 481: {cell:?}: {count}"));
    }
    for (from, to, want) in [
        (
            "HashApp",
            "App",
            "c.csv:1: column HashApp: is missing; there are HashOwner, App, \
          HashFunction, Trigger, 480, 481 …",
        ),
        ("480,481", "480,482", "c.csv:1: column 482: must follow the minute before it"),
        ("480,481", "1440,1441", "c.csv:1: column 1441: must be a minute of the day, 1 to 1440"),
        (",480,481", "", "c.csv:1: column 1: is missing: there is no column of a minute"),
        (",1,1\n", ",1\n", "c.csv:3: has 5 columns, the header has 6"),
        ("f2", "f1", "c.csv:3: column HashFunction: stands in line 2 already"),
        ("f2", "F 2", "c.csv:3: column HashFunction: \"F 2\": must be of a-z, 0-9 and -"),
    ] {
        is_wrong(COUNTS.replace(from, to).as_bytes(), want);
    }
    is_wrong(b"", "c.csv: is empty");
    is_wrong(&COUNTS.as_bytes()[..COUNTS.len() - 3], "c.csv:3: has 5 columns, the header has 6");
    let mut bytes = COUNTS.as_bytes().to_vec();
    let at = COUNTS.find("http").unwrap();
    bytes[at] = 0xff;
    is_wrong(&bytes, "c.csv:2: column Trigger: is not UTF-8");
    let gzip = packed(COUNTS);
    let fault = read(&gzip[..gzip.len() - 9]).unwrap_err();
    assert!(fault.rule.starts_with("cannot be read"), "{fault}");
}

/// Whatever a packed file makes of itself: no more of it is read than the longest row, nor told of
/// it than the beginning.
#[test]
fn a_row_has_an_end() {
    let header = COUNTS.lines().next().unwrap();
    let long = |of: &[u8]| of.repeat((3 << 20) / of.len());
    for (before, of) in [("", "\0"), ("", "a,"), ("\n", "7,"), ("\n\"", "o\n"), ("\no,\"", "\"\"")]
    {
        let before = if before.is_empty() { String::new() } else { format!("{header}{before}") };
        let mut read_bytes = 0;
        let input = [before.as_bytes(), &long(of.as_bytes())].concat();
        let counted = Counted { input: &input, read_bytes: &mut read_bytes };
        let fault = counts("c.csv", counted, &Filter::default()).unwrap_err().to_string();
        assert!(fault.ends_with("has no end within 1048576 bytes"), "{fault}");
        assert!(read_bytes < 1_200_000, "{read_bytes}");
    }
    let long = String::from_utf8(vec![b'x'; 100_000]).unwrap();
    for from in ["HashApp", "480", "http", "f1", "3"] {
        let told = read(COUNTS.replacen(from, &long, 1).as_bytes()).unwrap_err().to_string();
        assert!(told.len() < 400 && told.contains("xxx…"), "{from}: {told}");
    }
}

struct Counted<'a> {
    input: &'a [u8],
    read_bytes: &'a mut usize,
}

impl std::io::Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.input.read(buffer)?;
        *self.read_bytes += length;
        Ok(length)
    }
}

#[test]
fn durations_follow_their_percentiles() {
    let read = |text: &str| durations("d.csv", text.as_bytes());
    let known = read(DURATIONS).unwrap();
    assert_eq!((known["f1"].at(0.5), known["f1"].at(0.75)), (2_000_000, 5_000_000));
    for (from, to, want) in [
        (
            ",2,5,",
            ",2,1,",
            "column percentile_Average_75: must not be below the percentile before it",
        ),
        (
            ",2,5,",
            ",2,nan,",
            "column percentile_Average_75: \"nan\": must be milliseconds, from 0 to 86400000",
        ),
        (
            ",2,5,",
            ",2,1e99,",
            "column percentile_Average_75: \"1e99\": must be milliseconds, from 0 to 86400000",
        ),
        (
            ",2,5,",
            ",-2,5,",
            "column percentile_Average_50: \"-2\": must be milliseconds, from 0 to 86400000",
        ),
    ] {
        let fault = read(&DURATIONS.replace(from, to)).unwrap_err();
        assert_eq!(fault.to_string(), format!("d.csv:2: {want}"));
    }
    let row = DURATIONS.lines().nth(1).unwrap();
    let last = DURATIONS.lines().count() + 1;
    let twice = read(&format!("{DURATIONS}{row}\n")).unwrap_err().to_string();
    let want = format!("d.csv:{last}: column HashFunction: stands in line 2 already");
    assert_eq!(twice, want);
}

#[test]
fn periods_are_minutes_and_those_left_out_are_empty() {
    let read = |text: &str| periods("p.csv", text.as_bytes());
    assert_eq!(read(PERIODS).unwrap(), [2, 0, 5]);
    for (from, to, want) in [
        ("21:32", "21:30", "column period: must be later than the period before it"),
        ("21:32", "20:32", "column period: must be later than the period before it"),
        (
            "21:32:00",
            "21:32:30",
            "column period: \"1998-04-30 21:32:30\": must be a full minute such as \
             1998-04-30 21:30:00",
        ),
        (
            "1998-04-30 21:32",
            "9998-04-30 21:32",
            "column period: is more than 527040 minutes after the one before it",
        ),
    ] {
        let fault = read(&PERIODS.replace(from, to)).unwrap_err();
        assert_eq!(fault.to_string(), format!("p.csv:3: {want}"));
    }
}
