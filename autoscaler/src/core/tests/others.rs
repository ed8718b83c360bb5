//! Others write replicas, and templates.

use std::sync::Arc;

use dormouse_policy::function::{Function, Probe};

use super::*;
use crate::cluster::{FailureFact, Leading, Means, Rollout, Setter, Topic};

impl World {
    /// Another writer sets the replicas of `hello`.
    pub(super) fn set_by(&mut self, replicas: u32, by: &str) {
        self.obey(&name("hello"), replicas, &[]);
        let means = if by == "argocd-controller" { Means::Manifest } else { Means::Figure };
        self.change(|pods| pods.set_by = Some(Arc::new(Setter { name: Arc::from(by), means })));
    }

    fn change(&mut self, change: impl FnOnce(&mut Pods)) {
        change(self.cluster.get_mut(&name("hello")).unwrap());
        self.tell(&name("hello"));
    }

    /// The pods of `hello` have found no node.
    fn has_no_node(&mut self) {
        let failure = FailureFact {
            code: "unschedulable".into(),
            message: "no node".into(),
            retry_ms: 10_000,
            patience_ms: 15_000,
        };
        self.change(|pods| (pods.failure, pods.pods) = (Some(Box::new(failure)), Vec::new()));
    }

    fn last_rules(&self) -> Vec<String> {
        let last = self.core.functions[&name("hello")].scaling.as_ref().unwrap().last.clone();
        last.unwrap().reasons.iter().map(|reason| reason.rule.to_string()).collect()
    }

    fn said(&self, topic: Topic) -> Option<&str> {
        let mut notes = self.notes.iter().rev().filter(|note| note.topic == topic);
        notes.next()?.text.as_deref()
    }
}

#[test]
fn a_persons_zero_stays_until_it_is_raised_and_says_so() {
    let mut world = World::with(function("hello", &[]), 1);
    world.run(5);
    world.set_by(0, "kubectl-scale");
    let failure = world.entry("hello").failure.unwrap();
    assert_eq!((failure.code.as_str(), failure.retry_ms), ("scaled-to-zero", u64::MAX));
    assert!(world.said(Topic::ScaledToZero).unwrap().contains("kubectl-scale"));
    assert!(world.status("hello").message.unwrap().contains("kubectl-scale"));
    world.wake("hello");
    world.load("hello", 1, 1);
    world.run(10);
    assert_eq!(world.ordered(), [0; 0]);
    assert!(world.last_rules().contains(&"another writer, who set it to 0".to_owned()));

    world.set_by(1, "kubectl-scale");
    assert_eq!(world.entry("hello").failure, None);
    assert_eq!(world.said(Topic::ScaledToZero), None);
    assert_eq!(world.notes.len(), 2, "each once");
    let connection = *world.activators.keys().next().unwrap();
    world.hear(connection, Up::WakesChanged { added: vec![], removed: vec![name("hello")] });
    world.load("hello", 0, 0);
    world.run(30);
    assert_eq!(world.ordered(), [0], "as ever");
}

#[test]
fn a_zero_that_comes_with_a_manifest_is_sleep() {
    let mut world = World::with(function("hello", &[("target", "10")]), 1);
    world.load("hello", 1, 1);
    world.run(5);
    world.set_by(0, "argocd-controller");
    assert_eq!(world.entry("hello").failure, None);
    assert_eq!(world.said(Topic::ScaledToZero), None);
    world.run(5);
    assert_eq!(world.ordered(), [1], "what is in flight needs it");
    // Beside one that applies it again and again, what is needed is written all the same, seldom.
    for _ in 0..2 {
        world.set_by(0, "argocd-controller");
        world.run(5);
    }
    assert!(world.said(Topic::Reapplied).unwrap().contains("argocd-controller"));
    world.set_by(0, "argocd-controller");
    let before = world.ordered().len();
    world.run(50);
    assert_eq!(world.ordered().len(), before);
    world.run(15);
    assert_eq!(world.ordered().split_off(before), [1]);
}

