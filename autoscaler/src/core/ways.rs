//! Through whom traffic can be led, as the link knows it; and the word to those that leave that
//! nothing leads to them any more.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use dormouse_link::autoscaler_side::Announced;
use dormouse_link::frame::Standing;

use super::{Action, Core};
use crate::cluster::{Activator, Activators};

/// What was told, and what was answered.
#[derive(Debug, Default)]
pub(super) struct Ways {
    told: Arc<Activators>,
    /// The number of the activators by which these addresses were named.
    named: Option<(u64, BTreeSet<IpAddr>)>,
    /// What was told may not be so any more.
    pub(super) is_stale: bool,
}

impl Ways {
    /// These addresses are named, by the decision on the activators of that number.
    pub(super) fn named(&mut self, number: u64, addresses: BTreeSet<IpAddr>) {
        self.named = Some((number, addresses));
    }
}

impl Core {
    /// Tells through whom traffic can be led if that is news, and those that leave if none is led
    /// to them. Only what was decided on the newest word counts: on an older one, somebody may yet
    /// be led to one that was not known to leave.
    pub(super) fn show_ways(&mut self) {
        if std::mem::take(&mut self.ways.is_stale) {
            let each: Vec<Activator> = self.link.announced().filter_map(activator).collect();
            // Where none can be named there is nothing to tell.
            let held = self.functions.iter().filter(|_| !each.is_empty());
            let held = held.filter_map(|(name, state)| {
                let held = state.load.figures().held;
                (held > 0).then(|| (name.clone(), held))
            });
            let held = held.collect();
            let told = &self.ways.told;
            if told.each != each || told.held != held {
                let activators = Arc::new(Activators { number: told.number + 1, each, held });
                self.ways.told = Arc::clone(&activators);
                self.actions.push(Action::LeadThrough(activators));
            }
        }
        let told = Arc::clone(&self.ways.told);
        let Some((number, named)) = &self.ways.named else {
            return;
        };
        let leave = told.each.iter().filter(|it| it.standing == Standing::Leaves);
        let is_named = |it: &&Activator| it.addresses.iter().any(|it| named.contains(it));
        if *number == told.number {
            for activator in leave.filter(|it| !is_named(it)) {
                self.link.unnamed(&activator.name);
            }
        }
    }
}

/// None for one that nothing can be led to.
fn activator((name, announced): (&str, &Announced)) -> Option<Activator> {
    let Announced { listeners, reached_at, standing } = announced;
    let listening = listeners
        .iter()
        .filter_map(|listening| Some((listening.endpoint.clone(), listening.address?.port())));
    (!reached_at.is_empty()).then(|| Activator {
        name: name.to_owned(),
        addresses: reached_at.clone(),
        standing: *standing,
        listening: listening.collect(),
    })
}
