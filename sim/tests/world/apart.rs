//! Functions that share nothing, one by one and together.

use dormouse_sim::draw::Distribution;
use dormouse_sim::world::{
    Capacity, Fault, Kill, Log, Nodes, Policy, Rate, Recording, SECOND_NS, Scorecard, Setup,
    record, run, run_checked,
};

use crate::kit::*;
use crate::swarm::{plan::Plan, setup as drawn};

/// Whether a world was lived through function by function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lived {
    Apart,
    Together,
}

/// How it was lived through, where it comes to the same as one world, but for the events it took.
#[track_caller]
fn lived(setup: &Setup, seed: u64, together: Scorecard) -> Lived {
    let card = run(setup, seed).unwrap();
    let lived = if card.events == together.events { Lived::Together } else { Lived::Apart };
    assert_eq!(Scorecard { events: together.events, ..card }, together);
    lived
}

/// The score of one world; what is recorded of it is nothing.
fn together(setup: &Setup, seed: u64) -> Scorecard {
    record(setup, seed, &Recording { functions: Vec::new(), bins: 1 }).unwrap().0
}

#[test]
fn functions_of_ideal_worlds_come_to_the_same_apart() {
    let mut apart = 0;
    for seed in 0..80 {
        let setup = drawn(&Plan::draw(seed).ideal().scenario());
        let lived = lived(&setup, seed, run_checked(&setup, seed).unwrap());
        apart += u32::from(lived == Lived::Apart);
    }
    assert!(apart > 40, "{apart}");
}

#[test]
fn a_silence_of_any_length_comes_to_the_same() {
    let times = At([10, 11, 400, 7_205, 7_330, 19_990].map(|at| at * SECOND_NS).to_vec());
    for every_s in [1, 7, 29, 45, 61, 130] {
        let seldom = function("seldom", &[], times.clone());
        let often = function("often", &[], Poisson { mean_ns: 20 * SECOND_NS });
        let mut setup = setup(vec![seldom, often], 20_000);
        (setup.log, setup.world.report.every_ns) = (Log::None, every_s * SECOND_NS);
        let lived = lived(&setup, 3, together(&setup, 3));
        assert_eq!(lived, Lived::Apart, "{every_s} s");
    }
}

/// Functions that keep an idle pod, for a while or for ever, and one that does not. A report in
/// which nothing happened is no event where they are lived through apart, a tick is one: for each
/// of five requests or bursts a function has a few reports that say something.
#[test]
fn ticks_that_say_nothing_new_come_to_the_same_and_count() {
    let load = || At([5, 70, 300, 301, 1_490].map(|at| at * SECOND_NS + 7).to_vec());
    for (seconds, keep_s) in [(1_500, 600), (1_801, 30), (3_599, 3_000), (3_600, 1)] {
        let mut kept = function("kept", &[], load());
        kept.policy = Policy::FixedIdle { keep_ns: keep_s * SECOND_NS };
        let floor = function("floor", &[("autoscaling.knative.dev/min-scale", "1")], load());
        let mut setup = setup(vec![kept, floor, function("live", &[], load())], seconds);
        setup.log = Log::None;
        for function in &mut setup.functions {
            function.service = Distribution::Constant(100);
        }
        let together = together(&setup, 3);
        let apart = run(&setup, 3).unwrap();
        let quiet = together.events - apart.events;
        assert_eq!(Scorecard { events: together.events, ..apart }, together);
        let silent = seconds - 3 * 5 * 5..=seconds;
        assert!(silent.contains(&quiet), "{quiet} silent reports in {seconds} s");
    }
}

/// One pod bears a request a second; ten of them are more than it is to bear, wherever in a stable
/// window they begin, and whether it is young or was idle.
#[test]
fn load_that_grows_is_decided_on_when_it_does() {
    let target = [("autoscaling.knative.dev/target", "2")];
    for grows_s in [8, 41, 103, 180, 260] {
        let steady = (5..grows_s).map(|at| at * SECOND_NS + 7);
        let steep = (0..100).map(|at| grows_s * SECOND_NS + at * SECOND_NS / 10);
        let load = || At(steady.clone().chain(steep.clone()).collect());
        let mut kept = function("kept", &target, load());
        kept.policy = Policy::FixedIdle { keep_ns: 20 * SECOND_NS };
        let mut setup = setup(vec![kept, function("live", &target, load())], 600);
        setup.log = Log::None;
        for function in &mut setup.functions {
            function.service = Distribution::Constant(SECOND_NS / 2);
        }
        let together = together(&setup, 3);
        let most: Vec<_> = together.functions.iter().map(|row| row.from(0).pods_most).collect();
        assert!(most.iter().all(|most| *most > 1), "{most:?} pods, growing at {grows_s} s");
        assert_eq!(lived(&setup, 3, together), Lived::Apart);
    }
}

