//! What activators report: readings into meters and figures, and what they keep for us.

use std::collections::BTreeSet;

use dormouse_link::frame::{Learnt, Reading};
use dormouse_policy::function::FunctionName;
use dormouse_policy::readings::Departure;
use dormouse_policy::record::{self, Taken};

use super::Core;

impl Core {
    pub(super) fn take_report(
        &mut self,
        reporter: String,
        boot: u64,
        at_us: u64,
        readings: Vec<Reading>,
        now_us: u64,
    ) {
        let span = self.reporters.report(&reporter, boot, at_us, now_us);
        let before = self.reported.remove(&reporter);
        let (since_us, named_before) = match before {
            Some((since_us, named)) => (Some(since_us), named),
            None => (None, BTreeSet::new()),
        };
        self.ways.is_stale |= !named_before.is_empty() || !readings.is_empty();
        let mut named = BTreeSet::new();
        let mut recorded = Vec::new();
        for reading in readings {
            let Some(state) = self.functions.get_mut(&reading.function) else {
                continue;
            };
            state.load.read(&reporter, boot, since_us, at_us, &reading);
            if let (Some(scaling), Some(span)) = (&mut state.scaling, span) {
                let counters = reading.counters();
                scaling.meter.read(span, counters);
                if self.recording.is_some() {
                    let function = reading.function.clone();
                    recorded.push(record::Reading { function, counters });
                }
            }
            self.set_timer(&reading.function, now_us);
            named.insert(reading.function);
        }
        for name in named_before.difference(&named) {
            if let Some(state) = self.functions.get_mut(name) {
                state.load.rest(&reporter);
            }
        }
        self.is_news |= !named_before.is_empty() || !named.is_empty();
        if let Some(recording) = &mut self.recording {
            let reporter = reporter.clone();
            let report =
                record::Report { reporter, boot, at_us, heard_us: now_us, readings: recorded };
            recording.hear(report);
        }
        self.reported.insert(reporter, (at_us, named));
    }

    /// An activator is gone, and with it what it had in flight.
    pub(super) fn forget_reporter(&mut self, reporter: String, departure: Departure, now_us: u64) {
        self.reporters.forget(&reporter, departure, now_us);
        self.reported.remove(&reporter);
        for state in self.functions.values_mut() {
            self.is_news |= state.load.forget(&reporter);
        }
        self.ways.is_stale = true;
        self.look_at_listeners(now_us);
        if let Some(recording) = &mut self.recording {
            recording.gone(record::Gone { reporter, at_us: now_us, departure });
        }
    }

    /// Takes over what others learnt before this process began, and tells every activator.
    pub(super) fn learn(&mut self, learnt: Vec<Learnt>, now_us: u64) {
        for Learnt { function, start_ups, gaps } in learnt {
            if let Some(state) = self.functions.get_mut(&function) {
                state.start_ups.merge(&start_ups);
                state.shared.hear(&gaps);
                self.teach(&function, now_us);
                self.put_entry(&function, now_us);
            }
        }
    }

    /// Has the function's scaler go on with what is known outside of its idle times, if that is
    /// more than it has seen.
    pub(super) fn teach(&mut self, name: &FunctionName, now_us: u64) {
        let Some(state) = self.functions.get_mut(name) else {
            return;
        };
        if let Some(scaling) = &mut state.scaling
            && let Some(own) = scaling.scaler.gaps()
            && own.seen() < state.shared.gaps().seen()
        {
            scaling.scaler.learn(state.shared.gaps());
            if let Some(recording) = &mut self.recording {
                recording.snapshot(name, Taken::Learnt, &self.reporters, scaling, now_us);
            }
        }
    }
}
