use std::collections::BTreeMap;
use std::sync::Arc;

use flate2::Crc;
use proptest::prelude::*;

use super::*;

const HEAD: Head = Head { times: Times::Known, resolution_ns: 1_000_000, first_tick: 1_000 };

fn row(function: u32, tick: u64, service_us: u64, requests: u64) -> Row {
    Row { function, tick, service_us, requests }
}

fn written(head: Head, rows: &[Row]) -> Vec<u8> {
    let names = ["shop", "blog", "idle"].map(|name| (name.to_owned(), format!("/{name}")));
    let mut writer = Writer::new(Vec::new(), head, names).unwrap();
    for row in rows {
        writer.row(*row).unwrap();
    }
    writer.finish().unwrap().0
}

fn open(bytes: &[u8]) -> Result<Indexed, Faulty> {
    Indexed::open(Arc::new(bytes.to_vec()), |_| {})
}

fn small() -> Vec<u8> {
    let rows = [
        row(0, 1_000, 250, 1),
        row(0, 1_000, 300, 3),
        row(0, 2_000_000, 70, 2),
        row(1, 1_500, 0, 1),
    ];
    written(HEAD, &rows)
}

#[test]
fn what_is_written_is_read_where_it_is_wanted() {
    let mut seen = 0;
    let bytes = small();
    let trace = Indexed::open(Arc::new(bytes.clone()), |part| seen += part.len()).unwrap();
    assert_eq!((seen, trace.head(), trace.ticks()), (bytes.len(), HEAD, 1_999_001));
    let entries: Vec<_> =
        trace.entries().iter().map(|it| (it.name.as_str(), it.requests)).collect();
    assert_eq!(entries, [("blog", 1), ("shop", 6)], "by name, and none without requests");
    let arrivals = |skip| trace.arrivals(1, skip).collect::<Vec<_>>();
    let services = |skip| trace.services(1, skip).collect::<Vec<_>>();
    assert_eq!(arrivals(0), [(0, 4), (1_999_000, 2)]);
    assert_eq!(services(0), [250, 300, 300, 300, 70, 70]);
    assert_eq!((arrivals(1), services(1)), (vec![(1_999_000, 2)], vec![70, 70]));
    assert_eq!((arrivals(1_999_001), services(1_999_001)), (vec![], vec![]));
    assert_eq!(trace.failure(), None);
}

#[test]
fn the_bytes_are_those_of_version_1() {
    // Made by other means, from the tables of README.
    let known = include_bytes!("../../../../tests/tests/fuzz/corpus/traces/known");
    assert_eq!(small(), known);
}

#[test]
fn counts_alone_take_few_bytes() {
    let head = Head { times: Times::Unknown, ..HEAD };
    let rows: Vec<_> = (0..1_000).map(|tick| row(0, 1_000 + tick, 0, 1_000_000)).collect();
    let bytes = written(head, &rows);
    assert!(bytes.len() < 4_200, "{}: no byte per request", bytes.len());
    assert_eq!(open(&bytes).unwrap().entries()[0].requests, 1_000_000_000);
}

#[test]
fn any_byte_that_is_another_is_noticed() {
    let good = small();
    for at in 0..good.len() {
        for bit in [1, 0x80] {
            let mut bytes = good.clone();
            bytes[at] ^= bit;
            assert!(open(&bytes).is_err(), "byte {at}");
        }
        assert!(open(&good[..at]).is_err(), "cut at {at}");
    }
    let long = [&good[..], b"\n"].concat();
    assert!(matches!(open(&long), Err(Faulty::Cut)));
}

#[test]
fn what_is_no_trace_is_named() {
    let good = small();
    let refused = |bytes: &[u8]| open(bytes).map(|_| ()).unwrap_err().to_string();
    assert!(refused(b"").contains("no trace of dormouse"));
    assert!(refused(b"app,func,end_timestamp,duration\n").contains("no trace of dormouse"));
    assert!(refused(&[0x1f, 0x8b, 8, 0]).contains("unpack it first"));
    assert!(refused(&good[..5]).contains("is cut"));
    assert!(refused(&good[..good.len() - 1]).contains("is cut"));
    let mut other = good.clone();
    other[8] = 2;
    assert_eq!(refused(&other), "has version 2; this dormouse reads version 1");
    let mut damaged = good;
    damaged[40] ^= 4;
    assert!(refused(&damaged).starts_with("is damaged: its checksum is "));
}

/// The same with a checksum that fits: somebody made it so.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let summed = bytes.len() - 12;
    let mut crc = Crc::new();
    crc.update(&bytes[..summed]);
    bytes[summed..summed + 4].copy_from_slice(&crc.sum().to_le_bytes());
    bytes
}

#[test]
fn a_section_that_cannot_be_ends_its_arrivals_and_is_told() {
    let good = small();
    for (at, byte) in [(28, 0xff), (29, 0), (29, 9), (30, 0xff), (34, 9)] {
        let mut bytes = good.clone();
        bytes[at] = byte;
        let trace = open(&sealed(bytes)).unwrap();
        trace.arrivals(1, 0).for_each(drop);
        let told = trace.failure().unwrap_or_default();
        assert!(told.starts_with("byte ") && told.contains(": must be"), "{at}: {told}");
    }
}

#[test]
fn names_are_those_of_kubernetes() {
    for name in ["a", "0", "a-b", &"x".repeat(63)] {
        assert!(is_name(name), "{name}");
    }
    for name in ["", "-a", "a-", "A", "a.b", "a/b", "\u{fc}", &"x".repeat(64)] {
        assert!(!is_name(name), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is written is read again.
    #[test]
    fn rows_are_read_as_written(
        rows in proptest::collection::btree_map(
            (0_u32..3, 0_u64..1 << 40, 0_u64..1 << 30), 1_u64..5, 1..40,
        )
    ) {
        let rows: Vec<_> = rows
            .into_iter()
            .map(|((function, tick, us), requests)| row(function, tick, us, requests))
            .collect();
        let first_tick = rows.iter().map(|row| row.tick).min().unwrap();
        let trace = open(&written(Head { first_tick, ..HEAD }, &rows)).unwrap();
        let mut want: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
        for row in &rows {
            let name = ["shop", "blog", "idle"][row.function as usize];
            let one = (row.tick - first_tick, row.service_us);
            want.entry(name).or_default().extend((0..row.requests).map(|_| one));
        }
        for (place, entry) in trace.entries().iter().enumerate() {
            let ticks = trace
                .arrivals(place, 0)
                .flat_map(|(tick, requests)| (0..requests).map(move |_| tick));
            let got: Vec<_> = ticks.zip(trace.services(place, 0)).collect();
            prop_assert_eq!(&got, &want[entry.name.as_str()]);
            prop_assert_eq!(entry.last, got.last().unwrap().0);
        }
        prop_assert_eq!(trace.entries().len(), want.len());
        prop_assert_eq!(trace.failure(), None);
    }

    /// Whatever stands in it, with a checksum that fits: an answer, no panic, no endless run.
    #[test]
    fn no_trace_is_bad_enough_to_panic(
        places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
    ) {
        let mut bytes = small();
        for (place, byte) in places {
            let at = place.index(bytes.len() - 12);
            bytes[at] = byte;
        }
        if let Ok(trace) = open(&sealed(bytes)) {
            for place in 0..trace.entries().len() {
                trace.arrivals(place, 0).take(100).for_each(drop);
                trace.services(place, 0).take(100).for_each(drop);
            }
        }
    }
}
