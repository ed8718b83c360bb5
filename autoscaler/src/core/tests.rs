//! Events in, actions out: no sockets, no clock, the policy as it is.

mod bursts;
mod idling;
mod leading;
mod others;
mod pausing;
mod recording;
mod refused;
mod ways;
pub(super) mod world;

use dormouse_link::frame::Retiring;
use dormouse_policy::decision::{Decision, Why};
use dormouse_policy::function::WorkloadKind;
use dormouse_policy::tick::TICK_US;
use world::{Hands, SECOND_US, World, function, name};

use super::*;
use crate::cluster::{FailureFact, PodPhase};
use crate::status::State;

/// A world whose one function has gone to sleep.
fn asleep() -> World {
    let mut world = World::with(function("hello", &[]), 1);
    world.run(20);
    assert_eq!(world.ordered(), [0]);
    world.orders.clear();
    world.sent.clear();
    world
}

#[test]
fn left_alone_a_function_goes_to_sleep_and_costs_nothing() {
    let mut world = World::with(function("hello", &[]), 1);
    assert_eq!(world.status("hello").state, State::Ready);
    world.run(20);
    assert_eq!(world.ordered(), [0]);
    assert_eq!(world.status("hello").state, State::Asleep);
    assert_eq!(world.core.due_us(), None, "no timer");
    let ends = world.sent.iter().filter_map(|(_, frame)| match frame {
        Down::Prepare { pods, .. } => Some(format!("{pods:?}")),
        Down::Commit { .. } => Some("commit".into()),
        Down::Abort { .. } => Some("abort".into()),
        _ => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), ["All", "commit"]);
}

#[test]
fn other_settings_reach_a_function_that_sleeps() {
    let mut world = asleep();
    let describe = |world: &mut World, annotations: &[(&str, &str)]| {
        world.apply(Event::Fact(Fact::Function(Arc::new(function("hello", annotations)))));
    };
    describe(&mut world, &[("max-scale", "9")]);
    assert_eq!(world.ordered(), Vec::<u32>::new());
    assert_eq!(world.core.due_us(), None, "nor has it a timer again");
    describe(&mut world, &[("min-scale", "2")]);
    assert_eq!(world.ordered(), [2], "at once");
}

#[test]
fn a_wake_at_zero_is_an_order_in_the_same_apply() {
    let mut world = asleep();
    world.hands = Hands::Busy;
    let connection = *world.activators.keys().next().unwrap();
    let wakes = Up::Wakes { functions: vec![name("hello")] };
    let actions = world.happens(Event::Frame(connection, wakes.clone()));
    let scale = actions.iter().find_map(|action| match action {
        Action::Scale { scale, .. } => Some(scale.clone()),
        _ => None,
    });
    assert_eq!(scale.map(|scale| scale.replicas), Some(1));
    assert_eq!(world.status("hello").state, State::Waking);

    world.load("hello", 5, 5);
    world.hear(connection, wakes);
    world.run(4);
    assert_eq!(world.ordered(), Vec::<u32>::new(), "no second order while one is open");
}

#[test]
fn load_scales_out_and_its_end_scales_in_with_the_victims_named() {
    let mut world = World::with(function("hello", &[("target", "10"), ("max-scale", "3")]), 1);
    world.load("hello", 100, 0);
    world.run(10);
    assert_eq!(world.ordered(), [3], "max-scale holds, and nothing is said twice");
    assert_eq!(world.status("hello").in_flight, 100);

    world.load("hello", 6, 0);
    world.run(30);
    assert_eq!(world.ordered(), [3, 1], "after panic");
    let victims = &world.orders[1].1.victims;
    assert_eq!(victims, &["pod-3", "pod-2"], "the newest first");
    assert_eq!(world.status("hello").ready, 1);
    world.load("hello", 0, 0);
    world.run(20);
    assert_eq!(world.ordered(), [3, 1, 0]);
}