#[test]
fn a_zero_that_nobody_is_named_for_is_a_persons_unless_one_of_us_may_have_ordered_it() {
    let zeroed = |mut world: World, lead: &[Leading], seconds| {
        world.run(5);
        for &leading in lead {
            world.apply(Event::Fact(Fact::Leading(leading)));
        }
        world.run(seconds);
        world.obey(&name("hello"), 0, &[]);
        world.tell(&name("hello"));
        world.entry("hello").failure.map(|failure| failure.code)
    };
    let settings = || function("hello", &[("min-scale", "1")]);
    let refused = Some("scaled-to-zero".to_owned());
    assert_eq!(zeroed(World::with(settings(), 1), &[], 5), refused);
    let lead = [Leading::Yes { term: 7 }];
    assert_eq!(zeroed(World::follower(settings(), 1), &[], 5), None, "the leader's");
    assert_eq!(zeroed(World::follower(settings(), 1), &lead, 5), None, "the last leader's");
    assert_eq!(zeroed(World::follower(settings(), 1), &lead, 7), refused);
}

#[test]
fn a_higher_figure_is_kept_for_a_window() {
    let mut world = World::with(function("hello", &[("max-scale", "3")]), 1);
    world.load("hello", 1, 0);
    world.run(10);
    world.set_by(4, "kubectl-scale");
    world.run(5);
    assert_eq!(world.ordered(), [0; 0], "{:?}", world.last_rules());
    world.run(10);
    assert_eq!(world.ordered().last(), Some(&1));
}

#[test]
fn beside_a_re_applier_the_higher_figure_is_written_and_seldom() {
    let mut world = World::with(function("hello", &[("target", "10")]), 1);
    for flips in 1..=3 {
        assert_eq!(world.said(Topic::Reapplied), None);
        world.run(30);
        assert_eq!(world.orders.len(), flips, "{:?}", world.ordered());
        world.set_by(1, "argocd-controller");
    }
    assert!(world.said(Topic::Reapplied).unwrap().contains("argocd-controller"));
    world.run(120);
    assert_eq!(world.ordered(), [0, 0, 0], "its figure stands");
    world.load("hello", 50, 0);
    world.run(6);
    assert_eq!(world.ordered().split_off(3), [8]);
    for _ in 0..3 {
        world.run(7);
        world.set_by(1, "argocd-controller");
    }
    assert_eq!(world.ordered().split_off(3), [8], "undone at once, written once a minute");
    world.run(60);
    assert_eq!(world.ordered().split_off(3), [8, 8]);
}

#[test]
fn a_re_applier_that_falls_silent_is_forgotten_although_its_function_sleeps() {
    let mut world = World::with(function("hello", &[]), 1);
    for _ in 0..3 {
        world.run(30);
        world.set_by(1, "argocd-controller");
    }
    // Now its zero stands, by whose hand is of no matter.
    world.set_by(1, "argocd-controller");
    world.obey(&name("hello"), 0, &[]);
    world.change(|pods| pods.set_by = None);
    assert!(world.said(Topic::Reapplied).is_some());
    world.run(598);
    assert!(world.said(Topic::Reapplied).is_some());
    world.run(3);
    assert_eq!(world.said(Topic::Reapplied), None);
    assert!(world.core.timers.is_empty(), "what sleeps has no timer again");
}

#[test]
fn a_redeployed_function_keeps_its_replicas_until_ready_and_for_a_window() {
    let mut world = World::with(function("hello", &[]), 1);
    world.change(|pods| pods.revision = "1".into());
    world.run(4);
    // The pod of the new template is not ready yet.
    world.change(|pods| {
        pods.revision = "2".into();
        pods.pods[0].phase = PodPhase::Starting;
    });
    world.run(60);
    assert_eq!(world.ordered(), [0; 0], "{:?}", world.last_rules());
    world.change(|pods| pods.pods[0].phase = PodPhase::Ready);
    world.run(5);
    assert_eq!(world.ordered(), [0; 0], "{:?}", world.last_rules());
    world.run(5);
    assert_eq!(world.ordered(), [0]);
}

