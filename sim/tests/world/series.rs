//! What is recorded of a run: exact, and without a trace in the run.

use std::num::NonZeroU32;

use dormouse_sim::world::{
    Course, DECISIONS_MAX, Fault, Kill, Log, Policy, Recording, RunError, SECOND_NS, Setup, record,
    run,
};

use crate::kit::*;

/// Two functions that come and go, activators that break, a leader that is lost.
fn world() -> Setup {
    let busy = function("busy", &[], Poisson { mean_ns: SECOND_NS / 4 });
    let rare = function("rare", &[], Poisson { mean_ns: 150 * SECOND_NS });
    let mut setup = setup(vec![busy, rare], 1_801);
    setup.world.activators = NonZeroU32::new(2).unwrap();
    let fault = |seconds, kill| Fault { at_ns: seconds * SECOND_NS, kill, for_ns: 7 * SECOND_NS };
    setup.world.faults = vec![fault(600, Kill::Activator(0)), fault(900, Kill::Leader)];
    setup.log = Log::All;
    setup
}

fn areas_ns(course: &Course) -> u128 {
    course.bins.iter().map(|bin| u128::from(bin.area_ns)).sum()
}

#[test]
fn a_recording_adds_up_to_the_score_and_changes_nothing() {
    let setup = world();
    let recording = Recording { functions: vec![1, 0], bins: 600 };
    let (card, series) = record(&setup, 3, &recording).unwrap();
    assert_eq!(card, run(&setup, 3).unwrap());
    assert_eq!(series.iter().map(|it| it.function).collect::<Vec<_>>(), [1, 0]);
    for series in &series {
        let score = card.functions[series.function].from(0);
        assert!(score.arrived > 0 && score.scale_ups > 0);
        assert_eq!(series.arrived.iter().sum::<u64>(), score.arrived);
        assert_eq!(areas_ns(&series.open), score.inside_ns);
        assert_eq!(areas_ns(&series.ready), score.ready_ns);
        assert_eq!(series.held.bins.iter().map(|bin| bin.most).max(), Some(score.held_most));
        let decisions = card.log.iter().filter(|it| it.function == series.function);
        assert_eq!(series.decided.iter().sum::<u32>() as usize, decisions.count());
    }
}

#[test]
fn what_is_wanted_and_said_in_a_bin_is_what_was_decided_in_it() {
    let setup = world();
    let recording = Recording { functions: vec![0, 1], bins: 300 };
    let (card, series) = record(&setup, 3, &recording).unwrap();
    for series in &series {
        let mut wanted = 0;
        for (bin, kept) in series.decisions.iter().enumerate() {
            let begins_ns = bin as u64 * series.bin_ns;
            let all = card.log.iter().filter(|it| {
                let at_ns = it.decision.inputs.now_us * 1_000;
                it.function == series.function
                    && (begins_ns..begins_ns + series.bin_ns).contains(&at_ns)
            });
            let all: Vec<_> = all.map(|it| &it.decision).collect();
            wanted = all.last().map_or(wanted, |decision| decision.desired);
            assert_eq!(series.desired.bins[bin].last, wanted, "bin {bin}");
            assert_eq!(kept.is_empty(), all.is_empty());
            let changes: Vec<_> =
                all.iter().filter(|it| it.desired != it.inputs.replicas).copied().collect();
            let told = match changes.is_empty() {
                true => all.last().copied().into_iter().collect(),
                false => changes[changes.len().saturating_sub(DECISIONS_MAX)..].to_vec(),
            };
            assert_eq!(kept.iter().collect::<Vec<_>>(), told, "bin {bin}");
        }
    }
}

#[test]
fn what_is_worked_out_and_not_run_has_no_series() {
    let mut setup = world();
    setup.functions[0].policy = Policy::Floor;
    let recording = Recording { functions: vec![0, 1], bins: 10 };
    let (_, series) = record(&setup, 1, &recording).unwrap();
    assert_eq!(series.iter().map(|it| it.function).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_recording_that_cannot_be_is_refused() {
    for (functions, bins) in [(vec![2], 600), (vec![0, 0], 600), (vec![0], 0), (vec![0], 5_000)] {
        let recording = Recording { functions, bins };
        assert_eq!(record(&world(), 1, &recording), Err(RunError::Recording));
    }
}