#[test]
fn the_initial_scale_is_ordered_at_first_sight() {
    let initial = || function("hello", &[("initial-scale", "2")]);
    let mut world = World::with(initial(), 0);
    assert_eq!(world.ordered(), Vec::<u32>::new(), "zero at first sight is sleep");
    world.obey(&name("hello"), 1, &[]);
    world.tell(&name("hello"));
    assert_eq!(world.ordered(), Vec::<u32>::new(), "what has a ready pod was begun before");

    let mut world = World::new();
    world.connect("a");
    world.apply(Event::Fact(Fact::Function(Arc::new(initial()))));
    let begun = Pods { replicas: 1, ..Pods::default() };
    world.cluster.insert(name("hello"), begun);
    world.tell(&name("hello"));
    assert_eq!(world.ordered(), [2]);
    world.tell(&name("hello"));
    world.run(1);
    assert_eq!(world.ordered(), [2]);
}

#[test]
fn nothing_scales_down_while_the_link_is_cut_and_coverage_comes_back_with_it() {
    let mut world = World::with(function("hello", &[("target", "10")]), 1);
    world.load("hello", 20, 0);
    world.run(20);
    assert_eq!(world.ordered(), [3]);
    let connection = *world.activators.keys().next().unwrap();
    let mut activator = world.cut(connection);
    world.run(10);
    assert_eq!(world.ordered(), [3]);
    assert!(world.status("hello").coverage < 1.0);

    for reading in activator.load.values_mut() {
        reading.area_us += 20 * 10 * SECOND_US;
    }
    let connection = world.connect("a");
    world.activators.insert(connection, activator);
    world.run(5);
    assert_eq!(world.ordered(), [3], "what was counted meanwhile is known again");
    assert!(world.status("hello").coverage >= 1.0);
    world.load("hello", 0, 0);
    world.run(30);
    assert_eq!(world.ordered().last(), Some(&0));
}

#[test]
fn an_activator_that_says_goodbye_is_not_waited_for() {
    for (says_goodbye, last) in [(true, 0), (false, 2)] {
        let mut world = World::with(function("hello", &[("target", "10")]), 1);
        let leaving = world.connect("b");
        world.load("hello", 5, 0);
        world.run(10);
        world.load("hello", 0, 0);
        world.run(1);
        match says_goodbye {
            true => {
                world.hear(leaving, Up::Goodbye);
                world.activators.remove(&leaving);
                world.apply(Event::Disconnected(leaving));
            }
            false => drop(world.cut(leaving)),
        }
        world.run(15);
        assert_eq!(world.ordered().last(), Some(&last), "{says_goodbye}");
    }
}

#[test]
fn what_a_lost_activator_had_in_flight_keeps_its_pods_until_it_is_gone() {
    let mut world = World::with(function("hello", &[("target", "10")]), 1);
    let dying = world.connect("b");
    world.load("hello", 30, 0);
    world.run(10);
    assert_eq!(world.ordered().last(), Some(&9), "60 ÷ 7");
    drop(world.cut(dying));
    world.load("hello", 0, 0);
    world.run(59);
    assert_eq!(world.ordered().last(), Some(&9), "it may come back");
    assert!(world.looked_for.is_empty());
    world.run(20);
    assert_eq!(world.ordered().last(), Some(&5), "30 ÷ 7");
    assert_eq!(world.looked_for, ["b"]);
    assert_eq!(world.status("hello").in_flight, 30);
    world.apply(Event::ActivatorGone("b".to_owned()));
    world.run(20);
    assert_eq!(world.ordered().last(), Some(&0));
    assert_eq!(world.status("hello").in_flight, 0);
}

#[test]
fn one_that_is_back_is_not_gone() {
    let mut world = World::with(function("hello", &[]), 1);
    let back = world.connect("b");
    world.load("hello", 5, 0);
    world.run(2);
    world.apply(Event::ActivatorGone("b".to_owned()));
    assert_eq!(world.status("hello").in_flight, 10);
    drop(world.cut(back));
}

