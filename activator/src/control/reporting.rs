//! What the control thread says of load: each second, and at once when a threshold is crossed.

use dormouse_metrics::counts::Load;
use dormouse_policy::function::FunctionName;
use tracing::debug;

use super::Control;
use super::table::Waits;
use crate::network::Network;
use crate::pod::State;

impl<N: Network> Control<N> {
    pub(super) async fn report(&mut self) {
        let now_us = self.parts.clock.now_us();
        let names: Vec<FunctionName> = self.parts.table.names().cloned().collect();
        let mut readings = Vec::new();
        let loads = self.parts.registry.loads(now_us);
        for name in names {
            let Some(tended) = self.parts.table.tended(&name) else {
                continue;
            };
            let function = &tended.function;
            let load = loads.of(&function.counters);
            let is_news = |load: &Load| self.side.is_news(&name, load.started, load.in_flight);
            let held = match (load, load.filter(is_news)) {
                // All that is counted of a function is read only where there is something to tell.
                (Some(_), None) => 0,
                (_, news) => match news.and_then(|load| function.reading(load, now_us)) {
                    // A report without it would say it had no load. The next one covers this
                    // second.
                    None => return debug!(function = %name, "counters unreadable; report put off"),
                    Some(reading) => {
                        let held = reading.held;
                        readings.push(reading);
                        held
                    }
                },
            };
            let waits = match held > 0 && function.view.load().takes_requests() {
                true => Waits::ForTheirTurn,
                false => Waits::NotForTheirTurn,
            };
            tended.watch_releases(waits, now_us);
            if held > 0 || function.view.load().pods.iter().any(|pod| pod.state() == State::Trying)
            {
                self.evaluate(&name);
                self.look(&name).await;
            }
        }
        let actions = self.side.tick(now_us, &readings);
        self.act(actions).await;
        // Whoever had the port may have left it.
        if self.listeners.have_failed() {
            self.listen().await;
        }
    }

    /// Reports out of turn if open requests crossed a threshold. What crosses it between two looks
    /// has not waited long.
    pub(super) async fn check_pressure(&mut self) {
        let now_us = self.parts.clock.now_us();
        let watched = self.side.watched().filter_map(|name| self.parts.table.function(name));
        let loads = self.parts.registry.loads(now_us);
        let open = watched.filter_map(|function| {
            let load = loads.of(&function.counters)?;
            Some((function.name.clone(), load.in_flight))
        });
        let open: Vec<(FunctionName, u64)> = open.collect();
        let crossed = self.side.crossed(now_us, &open);
        if !crossed.is_empty() {
            self.report().await;
            let actions = self.side.press(crossed);
            self.act(actions).await;
        }
    }
}
