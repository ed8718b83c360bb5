//! Every turn of the activator's side.

use super::*;
use dormouse_policy::burst::StartUps;
use dormouse_policy::function::Probe;
use dormouse_policy::idle::Gaps;

fn name(name: &str) -> FunctionName {
    FunctionName::new("default", name)
}

fn side() -> ActivatorSide {
    let identity = Identity { reporter: "local".into(), boot: 7 };
    ActivatorSide::new(identity, vec![IpAddr::from([10, 0, 0, 7])])
}

const A: Connection = Connection(1);
const B: Connection = Connection(2);

fn connect(side: &mut ActivatorSide, connection: Connection) -> Vec<Action> {
    side.connect(connection, "token".into())
}

fn welcome(leads: Option<u64>) -> Down {
    Down::Welcome { version: VERSION, leads }
}

fn entry(function: &str, queue_depth: u32) -> Entry {
    Entry {
        function: name(function),
        endpoints: Vec::new(),
        pods: Vec::new(),
        probe: Probe::Connect,
        queue_depth,
        container_concurrency: 0,
        queue_timeout_ms: 1_000,
        request_timeout_ms: 1_000,
        pressure: None,
        start_ups: StartUps::default(),
        gaps: Default::default(),
        failure: None,
    }
}

fn table(whole: bool, functions: Vec<Entry>) -> Down {
    Down::Table { whole, functions, removed: Vec::new() }
}

fn prepare(epoch: u64) -> Down {
    Down::Prepare { function: name("a"), epoch, pods: Retiring::All, hold_ms: 5_000 }
}

fn reading(started: u64, in_flight: u64) -> Reading {
    Reading { function: name("a"), area_us: 0, started, in_flight, held: 0, refused: 0 }
}

fn reported(actions: &[Action]) -> usize {
    let frames = actions.iter().map(|action| match action {
        Action::Send(_, Up::Report { readings, .. }) => readings.len(),
        _ => 0,
    });
    frames.sum()
}

#[test]
fn a_whole_table_replaces_the_last_and_a_change_adds_to_it() {
    let mut side = side();
    drop(connect(&mut side, A));
    let both = vec![entry("a", 1), entry("b", 1)];
    assert_eq!(side.receive(A, table(true, both.clone()), 0).len(), 2);
    assert_eq!(side.receive(A, table(true, both), 0), [], "nothing changed");
    let changed = side.receive(A, table(false, vec![entry("b", 2)]), 0);
    assert_eq!(changed, [Action::Update(name("b"))]);
    let whole = side.receive(A, table(true, vec![entry("b", 2)]), 0);
    assert_eq!(whole, [Action::Remove(name("a"))]);
    drop(side.disconnect(A));
    assert_eq!(side.table().len(), 1, "the table outlives the connection");
}

#[test]
fn wakes_are_said_at_once_each_second_and_whole_on_connect() {
    let mut side = side();
    assert_eq!(side.wake(&name("a"), Wanted::Yes), [], "nobody to tell yet");
    let wakes = |functions: Vec<FunctionName>| Action::Send(A, Up::Wakes { functions });
    assert!(connect(&mut side, A).contains(&wakes(vec![name("a")])));
    assert_eq!(side.wake(&name("a"), Wanted::Yes), [], "said already");
    let delta = Up::WakesChanged { added: vec![name("b")], removed: vec![] };
    assert_eq!(side.wake(&name("b"), Wanted::Yes), [Action::Send(A, delta)]);
    assert!(side.tick(1, &[]).contains(&wakes(vec![name("a"), name("b")])));
    assert!(!side.wake(&name("a"), Wanted::No).is_empty());
    assert!(!side.wake(&name("b"), Wanted::No).is_empty());
    assert!(side.tick(2, &[]).contains(&wakes(vec![])), "its end is said once");
    assert!(!side.tick(3, &[]).contains(&wakes(vec![])));
}

