//! Sleeping by plan. What each test did is replayed from its record at its end.

use std::sync::Arc;

use dormouse_policy::decision::Rule;

use super::*;

const GAP_S: u64 = 120;

fn learning() -> Function {
    let mut function = function("hello", &[]);
    Arc::make_mut(&mut function.settings.scaling).idle_cost = Some(100.0);
    function
}

/// A request comes, is answered within a second, and nothing comes for a while. Whether it found a
/// pod.
fn round(world: &mut World) -> bool {
    let found = asked(world) > 0;
    world.load("hello", 1, u64::from(!found));
    if !found {
        world.wake("hello");
    }
    world.run(1);
    let connection = *world.activators.keys().next().unwrap();
    world.hear(connection, Up::Wakes { functions: vec![] });
    world.load("hello", 0, 0);
    world.run(GAP_S - 1);
    found
}

fn asked(world: &World) -> u32 {
    world.core.functions[&name("hello")].asked(world.now_us)
}

#[test]
fn a_pod_is_ordered_ahead_of_a_request_that_comes_as_ever() {
    let mut world = World::with(learning(), 1);
    for _ in 0..20 {
        round(&mut world);
    }
    let orders = world.orders.len();
    assert!((0..5).all(|_| round(&mut world)), "each finds a pod");
    let ordered: Vec<u32> = world.ordered().split_off(orders);
    assert_eq!(ordered, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
    let last = world.core.functions[&name("hello")].scaling.as_ref().unwrap().last.clone();
    let last = last.unwrap();
    assert!(last.reasons.iter().any(|reason| matches!(reason.rule, Rule::IdleCost(_))), "{last}");
    assert_eq!(last.replay(), *last);
}

#[test]
fn who_sleeps_for_good_has_no_timer() {
    let mut world = World::with(learning(), 1);
    for _ in 0..5 {
        round(&mut world);
    }
    world.run(3 * 3_600);
    assert_eq!(asked(&world), 0);
    let state = &world.core.functions[&name("hello")];
    assert_eq!(state.timer_us, None);
    let scaler = &state.scaling.as_ref().unwrap().scaler;
    assert!(!scaler.is_falling_asleep(), "it was decided on once more");
}

#[test]
fn what_was_learnt_of_idle_times_outlives_the_autoscaler_in_its_activators() {
    let mut first = World::with(learning(), 1);
    for _ in 0..20 {
        round(&mut first);
    }
    let seen = first.entry("hello").gaps.seen();
    assert!(seen >= 17, "told once a minute: {seen}");

    let mut second = World::new();
    second.connect("b");
    second.add(learning(), 1);
    let connection = second.inherit(&first);
    assert_eq!(second.entry("hello").gaps, first.entry("hello").gaps);
    second.apply(Event::Disconnected(connection));
    for _ in 0..3 {
        round(&mut second);
    }
    assert!((0..5).all(|_| round(&mut second)), "it goes on where the first one ended");
}
