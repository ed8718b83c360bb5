use dormouse_policy::function::Function;

use super::*;
use crate::cluster::manifest::{self, Programs, Source};

/// Names `a-0`, `a-1`, …, and a port for each.
#[derive(Default)]
struct Counting {
    drawn: u16,
}

impl Draw for Counting {
    fn draw(&mut self, _: &Function, ordinal: Option<u32>) -> Result<Identity, String> {
        let name = match ordinal {
            Some(ordinal) => format!("a-{ordinal}.{}", self.drawn),
            None => format!("a-{}", self.drawn),
        };
        self.drawn += 1;
        Ok(Identity { hostname: name.clone(), name, ports: vec![1000 + self.drawn] })
    }

    fn give_back(&mut self, _: &[u16]) {}
}

struct World {
    replicas: Replicas,
    draw: Counting,
    now: Instant,
}

impl World {
    fn new(kind: &str, probe: &str) -> Self {
        let text = format!(
            r#"
apiVersion: v1
kind: Service
metadata: {{name: a}}
spec:
  selector: {{app: a}}
  ports: [{{port: 80, targetPort: 8080}}]
---
apiVersion: apps/v1
kind: {kind}
metadata:
  name: a
  annotations: {{dormouse.dev/enabled: "true", dormouse.dev/local-command: run}}
spec:
  selector: {{matchLabels: {{app: a}}}}
  template:
    metadata: {{labels: {{app: a}}}}
    spec:
      terminationGracePeriodSeconds: 5
      containers: [{{name: a{probe}}}]
"#
        );
        let source = Source { path: "a.yaml".into(), text };
        let mut manifests = manifest::read(&[source], &Programs::default());
        assert_eq!(manifests.faults, []);
        Self {
            replicas: Replicas::new(manifests.functions.remove(0)),
            draw: Counting::default(),
            now: Instant::now(),
        }
    }

    fn apply(&mut self, event: Event) -> Vec<String> {
        let actions = self.replicas.apply(event, self.now, &mut self.draw);
        let text = |action: Action| match action {
            Action::Start(identity) => format!("start {}", identity.name),
            Action::Stop(name, stop) => format!("{stop:?} {name}").to_lowercase(),
            Action::Try(name, _) => format!("try {name}"),
            Action::Complain(_, reason) => reason,
        };
        actions.into_iter().map(text).collect()
    }

    fn scale(&mut self, replicas: u32, victims: &[&str]) -> Vec<String> {
        let victims = victims.iter().map(|&name| name.to_owned()).collect();
        self.apply(Event::Scale { replicas, victims })
    }

    fn end(&mut self, replica: &str) -> Vec<String> {
        let ending = Ending::Exited(3);
        self.apply(Event::Ended { replica: replica.to_owned(), ending })
    }

    fn tried(&mut self, replica: &str, result: Result<(), Refusal>) -> Vec<String> {
        self.apply(Event::Tried { replica: replica.to_owned(), result })
    }

    fn pass(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        self.apply(Event::Due)
    }

    fn phases(&self) -> Vec<(String, PodPhase)> {
        let pods = self.replicas.pods(self.now).pods;
        pods.into_iter().map(|pod| (pod.name, pod.phase)).collect()
    }