#[test]
fn it_has_news_until_a_tick_said_them_and_while_a_retirement_may_run_out() {
    let known = |us| {
        let mut start_ups = StartUps::default();
        start_ups.record(us);
        table(true, vec![Entry { start_ups, ..entry("a", 1) }])
    };
    let mut side = side();
    drop(connect(&mut side, A));
    assert!(!side.has_news());
    let mut check = |act: &dyn Fn(&mut ActivatorSide) -> Vec<Action>, ticks: u32| {
        drop(act(&mut side));
        for _ in 0..ticks {
            assert!(side.has_news());
            drop(side.tick(1, &[]));
        }
        assert!(!side.has_news());
    };
    check(&|side| side.receive(A, known(7), 0), 1);
    check(
        &|side| {
            drop(side.wake(&name("a"), Wanted::Yes));
            assert!(side.has_news());
            drop(side.tick(1, &[]));
            side.wake(&name("a"), Wanted::No)
        },
        1,
    );
    check(
        &|side| {
            drop(side.receive(A, prepare(3), 0));
            assert!(side.has_news());
            drop(side.tick(4_999_999, &[]));
            assert!(side.has_news());
            side.receive(A, Down::Commit { function: name("a"), epoch: 3 }, 0)
        },
        0,
    );
}

#[test]
fn a_report_names_what_moved_and_after_a_connect_all_that_ever_did() {
    let mut side = side();
    assert_eq!(reported(&connect(&mut side, A)), 0);
    assert_eq!(reported(&side.tick(1, &[reading(0, 0)])), 0, "never began a request");
    assert_eq!(reported(&side.tick(2, &[reading(1, 1)])), 1);
    assert_eq!(reported(&side.tick(3, &[reading(1, 1)])), 1, "in flight all along");
    assert_eq!(reported(&side.tick(4, &[reading(1, 0)])), 1, "ended");
    assert_eq!(reported(&side.tick(5, &[reading(1, 0)])), 0, "at rest");
    assert_eq!(reported(&side.tick(6, &[reading(2, 0)])), 1, "began and ended in between");
    drop(side.disconnect(A));
    assert_eq!(side.tick(7, &[reading(2, 0)]), [], "nobody to tell");
    assert!(!connect(&mut side, A).is_empty());
    assert_eq!(reported(&side.tick(8, &[reading(2, 0)])), 1, "all again");
}

/// What a report says was learnt, as start-up times in µs.
fn learnt(actions: &[Action]) -> Vec<(FunctionName, u64)> {
    let frames = actions.iter().filter_map(|action| match action {
        Action::Send(_, Up::Report { learnt, .. }) => Some(learnt),
        _ => None,
    });
    let each = frames.flatten();
    each.map(|it| (it.function.clone(), it.start_ups.quantile_us().unwrap())).collect()
}

#[test]
fn what_was_learnt_is_kept_for_an_autoscaler_that_knows_less() {
    let start_ups = |times_us: &[u64]| {
        let mut start_ups = StartUps::default();
        times_us.iter().for_each(|&time_us| start_ups.record(time_us));
        start_ups
    };
    let told = |times_us| {
        let known = Entry { start_ups: start_ups(times_us), ..entry("a", 1) };
        table(true, vec![known, entry("b", 1)])
    };
    let mut side = side();
    drop(connect(&mut side, A));
    assert_eq!(learnt(&side.tick(1, &[])), []);
    drop(side.receive(A, told(&[7, 8]), 2));
    assert_eq!(learnt(&side.tick(3, &[])), [(name("a"), 8)], "to whoever hears reports");
    assert_eq!(learnt(&side.tick(4, &[])), [], "once");
    drop(side.disconnect(A));
    drop(connect(&mut side, A));
    assert_eq!(side.receive(A, told(&[]), 5), [], "one that begins anew changes nothing");
    assert_eq!(learnt(&side.tick(6, &[])), [(name("a"), 8)]);
    drop(side.receive(A, told(&[9]), 7));
    assert_eq!(learnt(&side.tick(8, &[])), [], "one start-up is less than two");
    assert_eq!(side.receive(A, told(&[9, 9, 9]), 9), [Action::Update(name("a"))]);
    assert_eq!(learnt(&side.tick(10, &[])), [(name("a"), 9)]);
    drop(side.receive(A, table(true, vec![]), 11));
    assert_eq!(learnt(&side.tick(12, &[])), []);
}

