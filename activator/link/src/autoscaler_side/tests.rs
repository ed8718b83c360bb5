//! Each turn of the protocol as plain calls.

use dormouse_policy::burst::StartUps;
use dormouse_policy::function::{FunctionName, Probe};

use super::*;

mod schedules;

const SECOND_US: u64 = 1_000_000;

/// The term led in, and the first epoch of its retirements.
const TERM: u64 = 3;
const FIRST: u64 = TERM << 32;

fn name() -> FunctionName {
    FunctionName::new("default", "hello")
}

fn entry(queue_depth: u32) -> Entry {
    Entry {
        function: name(),
        endpoints: Vec::new(),
        pods: Vec::new(),
        probe: Probe::Connect,
        queue_depth,
        container_concurrency: 0,
        queue_timeout_ms: 55_000,
        request_timeout_ms: 300_000,
        pressure: None,
        start_ups: StartUps::default(),
        gaps: Default::default(),
        failure: None,
    }
}

fn hello(reporter: &str) -> Up {
    Up::Hello { version: VERSION, token: "secret".into(), reporter: reporter.into(), boot: 1 }
}

fn prepared(epoch: u64) -> Up {
    Up::Prepared { function: name(), epoch }
}

/// A side with one function and these activators connected, numbered from 0; its outputs so far
/// are taken.
fn side(reporters: &[&str]) -> AutoscalerSide {
    let mut side = AutoscalerSide::new();
    side.lead(TERM);
    side.put(entry(10));
    for (number, reporter) in (0..).zip(reporters) {
        side.hear(Connection(number), hello(reporter), 0);
    }
    side.drain();
    side
}

fn sent_to(outputs: &[Output], connection: u64) -> Vec<Down> {
    let mut sent = Vec::new();
    for output in outputs {
        if let Output::Send(to, frame) = output
            && to.0 == connection
        {
            sent.push(frame.clone());
        }
    }
    sent
}

fn endings(outputs: &[Output]) -> Vec<Ending> {
    let mut endings = Vec::new();
    for output in outputs {
        if let Output::Ended { ending, .. } = output {
            endings.push(*ending);
        }
    }
    endings
}

fn is_patch(outputs: &[Output]) -> bool {
    (outputs.iter()).any(|output| matches!(output, Output::Patch { .. }))
}

fn depth_of(frame: &Down) -> Option<u32> {
    match frame {
        Down::Table { functions, .. } => functions.first().map(|entry| entry.queue_depth),
        _ => None,
    }
}

#[test]
fn hello_is_checked() {
    let with = |version: u32, reporter: &str| Up::Hello {
        version,
        token: String::new(),
        reporter: reporter.into(),
        boot: 1,
    };
    let cases = [
        (with(VERSION, "a"), None),
        (with(VERSION + 1, "a"), None),
        (with(VERSION + 2, "a"), Some(Fault::Version(VERSION + 2))),
        (with(VERSION, ""), Some(Fault::Reporter)),
        (with(VERSION, &"a".repeat(254)), Some(Fault::Reporter)),
        (Up::Wakes { functions: vec![] }, Some(Fault::NoHello)),
    ];
    for (frame, fault) in cases {
        let mut side = side(&[]);
        side.hear(Connection(9), frame.clone(), 0);
        let outputs = side.drain();
        let closed = outputs.iter().find_map(|output| match output {
            Output::Close(_, fault) => Some(fault.clone()),
            _ => None,
        });
        assert_eq!(closed, fault, "{frame:?}");
        let refused = matches!(sent_to(&outputs, 9).first(), Some(Down::Refused { .. }));
        assert_eq!(refused, fault.is_some_and(|fault| fault != Fault::NoHello));
    }
}

#[test]
fn a_second_hello_ends_the_connection_and_a_reconnect_replaces_it() {
    let mut side = side(&["a"]);
    side.hear(Connection(0), hello("a"), 0);
    let outputs = side.drain();
    assert_eq!(outputs[0], Output::Close(Connection(0), Fault::SecondHello));

    let mut side = self::side(&["a"]);
    side.hear(Connection(5), hello("a"), 0);
    let outputs = side.drain();
    assert_eq!(outputs[0], Output::Close(Connection(0), Fault::Replaced));
    assert!(matches!(outputs.last(), Some(Output::Joined { .. })));
}

