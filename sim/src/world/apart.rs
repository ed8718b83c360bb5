//! Functions that share nothing are lived through one after the other: each one's events are few
//! and its state is small, so that both stay near the processor.
//!
//! In an ideal world functions meet in two places. One is the activator's report, which names all
//! of them but says of each what it would say alone, at the same time. The other is the bound on
//! what all of them hold together: as long as they hold less than it leaves to the greediest of
//! them, it turns nobody away. That is seen afterwards, and if it is not so, the world is lived
//! through as one.

use std::num::NonZeroU32;

use super::activator::HELD_FREE;
use super::engine::{self, Alone};
use super::score::{Ended, Scorecard};
use super::setup::{Api, Log, Report, Setup, World};
use super::{RunError, Ticking};
use dormouse_policy::settings::Burst;

/// The score of a world whose functions share nothing; none if they do.
pub(super) fn run(setup: &Setup, seed: u64) -> Result<Option<Scorecard>, RunError> {
    engine::validate(setup)?;
    engine::names(setup)?;
    if !share_nothing(setup) {
        return Ok(None);
    }
    let mut whole =
        Scorecard { seed, events: 0, ended: Ended::Time, functions: Vec::new(), log: Vec::new() };
    let mut held = 0;
    for at in 0..setup.functions.len() {
        let alone = alone(setup, at, setup.events_max - whole.events);
        let Alone { card, held_most } = engine::run_alone(&alone, seed)?;
        held += u64::from(held_most);
        whole.events += card.events;
        let is_over = whole.events > setup.events_max;
        if card.ended != Ended::Time || is_over || held > HELD_FREE {
            return Ok(None);
        }
        whole.functions.extend(card.functions);
    }
    Ok(Some(whole))
}

/// Whether functions of that world share nothing but a bound on what all of them hold, and nothing
/// is kept of it in the order of all their events.
fn share_nothing(setup: &Setup) -> bool {
    let World { activators, report, api, readiness: _, nodes, faults } = &setup.world;
    let Report { every_ns: _, delay_ns, loss } = report;
    let Api { latency_ns: _, rate } = api;
    // Who looks at pressure reports at other times, and then of every function.
    let press = setup.functions.iter().any(|it| it.settings.scaling.burst != Burst::Kpa);
    *activators == NonZeroU32::MIN
        && *delay_ns == 0
        && *loss <= 0.0
        && rate.is_none()
        && nodes.is_none()
        && faults.is_empty()
        && !press
        && setup.log == Log::None
        && setup.ticking == Ticking::Awake
}

/// The same world with one of its functions.
fn alone(setup: &Setup, at: usize, events_max: u64) -> Setup {
    Setup {
        functions: vec![setup.functions[at].clone()],
        world: setup.world.clone(),
        end_ns: setup.end_ns,
        cuts_ns: setup.cuts_ns.clone(),
        waited_over_ns: setup.waited_over_ns,
        events_max,
        log: setup.log,
        ticking: setup.ticking,
    }
}
