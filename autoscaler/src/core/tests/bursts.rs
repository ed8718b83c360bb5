//! When decisions are made, and the modes of `dormouse.dev/burst`.

use std::sync::Arc;

use dormouse_policy::decision::{Decision, Why};
use dormouse_policy::settings::Burst;
use dormouse_policy::tick::TICK_US;

use super::*;

fn bursting(burst: Burst, annotations: &[(&str, &str)]) -> Function {
    let mut function = function("hello", annotations);
    Arc::make_mut(&mut function.settings.scaling).burst = burst;
    function
}

fn press(world: &mut World) {
    let connection = *world.activators.keys().next().unwrap();
    world.report();
    world.hear(connection, Up::Pressure { functions: vec![name("hello")] });
}

fn decisions(world: &World) -> Vec<Arc<Decision>> {
    world.core.decisions(&name("hello")).cloned().collect()
}

#[test]
fn in_kpa_mode_decisions_fall_on_the_tick_and_at_a_wake_from_zero_alone() {
    let mut world = World::with(function("hello", &[("target", "10")]), 0);
    world.run(3);
    world.load("hello", 40, 40);
    world.wake("hello");
    for _ in 0..40 {
        world.run(1);
        press(&mut world);
        world.wake("hello");
        world.tell(&name("hello"));
    }
    let connection = *world.activators.keys().next().unwrap();
    world.hear(connection, Up::Wakes { functions: Vec::new() });
    world.load("hello", 0, 0);
    world.run(20);
    let decisions = decisions(&world);
    let [start, rest @ ..] = decisions.as_slice() else {
        panic!("nothing was decided");
    };
    assert_eq!(start.inputs.why, Why::Start);
    let phase_us = |decision: &Decision| decision.inputs.now_us % TICK_US;
    let mut ticks = rest.iter().filter(|decision| decision.inputs.why == Why::Tick);
    let first_us = phase_us(ticks.next().unwrap());
    assert!(ticks.all(|tick| phase_us(tick) == first_us));
    let others = rest.iter().filter(|decision| decision.inputs.why != Why::Tick);
    let others: Vec<_> = others.map(|it| (it.inputs.why, it.inputs.replicas)).collect();
    assert_eq!(others, [(Why::Wake, 0)]);
    assert_eq!(world.entry("hello").pressure, None);
}

#[test]
fn pressure_wakes_as_many_as_are_asked_for_at_once() {
    for (burst, ordered) in [(Burst::Kpa, vec![1]), (Burst::Queue, vec![1, 6])] {
        let annotations = [("target", "10"), ("target-utilization-percentage", "70")];
        let mut world = World::with(bursting(burst, &annotations), 0);
        world.load("hello", 0, 0);
        world.run(4);
        world.wake("hello");
        world.load("hello", 42, 42);
        press(&mut world);
        assert_eq!(world.ordered(), ordered, "{burst:?}");
    }
}

#[test]
fn the_threshold_follows_what_was_asked_for() {
    let annotations = [("target", "10"), ("target-utilization-percentage", "70")];
    let mut world = World::with(bursting(Burst::Queue, &annotations), 0);
    assert_eq!(world.entry("hello").pressure, Some(14));
    world.run(4);
    world.wake("hello");
    world.load("hello", 42, 42);
    press(&mut world);
    assert_eq!(world.entry("hello").pressure, Some(6 * 14));
    world.connect("b");
    assert_eq!(world.entry("hello").pressure, Some(3 * 14), "a share each");
}

#[test]
fn pressure_never_scales_in() {
    let mut world = World::with(bursting(Burst::Queue, &[("target", "10")]), 3);
    world.load("hello", 1, 0);
    world.run(9);
    let before = world.ordered();
    for _ in 0..20 {
        world.now_us += 1;
        press(&mut world);
        let last = decisions(&world).pop().unwrap();
        assert_eq!(last.inputs.why, Why::Pressure);
        assert!(last.desired >= last.inputs.replicas, "{last}");
    }
    assert_eq!(world.ordered(), before);
}

#[test]
fn what_a_start_takes_is_learnt_from_the_decision_on() {
    let mut world = asleep();
    world.hands = Hands::Busy;
    world.wake("hello");
    let woken_us = world.now_us;
    world.run(3);
    world.hands = Hands::Quick;
    world.answer(Ok(()));
    let learnt = |world: &World| world.core.functions[&name("hello")].start_ups.quantile_us();
    assert_eq!(learnt(&world), Some(world.now_us - woken_us));
    world.run(2);
    let last = decisions(&world).pop().unwrap();
    assert_eq!(last.inputs.start_up_us, learnt(&world));
    assert_eq!(last.replay(), *last);
}

#[test]
fn what_was_learnt_outlives_the_autoscaler_in_its_activators() {
    let function = || bursting(Burst::StartUp, &[("target", "10")]);
    let mut first = World::with(function(), 0);
    first.hands = Hands::Busy;
    first.wake("hello");
    first.run(3);
    first.hands = Hands::Quick;
    first.answer(Ok(()));
    let learnt_us = first.entry("hello").start_ups.quantile_us();
    assert!(learnt_us.is_some_and(|time_us| time_us >= 3 * SECOND_US), "{learnt_us:?}");

    let mut second = World::new();
    second.connect("b");
    second.add(function(), 0);
    assert_eq!(second.entry("hello").start_ups.quantile_us(), None, "it knows nothing yet");
    second.inherit(&first);
    let others = second.sent.iter().rev().find(|(connection, _)| *connection == Connection(1));
    assert!(matches!(others, Some((_, Down::Table { .. }))), "every activator is told: {others:?}");
    assert_eq!(second.entry("hello").start_ups.quantile_us(), learnt_us);
    second.load("hello", 40, 40);
    second.wake("hello");
    let last = decisions(&second).pop().unwrap();
    assert_eq!((last.inputs.why, last.inputs.start_up_us), (Why::Wake, learnt_us));
    assert_eq!(last.replay(), *last);
}

#[test]
fn a_start_that_fails_teaches_nothing() {
    let mut world = asleep();
    world.hands = Hands::Busy;
    world.wake("hello");
    let failure = FailureFact {
        code: "crash-loop".into(),
        message: "exit status: 1".into(),
        retry_ms: 10_000,
        patience_ms: 0,
    };
    world.cluster.get_mut(&name("hello")).unwrap().failure = Some(Box::new(failure));
    world.tell(&name("hello"));
    world.run(3);
    world.cluster.get_mut(&name("hello")).unwrap().failure = None;
    world.answer(Ok(()));
    assert_eq!(world.core.functions[&name("hello")].start_ups.quantile_us(), None);
}
