//! What is written down, and when. That it replays is checked at the end of every test there is.

use dormouse_policy::record;

use super::*;

fn lines<T>(world: &World, pick: impl Fn(&Line) -> Option<T>) -> Vec<T> {
    world.record.iter().filter_map(pick).collect()
}

/// Time and occasion of a function's snapshots.
fn snapshots(world: &World, function: &str) -> Vec<(u64, Taken)> {
    lines(world, |line| match line {
        Line::Snapshot(it) if it.function == name(function) => Some((it.at_us, it.taken)),
        _ => None,
    })
}

fn decisions(world: &World) -> u64 {
    lines(world, |line| matches!(line, Line::Decided(_)).then_some(())).len() as u64
}

#[test]
fn a_function_at_work_is_written_down_every_minute_and_replays_from_each() {
    let mut world = World::with(function("hello", &[("target", "10")]), 1);
    world.add(function("other", &[]), 1);
    world.load("hello", 25, 0);
    world.run(200);
    let taken = snapshots(&world, "hello");
    assert_eq!(taken[0].1, Taken::Begin { ready: 1, replicas: 1 });
    assert_eq!(taken.len(), 4, "{taken:?}");
    for pair in taken.windows(2) {
        let apart_us = pair[1].0 - pair[0].0;
        assert!((record::SNAPSHOT_US..record::SNAPSHOT_US + 3 * SECOND_US).contains(&apart_us));
        assert_eq!(pair[1].1, Taken::Periodic);
    }
    assert_eq!(snapshots(&world, "other").len(), 1, "one that sleeps costs no line");
    let whole = world.replay(0);
    assert_eq!((whole.decisions, whole.skipped), (decisions(&world), 0));
    for (from_us, _) in taken {
        assert!(world.replay(from_us).decisions > 0);
    }
}

#[test]
fn new_settings_are_written_down_before_they_decide() {
    let mut world = World::with(function("hello", &[("target", "10")]), 1);
    world.load("hello", 25, 0);
    world.run(10);
    let other = function("hello", &[("target", "5"), ("window", "8s")]);
    world.apply(Event::Fact(Fact::Function(Arc::new(other))));
    let at_us = world.now_us;
    world.run(10);
    assert_eq!(snapshots(&world, "hello")[1], (at_us, Taken::Settings));
    assert_eq!(world.ordered(), [4, 8]);
}

#[test]
fn after_lost_lines_every_function_is_written_down_anew() {
    let mut world = World::with(function("hello", &[]), 1);
    world.add(function("kept", &[("min-scale", "1")]), 1);
    world.load("hello", 3, 0);
    world.run(20);
    // What is made from now on is lost, until it can be written again.
    let before = world.record.len();
    world.run(6);
    world.record.truncate(before);
    world.record.push(Line::Gap { lines: 9 });
    world.core.record_lost();
    let lost_us = world.now_us;
    world.run(20);
    for function in ["hello", "kept"] {
        let taken = snapshots(&world, function);
        assert_eq!(taken.len(), 2, "{taken:?}");
        assert!((lost_us..lost_us + 3 * SECOND_US).contains(&taken[1].0), "{taken:?}");
    }
    let replayed = world.replay(0);
    assert_eq!((replayed.gaps, replayed.skipped), (1, 2), "one decision each before the snapshots");
    assert_eq!(replayed.decisions + replayed.skipped, decisions(&world));
}

#[test]
fn what_is_heard_while_nothing_is_decided_does_not_pile_up() {
    let mut world = asleep();
    world.run(3_000);
    let heard = lines(&world, |line| match line {
        Line::Heard(reports) => Some(reports.len()),
        _ => None,
    });
    assert_eq!(
        heard.iter().max(),
        Some(&super::super::recording::PENDING_MAX),
        "a line of its own"
    );
    world.wake("hello");
    world.run(5);
    assert_eq!(world.status("hello").state, State::Ready);
}
