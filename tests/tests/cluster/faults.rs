//! Whatever dies, requests to warm functions go on.

use dormouse_tests::cluster::component::Component;
use dormouse_tests::cluster::function::Function;
use dormouse_tests::cluster::installed::{Part, crash, gateway, gateway_of, parts};
use dormouse_tests::cluster::load::{Connections, Load, Outcome};
use dormouse_tests::cluster::stage::Stage;
use dormouse_tests::wait;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::ListParams;

use crate::functions::ready_pods;

/// How long the API server is away: longer than any time-out or lease that could end meanwhile, the
/// minute included after which a silent activator counts as lost.
const AWAY_S: u32 = 120;

/// Requests a second, to each of two activators.
const PER_SECOND: u32 = 100;

/// A function with a pod, and load on it by each activator.
struct Warm<'a> {
    function: Function<'a>,
    loads: Vec<Load>,
}

impl<'a> Warm<'a> {
    fn start(stage: &'a Stage<'a>, name: &str) -> Self {
        let gateway = gateway(stage);
        let annotations = [
            ("autoscaling.knative.dev/min-scale", "1"),
            ("autoscaling.knative.dev/max-scale", "1"),
        ];
        let function = Function::create(stage, name, &annotations, &[]);
        function.wait_known(gateway);
        ready_pods(stage, name, 1);
        let activators = parts(stage, Part::Activator);
        assert_eq!(activators.len(), 2);
        let begin = |activator| {
            let gateway = gateway_of(activator);
            function.wait_known(gateway);
            function.load(gateway, PER_SECOND, Connections::Kept)
        };
        let loads = activators.iter().map(begin).collect();
        let warm = Self { function, loads };
        warm.pass(1);
        warm
    }

    /// Lets requests of so many seconds pass.
    #[track_caller]
    fn pass(&self, seconds: u32) {
        Load::pass_all(&self.loads, seconds * PER_SECOND);
    }

    #[track_caller]
    fn assert_none_lost(self) {
        let outcomes = self.loads.into_iter().flat_map(Load::finish).collect();
        self.function.assert_none_lost(&outcomes);
    }
}

pub(crate) fn requests_outlive_the_autoscaler_and_every_part_of_kubernetes(stage: &Stage<'_>) {
    let warm = Warm::start(stage, "warm");
    for autoscaler in parts(stage, Part::Autoscaler) {
        crash(stage, &autoscaler);
    }
    warm.pass(1);
    let (control_plane, node) = (&stage.cluster.control_plane, &stage.cluster.node);
    let again = |component: &Component| {
        component.kill();
        warm.pass(1);
        component.start_again();
    };
    again(&control_plane.scheduler);
    again(&control_plane.controller_manager);
    again(&control_plane.etcd);
    control_plane.wait_for_api_server();
    again(&node.kube_proxy);
    node.kubelet.kill();
    node.containerd.kill();
    warm.pass(1);
    node.start_again();
    warm.pass(1);
    warm.assert_none_lost();
}

pub(crate) fn a_killed_activator_takes_only_its_own_connections(stage: &Stage<'_>) {
    let mut warm = Warm::start(stage, "warm");
    crash(stage, &parts(stage, Part::Activator)[0]);
    warm.pass(1);
    let dead = warm.loads.remove(0).finish();
    for (id, outcome) in &dead {
        // What was under way broke off; what came before another process listened and knew its
        // functions was refused.
        let is_own = match outcome {
            Outcome::Failed(_) | Outcome::Answered(200, _) => true,
            Outcome::Answered(status, text) => *status == 503 && text.contains("no-table"),
        };
        assert!(is_own, "{id}: {outcome:?}");
    }
    let others = warm.loads.remove(0).finish();
    let bad: Vec<_> = others.values().filter(|outcome| !outcome.is_good()).collect();
    assert!(bad.is_empty(), "{bad:?}");
    let arrived = warm.function.arrived();
    let answered = dead.iter().chain(&others).filter(|(_, outcome)| outcome.is_good());
    let wrong: Vec<_> = answered.filter(|(id, _)| arrived.get(*id) != Some(&1)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(arrived.values().all(|&times| times == 1));
}

pub(crate) fn requests_outlive_an_api_server_that_is_away(stage: &Stage<'_>) {
    let warm = Warm::start(stage, "warm");
    let control_plane = &stage.cluster.control_plane;
    control_plane.api_server.kill();
    warm.pass(AWAY_S);
    control_plane.api_server.start_again();
    control_plane.wait_for_api_server();
    warm.pass(5);
    warm.assert_none_lost();
    settle(stage);
}

/// Waits until the node is trusted again: to the controllers it was silent while nobody could hear
/// it, and they take its pods out of every Service for a while.
fn settle(stage: &Stage<'_>) {
    let leases: Api<Lease> = Api::namespaced(stage.client(), "kube-node-lease");
    let renewed = || {
        let leases = stage.wait(leases.list(&ListParams::default())).ok()?.items;
        leases.into_iter().map(|lease| lease.spec?.renew_time).collect::<Option<Vec<_>>>()
    };
    let before = wait::until("the node's leases", renewed);
    wait::until("the node to be heard", || renewed().filter(|now| *now != before));
    stage.kubectl(&["wait", "--for=condition=Ready", "node", "--all", "--timeout=60s"]);
    let pods = ["wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s"];
    stage.kubectl(&[&["--namespace", "dormouse"][..], &pods[..]].concat());
}
