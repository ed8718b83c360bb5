//! Orders that take pods away and were refused: nothing happened, so the next decision counts.

use std::time::Duration;

use super::*;
use crate::server::Victims;

fn is_abort((_, frame): &(Connection, Down)) -> bool {
    matches!(frame, Down::Abort { .. })
}

/// An idle function whose order to sleep is out, its pods not used any more.
fn retiring() -> World {
    let mut world = World::with(function("hello", &[]), 1);
    world.hands = Hands::Busy;
    world.run(20);
    assert_eq!(world.ordered(), [0], "its outcome is open");
    assert!(!world.sent.iter().any(is_abort));
    world
}

#[test]
fn pods_are_used_again_at_once_and_retired_after_the_pause_that_was_asked_for() {
    let mut world = retiring();
    world.answer(Err(ScaleError::Busy(Duration::from_secs(15))));
    assert!(world.sent.iter().any(is_abort), "no request waits beside its pod");
    world.hands = Hands::Quick;
    world.wake("hello");
    let connection = *world.activators.keys().next().unwrap();
    world.hear(connection, Up::WakesChanged { added: vec![], removed: vec![name("hello")] });
    assert_eq!((world.status("hello").state, world.status("hello").ready), (State::Ready, 1));
    world.run(13);
    assert_eq!(world.ordered(), [0], "not before the pause is over");
    world.run(20);
    assert_eq!(world.ordered(), [0, 0]);
    assert_eq!(world.status("hello").state, State::Asleep);
}

#[test]
fn what_was_written_meanwhile_is_not_undone_by_an_order_given_before() {
    let mut world = retiring();
    // Somebody was faster; what he wrote is told later.
    world.answer(Err(ScaleError::Changed(name("hello"))));
    assert!(world.sent.iter().any(is_abort));
    world.hands = Hands::Quick;
    world.set_by(5, "kubectl-scale");
    // His figure is kept for a window.
    world.run(5);
    assert_eq!(world.ordered(), [0]);
    assert_eq!(world.status("hello").ready, 5);
}

#[test]
fn an_order_that_may_have_been_carried_out_is_given_again() {
    let mut world = retiring();
    world.answer(Err(ScaleError::Unknown("no answer".to_owned())));
    assert!(!world.sent.iter().any(is_abort), "the pods may be gone");
    world.run(1);
    assert_eq!(world.ordered(), [0, 0]);
    world.answer(Err(ScaleError::Changed(name("hello"))));
    assert!(!world.sent.iter().any(is_abort), "by the first order, perhaps");
    world.run(1);
    world.answer(Ok(()));
    assert_eq!(world.status("hello").state, State::Asleep);
}

/// Whether an order of `hello` is still to be given again.
fn is_to_be_repeated(world: &World) -> bool {
    let scaling = world.core.functions[&name("hello")].scaling.as_ref();
    scaling.is_some_and(|scaling| scaling.order.is_some())
}

#[test]
fn fewer_pods_are_decided_anew_and_more_are_asked_for_again() {
    let mut world = World::with(function("hello", &[("target", "1")]), 4);
    // As in a cluster: which pods go nobody says, so none is taken out of use before.
    world.core.surroundings.victims = Victims::Unknown;
    world.load("hello", 2, 0);
    world.hands = Hands::Busy;
    while world.ordered().is_empty() {
        world.run(1);
    }
    assert!((1..4).contains(&world.ordered()[0]));
    for refused in [ScaleError::Changed(name("hello")), ScaleError::Busy(Duration::from_secs(1))] {
        assert!(is_to_be_repeated(&world), "its outcome is open");
        world.answer(Err(refused));
        assert!(!is_to_be_repeated(&world));
        world.run(4);
    }

    let mut world = asleep();
    world.hands = Hands::Busy;
    world.wake("hello");
    world.answer(Err(ScaleError::Changed(name("hello"))));
    assert!(is_to_be_repeated(&world), "requests wait");
}