#[test]
fn seconds_that_nobody_counted_keep_what_there_is() {
    let mut world = World::with(function("hello", &[]), 1);
    world.run(5);
    let connection = *world.activators.keys().next().unwrap();
    world.cut(connection);
    world.run(59);
    let connection = world.connect("b");
    world.run(4);
    assert_eq!(world.ordered(), Vec::<u32>::new(), "no whole window is known");
    world.run(10);
    assert_eq!(world.ordered(), [0]);
    world.cut(connection);
}

#[test]
fn with_an_activator_away_nothing_goes_to_zero() {
    let mut world = World::with(function("hello", &[]), 1);
    let second = world.connect("b");
    world.run(1);
    world.cut(second);
    world.run(50);
    assert_eq!(world.ordered(), Vec::<u32>::new());
    assert_eq!(world.status("hello").state, State::Ready);
}

#[test]
fn an_arrival_takes_a_retirement_back() {
    let mut world = World::with(function("hello", &[]), 1);
    let connection = *world.activators.keys().next().unwrap();
    // Mute: it reports, and acknowledges nothing.
    let mut epoch = None;
    for _ in 0..200 {
        world.now_us += SECOND_US / 10;
        if world.now_us.is_multiple_of(SECOND_US) || epoch.is_none() {
            let at_us = world.now_us;
            let report = Up::Report { at_us, readings: vec![], learnt: vec![] };
            world.happens(Event::Frame(connection, report));
        }
        let actions = world.happens(Event::Due);
        epoch = epoch.or(actions.iter().find_map(|action| match action {
            Action::Send(_, Down::Prepare { epoch, .. }) => Some(*epoch),
            _ => None,
        }));
        if epoch.is_some() {
            break;
        }
    }
    let epoch = epoch.unwrap();
    assert_eq!(world.status("hello").state, State::Retiring);
    let recall = Up::Recall { function: name("hello"), epoch };
    world.hear(connection, recall);
    assert!(matches!(world.sent.last(), Some((_, Down::Abort { .. }))));
    world.wake("hello");
    assert_eq!(world.status("hello").state, State::Ready);
    assert_eq!(world.status("hello").desired, 1);
    let late = Up::Prepared { function: name("hello"), epoch };
    world.hear(connection, late);
    assert_eq!(world.ordered(), Vec::<u32>::new());
}

#[test]
fn an_arrival_too_late_to_recall_wakes_once_the_pods_are_gone() {
    let mut world = World::with(function("hello", &[]), 1);
    world.hands = Hands::Busy;
    world.run(20);
    assert_eq!(world.ordered(), [0], "its outcome is open");
    world.wake("hello");
    assert_eq!(world.ordered(), [0]);
    world.answer(Ok(()));
    assert_eq!(world.ordered(), [0, 1]);
    let order = |frame: &Down| matches!(frame, Down::Commit { .. });
    assert!(world.sent.iter().any(|(_, frame)| order(frame)));
    assert!(world.entry("hello").pods.is_empty(), "the old pod is not used again");
}

#[test]
fn a_pod_made_anew_under_its_old_name_is_used() {
    let mut world = World::with(function("hello", &[]), 1);
    world.hands = Hands::Busy;
    world.run(20);
    assert_eq!(world.ordered(), [0]);
    let (order, function) = (world.orders[0].0, name("hello"));
    world.apply(Event::Scaled { function, order, result: Ok(()) });
    let mut is = |phase| {
        world.cluster.get_mut(&name("hello")).unwrap().pods[0].phase = phase;
        world.tell(&name("hello"));
        world.entry("hello").pods.len()
    };
    assert_eq!(is(PodPhase::Ready), 0, "it is on its way out");
    assert_eq!(is(PodPhase::Terminating), 0);
    assert_eq!(is(PodPhase::Ready), 1, "another of its name");
}