#[test]
fn the_table_is_sent_whole_once_and_then_as_it_changes() {
    let mut side = side(&[]);
    side.hear(Connection(0), hello("a"), 0);
    let sent = sent_to(&side.drain(), 0);
    assert!(matches!(sent[0], Down::Welcome { .. }));
    assert!(matches!(&sent[1], Down::Table { whole: true, functions, .. } if functions.len() == 1));
    assert_eq!(sent.len(), 2);

    side.put(entry(10));
    assert_eq!(side.drain(), vec![], "an equal entry is not news");
    side.put(entry(11));
    side.remove(&name());
    side.put(entry(12));
    let sent = sent_to(&side.drain(), 0);
    assert!(matches!(&sent[..], [Down::Table { whole: false, removed, .. }] if removed.is_empty()));
    assert_eq!(depth_of(&sent[0]), Some(12));
    side.remove(&name());
    let sent = sent_to(&side.drain(), 0);
    assert!(matches!(&sent[..], [Down::Table { removed, .. }] if removed == &[name()]));
}

#[test]
fn the_queue_is_shared_by_all_that_exist() {
    let mut side = side(&["a"]);
    side.hear(Connection(1), hello("b"), 0);
    side.hear(Connection(2), hello("c"), 0);
    let outputs = side.drain();
    let last = |connection| sent_to(&outputs, connection).last().and_then(depth_of);
    assert_eq!([last(0), last(1), last(2)], [Some(4); 3], "10 ÷ 3, rounded up");

    side.disconnected(Connection(2), 0);
    side.time_passed(LOST_AFTER_US - 1);
    assert_eq!(sent_to(&side.drain(), 0), vec![], "it may still hold its share");
    side.time_passed(LOST_AFTER_US);
    let outputs = side.drain();
    assert!(outputs.contains(&Output::Lost { reporter: "c".into() }));
    assert_eq!(sent_to(&outputs, 0).last().and_then(depth_of), Some(5));
}

#[test]
fn wakes_are_kept_per_reporter_and_dropped_with_it() {
    let mut side = side(&["a", "b"]);
    let wakes = |functions: Vec<FunctionName>| Up::Wakes { functions };
    side.hear(Connection(0), wakes(vec![name()]), 0);
    assert_eq!(side.drain(), vec![Output::Woken(name())]);
    side.hear(Connection(0), wakes(vec![name()]), 0);
    let added = Up::WakesChanged {
        added: vec![name(), FunctionName::new("default", "stranger")],
        removed: vec![],
    };
    side.hear(Connection(1), added, 0);
    assert_eq!(side.drain(), vec![], "said once, and only for the table");
    side.hear(Connection(0), wakes(vec![]), 0);
    assert!(side.wants_waking(&name()), "b still does");
    side.disconnected(Connection(1), 0);
    assert!(!side.wants_waking(&name()));
}

#[test]
fn zero_is_patched_when_all_have_acknowledged() {
    let mut side = side(&["a", "b"]);
    let epoch = side.retire(&name(), Retiring::All, 0).unwrap();
    assert_eq!(epoch, FIRST);
    assert_eq!(side.retire(&name(), Retiring::All, 0), Err(RetireError::Open));
    let outputs = side.drain();
    for connection in [0, 1] {
        assert!(matches!(
            sent_to(&outputs, connection)[..],
            [Down::Prepare { epoch: FIRST, hold_ms: HOLD_MS, pods: Retiring::All, .. }]
        ));
    }
    side.hear(Connection(0), prepared(epoch), 0);
    side.hear(Connection(0), prepared(epoch), 0);
    side.hear(Connection(1), prepared(epoch - 1), 0);
    assert_eq!(side.drain(), vec![]);
    side.hear(Connection(1), prepared(epoch), 0);
    assert!(is_patch(&side.drain()));

    side.recall(&name());
    assert_eq!(side.drain(), vec![], "too late");
    side.time_passed(SECOND_US);
    let renewed = sent_to(&side.drain(), 1);
    assert!(matches!(renewed[..], [Down::Prepare { .. }]), "held while unknown");

    side.put(entry(7));
    side.patched(&name(), epoch, Patched::Placed);
    let outputs = side.drain();
    let sent = sent_to(&outputs, 0);
    assert!(matches!(sent[..], [Down::Table { .. }, Down::Commit { .. }]));
    assert_eq!(endings(&outputs), vec![Ending::Committed]);
    assert_eq!(side.retire(&name(), Retiring::All, 0), Ok(epoch + 1));
}