/// Three requests that last, where one pod is to bear 0.7 × 4 at once, beginning anywhere in a
/// second: what each second has of them may be bearable when it is decided on. Reports that say
/// only that they go on are no events.
#[test]
fn requests_that_go_on_are_decided_on_and_come_to_the_same() {
    const LAST_S: u64 = 150;
    // Activators' reports begin elsewhere in a second under every seed.
    for (seed, begin_ms) in (0..).zip((0..2_000).step_by(50)) {
        let begin_ns = 70 * SECOND_NS + begin_ms * 1_000_000;
        let wide = [("autoscaling.knative.dev/target", "4")];
        let narrow = [wide[0], ("autoscaling.knative.dev/min-scale", "1")];
        let load = || At(vec![begin_ns, begin_ns + 1, begin_ns + 2]);
        let mut setup =
            setup(vec![function("live", &wide, load()), function("kept", &narrow, load())], 600);
        setup.log = Log::None;
        for function in &mut setup.functions {
            function.service = Distribution::Constant(LAST_S * SECOND_NS);
        }
        let (apart, together) = (run(&setup, seed).unwrap(), together(&setup, seed));
        let quiet = together.events - apart.events;
        assert_eq!(Scorecard { events: together.events, ..apart }, together);
        let most: Vec<_> = together.functions.iter().map(|row| row.from(0).pods_most).collect();
        assert!(most.iter().all(|most| *most > 1), "{most:?} pods at {begin_ms} ms");
        // One report a second for each would be made while they go on, and one for both is not.
        assert!(quiet > 600 - 30, "{quiet} at {begin_ms} ms");
    }
}

/// Two functions that hold more than all may.
#[test]
fn functions_that_meet_at_the_bound_of_all_are_lived_through_together() {
    let crowd = |name| {
        let times = (0..6_000).map(|at| SECOND_NS + at).collect();
        let depth = [("dormouse.dev/queue-depth", "10000")];
        let mut function = function(name, &depth, At(times));
        function.capacity = Capacity::Slots(count(1_000));
        function
    };
    let mut setup = setup(vec![crowd("one"), crowd("other")], 60);
    setup.log = Log::None;
    let card = together(&setup, 1);
    let refused: u64 = card.functions.iter().map(|row| row.from(0).refused).sum();
    assert!(refused > 0);
    assert_eq!(lived(&setup, 1, card), Lived::Together);
}

#[test]
fn a_world_in_which_anything_is_shared_is_lived_through_as_one() {
    let ideal = |change: &dyn Fn(&mut Setup)| {
        let load = Poisson { mean_ns: 30 * SECOND_NS };
        let mut setup = setup(["one", "other"].map(|name| function(name, &[], load)).into(), 600);
        setup.log = Log::None;
        change(&mut setup);
        lived(&setup, 5, together(&setup, 5))
    };
    assert_eq!(ideal(&|_| {}), Lived::Apart);
    let changes: [&dyn Fn(&mut Setup); 8] = [
        &|it| it.world.activators = count(2),
        &|it| it.world.report.delay_ns = 1,
        &|it| it.world.report.loss = 0.1,
        &|it| it.world.api.rate = Some(Rate { every_ns: SECOND_NS, burst: 1 }),
        &|it| it.world.nodes = Some(nodes()),
        &|it| it.world.faults = vec![fault()],
        &|it| it.functions[1].settings = settings(&[("dormouse.dev/burst", "queue")]),
        &|it| it.log = Log::Changes,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert_eq!(ideal(change), Lived::Together, "change {number}");
    }
}

fn nodes() -> Nodes {
    Nodes { count: count(1), pods: count(1), schedule_ns: 0 }
}

fn fault() -> Fault {
    Fault { at_ns: 300 * SECOND_NS, kill: Kill::Leader, for_ns: SECOND_NS }
}