#[test]
fn idle_times_are_kept_as_start_ups_are() {
    let gaps = |times_us: &[u64]| {
        let mut gaps = Gaps::default();
        times_us.iter().for_each(|&time_us| gaps.record(time_us));
        gaps
    };
    let told = |times_us| table(true, vec![Entry { gaps: gaps(times_us), ..entry("a", 1) }]);
    let seen = |actions: Vec<Action>| {
        let frames = actions.into_iter().filter_map(|action| match action {
            Action::Send(_, Up::Report { learnt, .. }) => Some(learnt),
            _ => None,
        });
        frames.flatten().map(|learnt| learnt.gaps.seen()).collect::<Vec<_>>()
    };
    let mut side = side();
    drop(connect(&mut side, A));
    drop(side.receive(A, told(&[7, 8]), 1));
    assert_eq!(seen(side.tick(2, &[])), [2]);
    assert_eq!(seen(side.tick(3, &[])), [0; 0], "once");
    drop(side.disconnect(A));
    drop(connect(&mut side, A));
    assert_eq!(side.receive(A, told(&[]), 4), [], "one that begins anew changes nothing");
    assert_eq!(seen(side.tick(5, &[])), [2]);
}

#[test]
fn a_retirement_is_acknowledged_when_empty_and_ends_as_told() {
    let mut side = side();
    assert!(!connect(&mut side, A).is_empty());
    assert_eq!(side.receive(A, prepare(3), 0), [Action::Retire(name("a"))]);
    let prepared = Up::Prepared { function: name("a"), epoch: 3 };
    assert_eq!(side.emptied(&name("a")), [Action::Send(A, prepared.clone())]);
    let renewed = side.receive(A, prepare(3), 4_000_000);
    assert_eq!(renewed, [Action::Send(A, prepared)], "said again when renewed");
    assert!(!side.tick(8_999_999, &[]).contains(&Action::Doubt(name("a"))));
    assert_eq!(side.receive(A, Down::Commit { function: name("a"), epoch: 2 }, 0), [], "older");
    let commit = Down::Commit { function: name("a"), epoch: 3 };
    assert_eq!(side.receive(A, commit, 0), [Action::Retired(name("a"))]);
    assert_eq!(side.retirement(&name("a")), None);
}

#[test]
fn an_arrival_recalls_a_retirement_once_and_an_abort_resumes() {
    let mut side = side();
    assert!(!connect(&mut side, A).is_empty());
    assert_eq!(side.receive(A, prepare(3), 0).len(), 1);
    let recall = Action::Send(A, Up::Recall { function: name("a"), epoch: 3 });
    assert!(side.wake(&name("a"), Wanted::Yes).contains(&recall));
    assert!(!side.wake(&name("a"), Wanted::Yes).contains(&recall));
    let abort = Down::Abort { function: name("a"), epoch: 3 };
    assert_eq!(side.receive(A, abort, 0), [Action::Resume(name("a"))]);
    assert!(
        side.receive(A, prepare(4), 0)
            .contains(&Action::Send(A, Up::Recall { function: name("a"), epoch: 4 }))
    );
}

#[test]
fn a_retirement_nobody_renews_runs_out_in_doubt() {
    let mut side = side();
    assert!(!connect(&mut side, A).is_empty());
    assert_eq!(side.receive(A, prepare(3), 0).len(), 1);
    drop(side.disconnect(A));
    assert_eq!(side.tick(4_999_999, &[]), []);
    assert_eq!(side.tick(5_000_000, &[]), [Action::Doubt(name("a"))]);
    assert_eq!(side.emptied(&name("a")), [], "too late to acknowledge");
}

