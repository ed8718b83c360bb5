//! Of several autoscalers one orders; the others are ready to.

use super::*;
use crate::cluster::Leading;

const LEADS: Event = Event::Fact(Fact::Leading(Leading::Yes { term: 7 }));
const FOLLOWS: Event = Event::Fact(Fact::Leading(Leading::No));

fn said(world: &World, is: impl Fn(&Down) -> bool) -> bool {
    world.sent.iter().any(|(_, frame)| is(frame))
}

#[test]
fn a_follower_decides_and_orders_nothing_until_it_leads() {
    let mut world = World::follower(function("hello", &[]), 1);
    world.load("hello", 500, 0);
    world.run(10);
    assert!(world.status("hello").desired > 1, "its windows are warm");
    assert_eq!(world.ordered(), [0; 0]);
    world.apply(LEADS);
    assert_eq!(world.ordered().len(), 1, "at once");
    assert!(world.ordered()[0] > 1);
}

#[test]
fn a_new_leader_scales_nothing_down_for_a_lease_and_a_second() {
    let mut world = World::follower(function("hello", &[]), 1);
    world.load("hello", 1, 0);
    world.run(10);
    world.load("hello", 0, 0);
    world.run(40);
    assert_eq!(world.status("hello").desired, 0);
    world.apply(LEADS);
    world.run(5);
    assert_eq!(world.ordered(), [0; 0]);
    assert!(!said(&world, |frame| matches!(frame, Down::Prepare { .. })));
    world.run(5);
    assert_eq!(world.ordered(), [0]);
    assert!(said(&world, |frame| matches!(frame, Down::Prepare { epoch, .. } if epoch >> 32 == 7)));
}

#[test]
fn a_follower_wakes_in_its_turn_if_nobody_else_did() {
    let mut world = World::follower(function("hello", &[]), 0);
    world.wake("hello");
    assert_eq!(world.ordered(), [0; 0], "the leader comes first");
    world.run(1);
    assert_eq!(world.ordered(), [1]);

    let mut world = World::follower(function("hello", &[]), 0);
    world.wake("hello");
    world.obey(&name("hello"), 1, &[]);
    world.tell(&name("hello"));
    world.run(1);
    assert_eq!(world.ordered(), [0; 0], "the leader did");

    let mut world = World::follower(function("hello", &[]), 0);
    world.wake("hello");
    let connection = *world.activators.keys().next().unwrap();
    world.hear(connection, Up::Wakes { functions: vec![] });
    world.run(1);
    assert_eq!(world.ordered(), [0; 0], "nobody waits any more");
}

#[test]
fn who_ceases_to_lead_takes_back_what_it_can() {
    let mut world = World::follower(function("hello", &[]), 1);
    world.apply(LEADS);
    for activator in world.activators.values_mut() {
        activator.acknowledges = false;
    }
    let is_prepare = |frame: &Down| matches!(frame, Down::Prepare { .. });
    let mut patience = 60;
    while !said(&world, is_prepare) {
        patience -= 1;
        assert!(patience > 0, "never retired");
        world.run(1);
    }
    world.sent.clear();
    world.apply(FOLLOWS);
    assert!(said(&world, |frame| matches!(frame, Down::Abort { .. })));
    world.sent.clear();
    world.run(20);
    assert!(!said(&world, is_prepare));
    assert_eq!(world.ordered(), [0; 0]);
}

#[test]
fn an_order_refused_for_want_of_the_lead_is_not_repeated() {
    let mut world = World::follower(function("hello", &[]), 1);
    world.apply(LEADS);
    world.hands = Hands::Busy;
    let mut patience = 60;
    while world.ordered().is_empty() {
        patience -= 1;
        assert!(patience > 0, "never scaled down");
        world.run(1);
    }
    world.answer(Err(ScaleError::NotLeading));
    assert!(said(&world, |frame| matches!(frame, Down::Abort { .. })));
    world.apply(FOLLOWS);
    world.run(20);
    assert_eq!(world.ordered(), [0]);
}
