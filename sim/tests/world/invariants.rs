//! A function's day in small, and what holds in every world.

use dormouse_sim::world::{Policy, SECOND_NS, Ticking};

use crate::kit::*;

#[test]
fn a_request_at_zero_wakes_a_pod_waits_for_it_and_the_pod_goes_a_window_later() {
    let setup = setup(vec![function("one", &[], At(vec![10 * SECOND_NS]))], 200);
    let card = card(&setup, 1);
    let score = card.functions[0].from(0);
    assert_eq!((score.arrived, score.answered, score.open), (1, 1, 0));
    assert_eq!((score.cold_starts, score.pre_warms, score.waited.at_zero), (1, 0, 1));
    assert_eq!(score.wait.sum_ns, 2 * u128::from(SECOND_NS), "image and boot, and nothing of ours");
    assert_eq!(score.latency.sum_ns, score.wait.sum_ns + 50_000_000);
    assert_eq!((score.scale_ups, score.scale_downs, score.flaps), (1, 1, 0));
    assert_eq!(card.ended, dormouse_sim::world::Ended::Time);
}

#[test]
fn ticks_in_sleep_change_nothing() {
    let load = Poisson { mean_ns: 50 * SECOND_NS };
    let mut setup = setup(vec![function("one", &[], load)], 3_600 * 4);
    let awake = card(&setup, 3);
    setup.ticking = Ticking::Always;
    let always = card(&setup, 3);
    assert_eq!(awake, always);
    assert!(awake.functions[0].from(0).cold_starts > 50);
}

#[test]
fn no_schedule_in_which_nobody_waits_is_cheaper_than_the_floor() {
    let make = |policy| {
        let mut function = function(
            "one",
            &[("autoscaling.knative.dev/min-scale", "1")],
            Poisson { mean_ns: SECOND_NS / 3 },
        );
        function.policy = policy;
        function.replicas = 1;
        score(&setup(vec![function], 3_600), 5)
    };
    let (kpa, floor) = (make(Policy::Kpa), make(Policy::Floor));
    assert_eq!(kpa.waited.total(), 0);
    assert_eq!(kpa.arrived, floor.arrived);
    assert_eq!(floor.wait.sum_ns, 0);
    assert!(floor.pod_ns < kpa.pod_ns, "{} {}", floor.pod_ns, kpa.pod_ns);
    assert!(floor.pod_ns > floor.need_ns);
}
