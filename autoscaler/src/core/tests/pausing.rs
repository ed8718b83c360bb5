//! `dormouse.dev/paused`: decided on, and left alone.

use std::sync::Arc;

use dormouse_policy::settings::Paused;

use super::*;

fn paused(mut function: Function) -> Function {
    Arc::make_mut(&mut function.settings.scaling).paused = Paused::Yes;
    function
}

fn rules(world: &World) -> Vec<String> {
    let last = world.core.functions[&name("hello")].scaling.as_ref().unwrap().last.clone();
    last.unwrap().reasons.iter().map(|reason| reason.rule.to_string()).collect()
}

#[test]
fn a_paused_function_is_never_scaled_and_says_why() {
    let mut world = World::with(paused(function("hello", &[("min-scale", "3")])), 1);
    world.run(2);
    assert_eq!(rules(&world), ["min-scale 3", "paused"]);
    world.load("hello", 500, 0);
    world.run(10);
    world.load("hello", 0, 0);
    world.run(30);
    assert_eq!(world.ordered(), [0; 0]);
    let retired = world.sent.iter().any(|(_, frame)| matches!(frame, Down::Prepare { .. }));
    assert!(!retired);
    assert_eq!(
        world.status("hello").message.as_deref(),
        Some("paused: replicas are left as they are")
    );
}

#[test]
fn a_wake_of_a_paused_function_waits_until_it_goes_on() {
    let mut world = World::with(paused(function("hello", &[])), 0);
    world.wake("hello");
    assert_eq!(rules(&world), ["wake", "paused"]);
    world.load("hello", 1, 1);
    world.run(10);
    assert_eq!(world.ordered(), [0; 0]);
    world.apply(Event::Fact(Fact::Function(Arc::new(function("hello", &[])))));
    world.run(2);
    assert_eq!(world.ordered(), [1]);
}

#[test]
fn an_order_in_vain_is_not_repeated_once_paused() {
    let mut world = asleep();
    world.hands = Hands::Failing;
    world.wake("hello");
    assert_eq!(world.ordered(), [1]);
    world.apply(Event::Fact(Fact::Function(Arc::new(paused(function("hello", &[]))))));
    world.run(10);
    assert_eq!(world.ordered(), [1]);
}

#[test]
fn an_order_whose_outcome_comes_later_is_not_repeated_either() {
    let mut world = asleep();
    world.hands = Hands::Busy;
    world.wake("hello");
    world.apply(Event::Fact(Fact::Function(Arc::new(paused(function("hello", &[]))))));
    world.answer(Err(ScaleError::Unknown("none".into())));
    world.run(10);
    assert_eq!(world.ordered(), [1]);
}

#[test]
fn a_retirement_under_way_is_taken_back_when_paused() {
    let mut world = World::with(function("hello", &[]), 1);
    for activator in world.activators.values_mut() {
        activator.acknowledges = false;
    }
    let is_sent = |world: &World, is: fn(&Down) -> bool| world.sent.iter().any(|(_, it)| is(it));
    while !is_sent(&world, |frame| matches!(frame, Down::Prepare { .. })) {
        world.run(1);
    }
    assert!(!is_sent(&world, |frame| matches!(frame, Down::Abort { .. })));
    world.apply(Event::Fact(Fact::Function(Arc::new(paused(function("hello", &[]))))));
    assert!(is_sent(&world, |frame| matches!(frame, Down::Abort { .. })));
    world.run(10);
    assert_eq!(world.ordered(), [0; 0]);
}
