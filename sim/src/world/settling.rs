//! Settling accounts: what the ledgers say of the same requests must agree to the unit.

use super::engine::{Place, Sim};
use super::score::{Ended, Row, Scorecard};
use super::setup::Policy;
use super::{RunError, floor};

impl Sim<'_> {
    /// The score of a world that has ended.
    pub(super) fn finish(mut self, ended: Ended) -> Result<Scorecard, RunError> {
        for activator in self.there().collect::<Vec<_>>() {
            self.reconcile(activator).map_err(|what| self.broken(what))?;
        }
        for request in &self.requests {
            if request.place != Place::Free {
                let function = &mut self.functions[request.function as usize];
                function.ledger.stay(request.visit.part);
            }
        }
        for function in &self.functions {
            let (arrived, accounted) = function.ledger.balance();
            if arrived != accounted {
                let name = &function.spec.name;
                let what = format!("{name}: {arrived} requests arrived, {accounted} are known of");
                return Err(self.broken(what));
            }
        }
        let (now_ns, setup) = (self.now_ns, self.setup);
        let rows = self.functions.into_iter().map(|function| match function.spec.policy {
            Policy::Floor => floor::floor(setup, function, now_ns),
            _ => function.ledger.close(now_ns).split_off(1),
        });
        let names = setup.functions.iter().map(|function| function.name.clone());
        let rows = names.zip(rows.collect::<Vec<_>>()).map(|(name, parts)| Row { name, parts });
        Ok(Scorecard {
            seed: self.seed,
            events: self.events,
            ended,
            functions: rows.collect(),
            log: self.log,
        })
    }

    /// Little's law in whole numbers: the area under the concurrency curve that the counters of an
    /// activator come to is the time that the requests it saw spent there, one by one.
    pub(super) fn reconcile(&self, activator: usize) -> Result<(), String> {
        let now_us = self.now_us();
        let it = &self.activators[activator];
        let mut listed: Vec<u64> = it.views.iter().map(|view| view.listed_us).collect();
        for request in self.requests.iter().filter(|request| request.place != Place::Free) {
            if usize::from(request.activator) == activator {
                let listed = &mut listed[request.function as usize];
                *listed = listed.wrapping_add(now_us - request.begun_us());
            }
        }
        for ((counters, listed), function) in it.counters.iter().zip(listed).zip(&self.functions) {
            let counted = counters.read(now_us).map(|reading| reading.area_us);
            if counted != Some(listed) {
                let name = &function.spec.name;
                return Err(format!(
                    "{name} at {}: the counters come to {counted:?} request-µs, the requests to \
                     {listed}",
                    it.name
                ));
            }
        }
        Ok(())
    }
}