#[test]
fn a_rollout_keeps_more_than_another_writer_asked_for() {
    let mut world = World::with(function("hello", &[("target", "1")]), 1);
    world.set_by(2, "kubectl-scale");
    world.load("hello", 4, 0);
    world.run(3);
    assert!(world.cluster[&name("hello")].replicas > 2);
    let replicas = world.cluster[&name("hello")].replicas;
    world.change(|pods| pods.rollout = Rollout::UnderWay);
    world.load("hello", 0, 0);
    world.run(60);
    assert!(world.last_rules().contains(&format!("rollout of {replicas} under way")));
    assert!(world.ordered().iter().all(|ordered| *ordered >= replicas), "{:?}", world.ordered());
}

#[test]
fn what_may_pass_is_given_its_time_from_when_it_began() {
    let mut world = World::with(function("hello", &[]), 1);
    world.load("hello", 1, 0);
    world.run(20);
    world.has_no_node();
    assert_eq!(world.entry("hello").failure, None, "requests are held");
    world.run(14);
    assert_eq!(world.entry("hello").failure, None);
    world.run(4);
    assert_eq!(world.entry("hello").failure.unwrap().code, "unschedulable");
}

#[test]
fn what_may_pass_is_told_before_requests_give_up() {
    let told_after_s = |happens: fn(&mut World)| {
        let tcp = Probe::Tcp { pod_port: 0, timeout_ms: 1_000 };
        let mut function = Function { probe: tcp, ..function("hello", &[]) };
        function.settings.admission.queue_timeout_ms = 6_000;
        let mut world = World::with(function, 1);
        world.load("hello", 1, 1);
        world.wake("hello");
        happens(&mut world);
        (0..60).find(|_| {
            let is_told = world.entry("hello").failure.is_some();
            world.run(1);
            is_told
        })
    };
    for happens in [World::has_no_node, |_: &mut World| {}] {
        let after_s = told_after_s(happens).unwrap();
        assert!((1..6).contains(&after_s), "{after_s}");
    }
}

#[test]
fn only_a_pod_that_passed_a_probe_is_out_of_reach_while_requests_wait() {
    let tcp = Probe::Tcp { pod_port: 0, timeout_ms: 1_000 };
    let unreachable = Some("unreachable");
    let probes = [(Probe::Connect, None), (tcp, unreachable), (Probe::Reported, unreachable)];
    for (probe, code) in probes {
        let mut world = World::with(Function { probe, ..function("hello", &[]) }, 1);
        world.load("hello", 1, 1);
        world.wake("hello");
        world.run(10);
        let failure = world.entry("hello").failure.map(|failure| failure.code);
        assert_eq!(failure.as_deref(), code);
    }
}

#[test]
fn what_pods_say_themselves_is_told_before_that_they_are_out_of_reach() {
    let tcp = Probe::Tcp { pod_port: 0, timeout_ms: 1_000 };
    let mut world = World::with(Function { probe: tcp, ..function("hello", &[]) }, 1);
    let told = |world: &World| {
        let failure = world.entry("hello").failure.unwrap().code;
        let shown = world.status("hello").failure.unwrap().code;
        let noted = world.said(Topic::CannotStart).unwrap().contains(&failure);
        (noted && failure == shown).then_some(failure)
    };
    world.load("hello", 1, 1);
    world.wake("hello");
    world.run(10);
    assert_eq!(told(&world).as_deref(), Some("unreachable"));
    // It is remembered for a while; meanwhile the pods fail by themselves.
    let failure = FailureFact {
        code: "crash-loop".into(),
        message: "back-off".into(),
        retry_ms: 10_000,
        patience_ms: 0,
    };
    world.change(|pods| {
        pods.failure = Some(Box::new(failure));
        pods.pods[0].phase = PodPhase::Starting;
    });
    assert_eq!(told(&world).as_deref(), Some("crash-loop"));
    world.change(|pods| pods.failure = None);
    assert_eq!(told(&world).as_deref(), Some("unreachable"));
}

#[test]
fn nothing_scales_in_while_pods_are_being_replaced() {
    let mut world = World::with(function("hello", &[]), 2);
    world.change(|pods| pods.rollout = Rollout::UnderWay);
    world.run(60);
    assert_eq!(world.ordered(), [0; 0]);
    assert!(world.last_rules().contains(&"rollout of 2 under way".to_owned()));
    world.change(|pods| pods.rollout = Rollout::Done);
    world.run(10);
    assert_eq!(world.ordered().last(), Some(&0));
}