#[test]
fn pressure_is_said_once_per_threshold_and_not_more_often_than_ten_times_a_second() {
    const LOOK_US: u64 = PRESSURE_US_MIN;
    let mut side = side();
    drop(connect(&mut side, A));
    let entry = |pressure| Entry { pressure, ..entry("a", 1) };
    let table = |pressure| Down::Table {
        whole: true,
        functions: vec![entry(pressure)],
        removed: Vec::new(),
    };
    // What was open, after which time, under which threshold; and whether it is said.
    let cases = [
        (LOOK_US, Some(10), 10, false),
        (LOOK_US, Some(10), 11, true),
        (LOOK_US, Some(10), 90, false),
        (LOOK_US, Some(20), 90, true),
        (LOOK_US, Some(10), 90, false),
        (LOOK_US, Some(10), 9, false),
        (LOOK_US, Some(10), 11, true),
        (1, Some(10), 0, false),
        (1, Some(10), 11, false),
        (LOOK_US, Some(10), 11, true),
        (LOOK_US, None, 90, false),
        (LOOK_US, Some(10), 90, true),
    ];
    let mut now_us = 0;
    for (step, (passed_us, threshold, open, said)) in cases.into_iter().enumerate() {
        now_us += passed_us;
        drop(side.receive(A, table(threshold), now_us));
        let crossed = side.crossed(now_us, &[(name("a"), open)]);
        assert_eq!(!crossed.is_empty(), said, "step {step}");
    }
    assert_eq!(
        side.press(vec![name("a")]),
        [Action::Send(A, Up::Pressure { functions: vec![name("a")] })]
    );
    drop(side.disconnect(A));
    assert_eq!(side.crossed(now_us + LOOK_US, &[(name("a"), 90)]), []);
    drop(connect(&mut side, A));
    let again = side.crossed(now_us + LOOK_US, &[(name("a"), 90)]);
    assert_eq!(again, [name("a")], "a new connection was told nothing");
    drop(side.receive(
        A,
        Down::Table { whole: true, functions: Vec::new(), removed: Vec::new() },
        now_us,
    ));
    assert_eq!(side.watched().count(), 0);
}

#[test]
fn how_it_is_reached_is_said_with_the_listeners_and_anew_on_each_connection() {
    let mut side = side();
    assert!(!side.is_named());
    let listener = |address: Option<&str>| Listening {
        endpoint: "default/a:80".into(),
        address: address.map(|address| address.parse().unwrap()),
        error: None,
    };
    drop(connect(&mut side, A));
    assert!(side.leave().is_empty(), "nothing can lead to one that does not listen");
    drop(side.listening(vec![listener(None)]));
    assert!(!side.is_named());
    let said = side.listening(vec![listener(Some("[::]:12345"))]);
    assert!(side.is_named());
    let [Action::Send(A, Up::Listening { reached_at, standing, .. })] = &said[..] else {
        panic!("{said:?}")
    };
    assert_eq!(
        (&reached_at[..], *standing),
        (&[IpAddr::from([10, 0, 0, 7])][..], Standing::Leaves)
    );
    assert_eq!(connect(&mut side, A)[1..], said, "and again");
    assert_eq!(side.receive(A, Down::Unnamed, 0), [], "nobody who leads");
    drop(side.receive(A, table(true, vec![]), 0));
    assert_eq!(side.receive(A, Down::Unnamed, 0), [Action::Unnamed]);
}

/// The depth of "a" in the table that is gone by.
fn depth(side: &ActivatorSide) -> Option<u32> {
    side.table().get(&name("a")).map(|entry| entry.queue_depth)
}

#[test]
fn the_leaders_table_is_gone_by_else_any_and_the_last_one_stays() {
    let mut side = side();
    let told = |side: &mut ActivatorSide, connection, leads, depth| {
        drop(connect(side, connection));
        drop(side.receive(connection, welcome(leads), 0));
        side.receive(connection, table(true, vec![entry("a", depth)]), 0)
    };
    assert_eq!(told(&mut side, A, None, 1), [Action::Update(name("a"))], "better than none");
    assert_eq!(told(&mut side, B, None, 2), [], "one is as good as the other");
    let leads = |term| Down::Leads { term };
    assert_eq!(side.receive(B, leads(Some(4)), 0), [Action::Update(name("a"))]);
    assert_eq!(depth(&side), Some(2));
    assert_eq!(side.receive(A, table(false, vec![entry("a", 7)]), 0), [], "A does not lead");
    assert_eq!(side.receive(A, leads(Some(3)), 0), [], "an older leader");
    assert_eq!(side.receive(A, leads(Some(5)), 0), [Action::Update(name("a"))], "a newer one");
    assert_eq!(depth(&side), Some(7));
    assert_eq!(side.disconnect(A), [Action::Update(name("a"))], "the other one is left");
    assert_eq!(depth(&side), Some(2));
    assert_eq!(side.disconnect(B), [], "nobody is");
    assert_eq!(depth(&side), Some(2));
    assert_eq!(told(&mut side, A, Some(6), 2), [], "alike");
}