#[test]
fn a_failed_order_or_a_recall_aborts() {
    let mut side = side(&["a"]);
    let epoch = side.retire(&name(), Retiring::All, 0).unwrap();
    side.hear(Connection(0), prepared(epoch), 0);
    side.patched(&name(), epoch, Patched::Failed);
    let outputs = side.drain();
    assert!(matches!(sent_to(&outputs, 0).last(), Some(Down::Abort { .. })));
    assert_eq!(endings(&outputs), vec![Ending::Aborted(Abort::OrderFailed)]);

    let epoch = side.retire(&name(), Retiring::All, 0).unwrap();
    let recall = |epoch| Up::Recall { function: name(), epoch };
    side.hear(Connection(0), recall(epoch - 1), 0);
    side.drain();
    side.hear(Connection(0), recall(epoch), 0);
    assert_eq!(endings(&side.drain()), vec![Ending::Aborted(Abort::Recalled)]);
    side.hear(Connection(0), prepared(epoch), 0);
    assert_eq!(side.drain(), vec![]);
}

#[test]
fn at_the_deadline_zero_is_aborted_and_named_pods_go() {
    let named = Retiring::Named(vec!["hello-1".into()]);
    for (pods, patches) in [(Retiring::All, false), (named, true)] {
        let mut side = side(&["a"]);
        side.retire(&name(), pods, 0).unwrap();
        side.time_passed(5 * SECOND_US - 1);
        side.drain();
        assert!(side.due_us().unwrap() <= 5 * SECOND_US);
        side.time_passed(5 * SECOND_US);
        let outputs = side.drain();
        assert_eq!(is_patch(&outputs), patches);
        assert_eq!(endings(&outputs).len(), usize::from(!patches));
    }
}

#[test]
fn unknown_is_never_zero() {
    let mut side = side(&[]);
    let refused = side.retire(&name(), Retiring::All, 0);
    assert_eq!(refused, Err(RetireError::NoActivator));

    let mut side = self::side(&["a", "b"]);
    side.disconnected(Connection(1), 0);
    let refused = side.retire(&name(), Retiring::All, 0);
    assert_eq!(refused, Err(RetireError::Away("b".into())));
    let named = Retiring::Named(vec!["hello-1".into()]);
    assert!(side.retire(&name(), named, 0).is_ok());
    side.disconnected(Connection(0), 0);
    side.time_passed(5 * SECOND_US);
    assert_eq!(endings(&side.drain()), vec![Ending::Aborted(Abort::NoActivator)]);
}

#[test]
fn a_new_link_hears_open_retirements_first_and_must_acknowledge_again() {
    let mut side = side(&["a", "b"]);
    let epoch = side.retire(&name(), Retiring::All, 0).unwrap();
    side.hear(Connection(0), prepared(epoch), 0);
    side.disconnected(Connection(0), 0);
    side.hear(Connection(1), prepared(epoch), 0);
    assert!(!is_patch(&side.drain()), "the word of the one that left has lapsed");
    side.hear(Connection(2), hello("a"), 0);
    let sent = sent_to(&side.drain(), 2);
    assert!(matches!(sent[..], [Down::Welcome { .. }, Down::Prepare { .. }, Down::Table { .. }]));
    side.hear(Connection(2), prepared(epoch), 0);
    assert!(is_patch(&side.drain()));
}

#[test]
fn a_function_that_goes_ends_its_retirement() {
    let mut side = side(&["a"]);
    let epoch = side.retire(&name(), Retiring::All, 0).unwrap();
    side.remove(&name());
    assert_eq!(endings(&side.drain()), vec![Ending::Aborted(Abort::FunctionGone)]);
    side.patched(&name(), epoch, Patched::Placed);
    assert_eq!(side.drain(), vec![]);
}