#[test]
fn a_failed_order_is_repeated_with_pauses() {
    let mut world = asleep();
    world.hands = Hands::Failing;
    world.wake("hello");
    world.load("hello", 1, 1);
    world.run(20);
    let tries = world.orders.len();
    assert!((6..=12).contains(&tries), "{tries} tries in 20 s");
    assert!(world.ordered().iter().all(|replicas| *replicas == 1));
    world.hands = Hands::Quick;
    world.run(6);
    assert_eq!(world.status("hello").ready, 1);
}

#[test]
fn a_retirement_whose_order_keeps_failing_is_given_up() {
    let mut world = World::with(function("hello", &[]), 1);
    world.hands = Hands::Failing;
    world.run(14);
    let is_abort = |(_, frame): &(Connection, Down)| matches!(frame, Down::Abort { .. });
    assert!(world.sent.iter().any(is_abort));
    world.hands = Hands::Quick;
    world.run(10);
    assert_eq!(world.status("hello").state, State::Asleep);
}

#[test]
fn of_two_claimants_the_older_keeps_the_host() {
    let mut world = World::new();
    world.connect("a");
    let mut older = function("older", &[]);
    older.created = 1;
    older.endpoints[0].hosts = ["shop.example".into()].into();
    let mut younger = function("younger", &[]);
    younger.created = 2;
    younger.endpoints[0].hosts = ["shop.example".into()].into();
    world.add(younger, 1);
    assert_eq!(world.status("younger").state, State::Ready);
    world.add(older, 1);
    let status = world.status("younger");
    assert_eq!(status.state, State::SetAside);
    assert!(world.core.decisions(&name("younger")).next().is_some(), "what was decided is kept");
    let message = status.message.unwrap();
    for part in ["shop.example", "default/older"] {
        assert!(message.contains(part), "{message}");
    }
    world.run(20);
    assert_eq!(world.ordered(), [0], "only the older is scaled");

    world.apply(Event::Fact(Fact::Gone(name("older"))));
    assert_eq!(world.status("younger").state, State::Ready);
    assert_eq!(world.status("younger").message, None);
}

#[test]
fn a_port_is_given_to_its_oldest_claimant() {
    let mut world = World::new();
    world.connect("a");
    for (created, function_name) in [(2, "second"), (1, "first")] {
        let mut function = function(function_name, &[]);
        function.created = created;
        world.add(function, 0);
    }
    let mut low = function("low", &[]);
    low.endpoints[0].service_port = 80;
    world.add(low, 0);
    for (function, port) in [("first", 8080), ("second", 0), ("low", 0)] {
        let listen = world.entry(function).endpoints[0].listen.unwrap();
        assert_eq!(listen.address.to_string(), format!("127.0.0.1:{port}"));
        assert!(listen.else_free);
    }
    world.apply(Event::Fact(Fact::Gone(name("first"))));
    world.report();
    let listen = world.entry("second").endpoints[0].listen.unwrap();
    assert_eq!(listen.address.port(), 8080, "the next in line");
}

#[test]
fn a_failure_is_passed_through_with_what_is_left_of_its_time() {
    let mut world = asleep();
    let pods = Pods {
        replicas: 1,
        pods: vec![],
        failure: Some(Box::new(FailureFact {
            code: "crash-loop".into(),
            message: "exit status: 1".into(),
            retry_ms: 10_000,
            patience_ms: 0,
        })),
        ..Pods::default()
    };
    world.cluster.insert(name("hello"), pods);
    world.tell(&name("hello"));
    let status = world.status("hello");
    assert_eq!(status.state, State::Failing);
    assert_eq!(status.message.unwrap(), "exit status: 1");
    let failure = world.entry("hello").failure.unwrap();
    assert_eq!((failure.code.as_str(), failure.retry_ms), ("crash-loop", 10_000));
    world.now_us += 3 * SECOND_US;
    world.connect("b");
    assert_eq!(world.entry("hello").failure.unwrap().retry_ms, 7_000);
}