    fn failure(&self) -> Option<(String, u64)> {
        let failure = self.replicas.pods(self.now).failure?;
        assert_eq!(failure.code, "crash-loop");
        Some((failure.message, failure.retry_ms))
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn scaling_starts_what_is_missing_and_stops_named_then_newest() {
    let mut world = World::new("Deployment", "");
    let started = world.scale(4, &[]);
    assert_eq!(
        started,
        [
            "start a-0",
            "start a-1",
            "start a-2",
            "start a-3", //
            "try a-0",
            "try a-1",
            "try a-2",
            "try a-3",
        ]
    );
    assert_eq!(world.scale(2, &["a-1", "stranger"]), ["terminate a-1", "terminate a-3"]);
    assert_eq!(world.scale(2, &["a-0"]), [""; 0]);
    let phases: Vec<_> = world.phases().into_iter().map(|(_, phase)| phase).collect();
    use PodPhase::{Starting, Terminating};
    assert_eq!(phases, [Starting, Terminating, Starting, Terminating]);
    // One that terminates is not taken back: it may have begun to close already.
    assert_eq!(world.scale(3, &[]), ["start a-4", "try a-4"]);
}

#[test]
fn a_replica_that_outlives_its_grace_period_is_killed_once() {
    let mut world = World::new("Deployment", "");
    world.scale(1, &[]);
    assert_eq!(world.scale(0, &[]), ["terminate a-0"]);
    assert_eq!(world.replicas.due(world.now), Some(world.now + 5 * SECOND));
    assert_eq!(world.pass(4 * SECOND), [""; 0]);
    assert_eq!(world.pass(SECOND), ["kill a-0"]);
    assert_eq!(world.pass(SECOND), [""; 0]);
    assert_eq!(world.replicas.due(world.now), None);
    world.end("a-0");
    assert!(world.replicas.is_empty());
    assert_eq!(world.failure(), None);
}

#[test]
fn a_crash_loop_waits_as_kubernetes_does_and_is_a_failure_from_the_second_end() {
    let mut world = World::new("Deployment", "");
    world.scale(1, &[]);
    assert_eq!(world.end("a-0"), ["start a-1", "try a-1"]);
    assert_eq!(world.failure(), None);
    assert_eq!(world.end("a-1"), [""; 0]);
    let message = "a-1 exited with status 3".to_owned();
    assert_eq!(world.failure(), Some((message.clone(), 10_000)));
    assert_eq!(world.pass(4 * SECOND), [""; 0]);
    assert_eq!(world.failure(), Some((message, 6_000)));
    assert_eq!(world.pass(6 * SECOND), ["start a-2", "try a-2"]);
    assert_eq!(world.failure(), None);
    world.end("a-2");
    assert_eq!(world.failure().unwrap().1, 20_000);
}

#[test]
fn the_back_off_outlives_zero() {
    let mut world = World::new("Deployment", "");
    world.scale(1, &[]);
    world.end("a-0");
    world.end("a-1");
    world.scale(0, &[]);
    world.now += 3 * SECOND;
    assert_eq!(world.scale(1, &[]), [""; 0]);
    assert_eq!(world.failure().unwrap().1, 7_000);
    assert_eq!(world.replicas.due(world.now), Some(world.now + 7 * SECOND));
    assert_eq!(world.pass(7 * SECOND), ["start a-2", "try a-2"]);
}

#[test]
fn a_ready_replica_keeps_a_crashing_sibling_from_being_a_failure() {
    let mut world = World::new("Deployment", "");
    world.scale(2, &[]);
    world.tried("a-0", Ok(()));
    world.end("a-1");
    world.end("a-2");
    assert_eq!(world.failure(), None);
    assert_eq!(world.phases(), [("a-0".to_owned(), PodPhase::Ready)]);
}

#[test]
fn without_a_probe_a_connection_is_readiness_and_three_refusals_end_it() {
    let mut world = World::new("Deployment", "");
    world.scale(1, &[]);
    let refused = || Err(Refusal::NotListening(0));
    world.tried("a-0", refused());
    assert_eq!(world.pass(Duration::from_millis(99)), [""; 0]);
    assert_eq!(world.pass(Duration::from_millis(1)), ["try a-0"]);
    world.tried("a-0", Ok(()));
    assert_eq!(world.phases()[0].1, PodPhase::Ready);
    assert_eq!(world.replicas.due(world.now), Some(world.now + 10 * SECOND));
    world.tried("a-0", refused());
    world.tried("a-0", refused());
    assert_eq!(world.phases()[0].1, PodPhase::Ready);
    world.tried("a-0", refused());
    assert_eq!(world.phases()[0].1, PodPhase::Starting);
}

#[test]
fn a_given_probe_keeps_its_own_times() {
    let probe = ", readinessProbe: {tcpSocket: {port: 8080}, initialDelaySeconds: 2, \
                 periodSeconds: 4, successThreshold: 2, failureThreshold: 1}";
    let mut world = World::new("Deployment", probe);
    assert_eq!(world.scale(1, &[]), ["start a-0"]);
    assert_eq!(world.pass(2 * SECOND), ["try a-0"]);
    world.tried("a-0", Ok(()));
    assert_eq!(world.phases()[0].1, PodPhase::Starting);
    assert_eq!(world.pass(4 * SECOND), ["try a-0"]);
    world.tried("a-0", Ok(()));
    assert_eq!(world.phases()[0].1, PodPhase::Ready);
    world.tried("a-0", Err(Refusal::Answer("GET / answers 500".to_owned())));
    assert_eq!(world.phases()[0].1, PodPhase::Starting);
}

#[test]
fn a_replica_that_never_listens_is_said_to_once_with_the_port() {
    let mut world = World::new("Deployment", "");
    world.scale(1, &[]);
    assert_eq!(world.tried("a-0", Err(Refusal::NotListening(0))), [""; 0]);
    world.now += PATIENCE;
    let complaint = "does not listen on PORT=1001";
    assert_eq!(world.tried("a-0", Err(Refusal::NotListening(0))), [complaint]);
    assert_eq!(world.tried("a-0", Err(Refusal::NotListening(0))), [""; 0]);
    let waiting_for = |world: &World| world.replicas.pods(world.now).pods[0].waiting_for.clone();
    assert_eq!(waiting_for(&world).as_deref(), Some(complaint));
    world.tried("a-0", Ok(()));
    assert_eq!(waiting_for(&world), None);
}

#[test]
fn an_ordinal_is_one_replicas_alone() {
    let mut world = World::new("StatefulSet", "");
    world.scale(3, &[]);
    assert_eq!(world.scale(1, &[]), ["terminate a-2.2", "terminate a-1.1"]);
    assert_eq!(world.scale(2, &[]), [""; 0]);
    assert_eq!(world.end("a-1.1"), ["start a-1.3", "try a-1.3"]);
}

#[test]
fn a_stop_is_final() {
    let mut world = World::new("Deployment", "");
    world.scale(1, &[]);
    assert_eq!(world.apply(Event::Stop), ["terminate a-0"]);
    assert_eq!(world.scale(5, &[]), [""; 0]);
    world.end("a-0");
    assert!(world.replicas.is_empty());
}

#[test]
fn no_number_starts_more_than_the_bound() {
    let mut world = World::new("Deployment", "");
    world.scale(u32::MAX, &[]);
    assert_eq!(world.phases().len(), REPLICAS_MAX as usize);
    assert_eq!(world.replicas.pods(world.now).replicas, u32::MAX);
}