#[test]
fn everything_is_said_to_each_autoscaler() {
    let mut side = side();
    assert!(!connect(&mut side, A).is_empty());
    drop(side.tick(1, &[reading(1, 1)]));
    assert!(!side.wake(&name("a"), Wanted::Yes).is_empty());
    let wakes = |connection| Action::Send(connection, Up::Wakes { functions: vec![name("a")] });
    assert!(connect(&mut side, B).contains(&wakes(B)));
    let actions = side.tick(2, &[reading(1, 0)]);
    assert!(actions.contains(&wakes(A)) && actions.contains(&wakes(B)));
    assert_eq!(reported(&actions), 2, "to A for it changed, to B for it is new there");
    assert_eq!(reported(&side.tick(3, &[reading(1, 0)])), 0);
    assert_eq!(side.press(vec![name("a")]).len(), 2);
}

#[test]
fn a_retirement_is_answered_where_it_was_asked_for_and_a_later_term_takes_over() {
    let mut side = side();
    drop((connect(&mut side, A), connect(&mut side, B)));
    assert_eq!(side.receive(A, prepare(3), 0), [Action::Retire(name("a"))]);
    let prepared = |epoch| Up::Prepared { function: name("a"), epoch };
    assert_eq!(side.emptied(&name("a")), [Action::Send(A, prepared(3))]);
    let later = [Action::Doubt(name("a")), Action::Retire(name("a"))];
    assert_eq!(side.receive(B, prepare(1 << 32), 0), later);
    assert_eq!(side.receive(A, prepare(3), 0), [], "the last leader's is over");
    let end = |epoch| Down::Abort { function: name("a"), epoch };
    assert_eq!(side.receive(A, end(3), 0), []);
    assert_eq!(side.emptied(&name("a")), [Action::Send(B, prepared(1 << 32))]);
    // The leader comes back on another connection.
    drop(side.disconnect(B));
    let recall = Up::Recall { function: name("a"), epoch: 1 << 32 };
    assert!(!side.wake(&name("a"), Wanted::Yes).contains(&Action::Send(B, recall.clone())));
    let c = Connection(3);
    drop(connect(&mut side, c));
    let again = side.receive(c, prepare(1 << 32), 0);
    assert_eq!(again, [Action::Send(c, recall), Action::Send(c, prepared(1 << 32))]);
    assert_eq!(side.receive(c, end(1 << 32), 0), [Action::Resume(name("a"))]);
}

/// What the version after this one and the one before may say.
#[test]
fn a_version_more_or_less_is_understood() {
    let read = |text: &str| serde_json::from_str::<Down>(text).unwrap();
    let mut side = side();
    drop((connect(&mut side, A), connect(&mut side, B)));
    let older = read(r#"{"frame": "welcome", "version": 1}"#);
    assert_eq!(older, Down::Welcome { version: 1, leads: None });
    assert_eq!(side.receive(A, older, 0), []);
    let newer = read(r#"{"frame": "welcome", "version": 3, "leads": 1, "mood": {"good": true}}"#);
    assert_eq!(side.receive(B, newer, 0), []);
    let unknown = read(r#"{"frame": "sing", "verses": ["a", {"b": 1}]}"#);
    assert_eq!(unknown, Down::Unknown);
    assert_eq!(side.receive(B, unknown.clone(), 0), [], "B speaks a later version");
    assert!(matches!(side.receive(A, unknown, 0)[..], [Action::Close(A, _)]));
    assert!(serde_json::to_string(&Down::Unknown).is_err(), "read, never written");
}