#[test]
fn pods_are_listed_while_they_can_be_used() {
    let mut world = World::with(function("hello", &[]), 2);
    world.cluster.get_mut(&name("hello")).unwrap().pods[0].phase = PodPhase::Terminating;
    world.tell(&name("hello"));
    let pods = world.entry("hello").pods;
    assert_eq!(pods.len(), 1);
    assert_eq!((pods[0].name.as_str(), pods[0].ready), ("pod-2", true));
}

#[test]
fn victims_are_the_unready_then_the_newest_or_the_highest_ordinals() {
    let cases = [
        (WorkloadKind::Deployment, ["web-c", "web-b", "web-a"]),
        (WorkloadKind::StatefulSet, ["web-2", "web-0", "web-10-x"]),
    ];
    let expected = [["web-b", "web-a"], ["web-10-x", "web-2"]];
    for ((kind, names), expected) in cases.into_iter().zip(expected) {
        let mut function = function("web", &[]);
        function.kind = kind;
        let mut world = World::with(function, 3);
        let pods = &mut world.cluster.get_mut(&name("web")).unwrap().pods;
        for (pod, name) in pods.iter_mut().zip(names) {
            pod.name = name.into();
        }
        if kind == WorkloadKind::Deployment {
            pods[1].phase = PodPhase::Starting;
        }
        world.tell(&name("web"));
        let state = &world.core.functions[&name("web")];
        assert_eq!(state.victims(1, Victims::Ours), expected);
        let unknown = state.victims(1, Victims::Unknown);
        assert_eq!(unknown.is_empty(), kind == WorkloadKind::Deployment, "{unknown:?}");
    }
}

#[test]
fn decisions_are_kept_and_reproduced() {
    let mut world = World::with(function("hello", &[]), 1);
    world.run(8);
    let explanation = world.core.explain(&name("hello"), world.now_us).unwrap();
    assert!(explanation.decisions.len() >= 4);
    assert!(explanation.decisions.iter().all(|kept| kept.reproduced));
    assert_eq!(explanation.decisions[0].decision.inputs.why, Why::Start);
    assert_eq!(explanation.decisions[0].at_ms, 1_700_000_000_333);
    assert!(world.core.explain(&name("nobody"), world.now_us).is_none());
}

#[test]
fn one_of_two_activators_cut_off_delays_no_scale_up_of_what_the_other_sees() {
    let mut world = World::with(function("hello", &[("target", "10"), ("window", "60s")]), 1);
    let cut = world.connect("b");
    world.load("hello", 1, 0);
    world.run(70);
    assert_eq!((world.ordered(), world.status("hello").coverage), (vec![], 1.0));
    world.cut(cut);
    world.run(10);
    world.load("hello", 200, 0);
    let since_us = world.now_us;
    world.run(10);
    let hello = name("hello");
    let is_rise = |it: &&Arc<Decision>| it.desired > it.inputs.replicas;
    let first = world.core.decisions(&hello).find(is_rise).map(|it| it.inputs.now_us - since_us);
    assert!(first.is_some_and(|after_us| after_us <= 2 * TICK_US), "{first:?}");
    assert!(world.status("hello").desired >= 10);
    world.run(10);
    let ordered = world.ordered();
    assert!(ordered.is_sorted(), "nothing falls meanwhile: {ordered:?}");
}

#[test]
fn a_named_retirement_is_prepared_for_its_pods_alone() {
    let mut world = World::with(function("hello", &[("target", "10")]), 3);
    world.load("hello", 12, 0);
    world.run(40);
    assert_eq!(world.ordered(), [2]);
    let pods = world.sent.iter().find_map(|(_, frame)| match frame {
        Down::Prepare { pods, .. } => Some(pods.clone()),
        _ => None,
    });
    assert_eq!(pods, Some(Retiring::Named(vec!["pod-3".into()])));
}