#[test]
fn only_one_that_leaves_is_told_that_it_is_unnamed_and_once_on_a_connection() {
    let announce = |side: &mut AutoscalerSide, standing| {
        let reached_at = vec![IpAddr::from([10, 0, 0, 7])];
        side.hear(Connection(0), Up::Listening { listeners: Vec::new(), reached_at, standing }, 0);
    };
    let mut side = side(&["a"]);
    assert_eq!(side.announced().count(), 0);
    announce(&mut side, Standing::Stays);
    assert_eq!(side.announced().count(), 1);
    side.unnamed("a");
    announce(&mut side, Standing::Leaves);
    side.unnamed("nobody");
    assert!(!sent_to(&side.drain(), 0).contains(&Down::Unnamed));
    side.unnamed("a");
    side.unnamed("a");
    let sent = sent_to(&side.drain(), 0);
    assert_eq!(sent.iter().filter(|frame| **frame == Down::Unnamed).count(), 1);
    side.disconnected(Connection(0), 0);
    assert_eq!(side.announced().count(), 0, "it is away");
}

#[test]
fn who_leads_is_said_on_connect_and_when_it_changes() {
    let mut side = AutoscalerSide::new();
    side.hear(Connection(0), hello("a"), 0);
    let welcome = |leads| Down::Welcome { version: VERSION, leads };
    assert_eq!(sent_to(&side.drain(), 0)[0], welcome(None));
    side.lead(TERM);
    side.hear(Connection(1), hello("b"), 0);
    let outputs = side.drain();
    assert_eq!(sent_to(&outputs, 0), [Down::Leads { term: Some(TERM) }]);
    assert_eq!(sent_to(&outputs, 1)[0], welcome(Some(TERM)));
    side.follow();
    assert_eq!(sent_to(&side.drain(), 1), [Down::Leads { term: None }]);
}

/// What the version after this one and the one before may say, and what it is told.
#[test]
fn a_version_more_or_less_is_understood() {
    let read = |text: &str| serde_json::from_str::<Up>(text).unwrap();
    let mut side = side(&[]);
    let hello = r#"{"frame": "hello", "token": "", "boot": 1, "mood": "good", "#;
    let hello = |rest: &str| read(&format!("{hello}{rest}}}"));
    side.hear(Connection(0), hello(r#""reporter": "older", "version": 1"#), 0);
    side.hear(Connection(1), hello(r#""reporter": "newer", "version": 3"#), 0);
    side.drain();
    side.follow();
    let outputs = side.drain();
    assert_eq!(sent_to(&outputs, 0), [], "a kind that it does not know");
    assert_eq!(sent_to(&outputs, 1), [Down::Leads { term: None }]);
    let unknown = read(r#"{"frame": "sing", "verses": ["a", {"b": 1}]}"#);
    assert_eq!(unknown, Up::Unknown);
    side.hear(Connection(1), unknown.clone(), 0);
    assert_eq!(side.drain(), [], "it speaks a later version");
    side.hear(Connection(0), unknown, 0);
    assert_eq!(side.drain()[0], Output::Close(Connection(0), Fault::Unknown));
}

#[test]
fn one_that_says_goodbye_is_waited_for_no_longer() {
    let mut side = side(&["a", "b"]);
    let epoch = side.retire(&name(), Retiring::All, 0).unwrap();
    side.hear(Connection(0), prepared(epoch), 0);
    side.hear(Connection(1), Up::Goodbye, 0);
    let outputs = side.drain();
    assert!(is_patch(&outputs), "{outputs:?}");
    assert!(outputs.contains(&Output::Gone { reporter: "b".into() }));
    side.disconnected(Connection(1), 0);
    assert_eq!(side.drain(), [], "nothing is left of it");
    assert!(!side.waits_for("b") && side.waits_for("a"));
    side.patched(&name(), epoch, Patched::Placed);
    assert!(side.retire(&name(), Retiring::All, 0).is_ok(), "nobody is away");
}
