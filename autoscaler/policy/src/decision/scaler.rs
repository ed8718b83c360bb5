//! What one function remembers from decision to decision.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::delay::Highest;
use super::{
    ACTIVATION_US_MAX, Averages, Decision, Inputs, Missing, Observation, Panic, Phase, SECOND_US,
    Why, conclude, within,
};
use crate::idle::{Gaps, Idle, Idleness};
use crate::readings::{Load, Meter, Reporters, Sample};
use crate::settings::{Metric, Scaling};
use crate::tick::TICK_US;
use crate::window::{Average, Tail, Windows};

/// The windows end with the newest settled second, but at most this long ago. Reports come each
/// second, so that two seconds are on their way; one report may be late.
pub(super) const LAG_S_MAX: u64 = 3;

/// A second lies this far ahead of the clock at most, by the drift that reporters are allowed.
pub(super) const AHEAD_S_MAX: u64 = 2;

/// Decides on one function's replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaler {
    pub(super) scaling: Arc<Scaling>,
    pub(super) missing: Missing,
    pub(super) windows: Windows,
    /// Seconds before this one belong to an earlier life and take no part.
    series_from_s: u64,
    panic: Option<Panic>,
    highest: Highest,
    phase: Phase,
    fresh: Option<Fresh>,
    /// None without an idle-cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idle: Option<Box<Idle>>,
}

/// A function keeps the replicas it began with until they were ready.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Fresh {
    initial: u32,
    since_us: u64,
}

impl Scaler {
    /// A scaler for a function that has `replicas` replicas, `ready` of them ready, at `now_us`.
    ///
    /// With more than one ready pod it starts in panic, so that a restarted autoscaler does not
    /// scale in before it has data. Its replicas are kept until that many were ready, or until the
    /// time to become so is over. While none is ready it is taken for new, and the initial scale is
    /// kept if that is more; what has a ready pod was begun before, what has no replicas sleeps.
    #[must_use]
    pub fn new(
        scaling: Arc<Scaling>,
        missing: Missing,
        ready: u32,
        replicas: u32,
        now_us: u64,
    ) -> Self {
        let initial = match (replicas, ready) {
            (1.., 0) => replicas.max(scaling.initial_scale.unwrap_or(0)),
            _ => replicas,
        };
        Self {
            windows: windows(&scaling, missing),
            missing,
            series_from_s: 0,
            panic: (ready > 1).then_some(Panic { since_us: now_us, most: ready }),
            highest: Highest::new(scaling.scale_down_delay_s),
            phase: match (replicas, ready) {
                (0, _) => Phase::Asleep,
                (_, 0) => Phase::Starting { since_us: now_us },
                _ => Phase::Active { since_us: now_us },
            },
            fresh: (initial > 0).then_some(Fresh { initial, since_us: now_us }),
            idle: scaling.idle_cost.map(|_| Box::default()),
            scaling,
        }
    }

    /// The scaler that begins with these settings and pods.
    pub(crate) fn anew(
        &self,
        scaling: Arc<Scaling>,
        ready: u32,
        replicas: u32,
        now_us: u64,
    ) -> Self {
        Self::new(scaling, self.missing, ready, replicas, now_us)
    }

    /// The settings it goes by.
    pub(crate) fn settings(&self) -> Arc<Scaling> {
        Arc::clone(&self.scaling)
    }

    /// The field that contradicts another, in a scaler that was read from somewhere.
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        let Scaling { stable_window_s, panic_window_s, aggregation, .. } = *self.scaling;
        let fits = self.windows.fits(stable_window_s, panic_window_s, aggregation);
        (!fits).then_some("scaler.windows")
    }

    /// Goes on with other settings. Averages begin anew if the windows or the metric changed.
    pub fn configure(&mut self, scaling: Arc<Scaling>) {
        let shape = |scaling: &Scaling| {
            let Scaling { metric, stable_window_s, panic_window_s, aggregation, .. } = *scaling;
            (metric, stable_window_s, panic_window_s, aggregation)
        };
        if shape(&scaling) != shape(&self.scaling) {
            self.windows = windows(&scaling, self.missing);
        }
        if scaling.scale_down_delay_s != self.scaling.scale_down_delay_s {
            self.highest = Highest::new(scaling.scale_down_delay_s);
        }
        self.idle = scaling.idle_cost.map(|_| self.idle.take().unwrap_or_default());
        self.scaling = scaling;
    }

    /// Takes over what others learnt of the function's idle times, if that is more; it is of no use
    /// without an idle-cost.
    pub fn learn(&mut self, gaps: &Gaps) {
        if let Some(idle) = &mut self.idle {
            idle.merge(gaps);
        }
    }

    /// What was learnt of the function's idle times; none without an idle-cost.
    #[must_use]
    pub fn gaps(&self) -> Option<&Gaps> {
        self.idle.as_deref().map(Idle::gaps)
    }

    /// Goes on with pods of another template: it keeps its replicas until that many were ready, or
    /// until the time to become so is over, and is not put to sleep before it was active for a
    /// stable window from now on.
    pub fn redeploy(&mut self, ready: u32, replicas: u32, now_us: u64) {
        if replicas == 0 {
            return;
        }
        self.fresh = Some(Fresh { initial: replicas, since_us: now_us });
        self.phase = match ready {
            0 => Phase::Starting { since_us: now_us },
            _ => Phase::Active { since_us: now_us },
        };
    }

    /// Adds what one second was. Several samples of one second add up.
    pub fn record(&mut self, second: u64, sample: Sample) {
        if let Some(idle) = &mut self.idle {
            idle.record(second, sample);
        }
        if second < self.series_from_s {
            return;
        }
        let value = self.value(sample);
        self.windows.record(second, value);
    }

    /// Records the seconds that are newly settled in `meter`, and returns the load beyond them.
    pub fn settle(&mut self, meter: &mut Meter, reporters: &Reporters) -> Load {
        let window_s = self.windows.stable_s();
        if let Some(idle) = &mut self.idle {
            idle.sleep_through(reporters.settled_s().saturating_sub(window_s.into()));
        }
        meter.settle(reporters, window_s, |seconds, sample| self.record_all(seconds, sample))
    }

    /// Adds seconds that were all the same, and of which nothing was recorded before.
    fn record_all(&mut self, seconds: Range<u64>, sample: Sample) {
        if let Some(idle) = &mut self.idle {
            seconds.clone().for_each(|second| idle.record(second, sample));
        }
        let value = self.value(sample);
        self.windows.record_all(seconds.start.max(self.series_from_s)..seconds.end, value);
    }

    /// Decides. Should `now_us` of the observation have gone back since the last call, what was
    /// before is not known any more.
    pub fn decide(&mut self, observation: &Observation) -> Decision {
        let now_us = observation.now_us;
        let newest_s = self.windows.last_s().unwrap_or(0);
        if self.missing == Missing::Unknown && newest_s > now_us / SECOND_US + AHEAD_S_MAX {
            self.turn_back(now_us);
        }
        self.enter_phase(observation);
        self.refresh(observation);
        let tick = now_us / TICK_US;
        let idle = self.look_at_idleness(observation);
        let conclusion = conclude::conclude(Inputs {
            now_us,
            why: observation.why,
            ready: observation.ready,
            replicas: observation.replicas,
            reachability: observation.reachability,
            path: observation.path,
            in_flight: observation.load.in_flight,
            lost_in_flight: observation.load.lost_in_flight,
            held: observation.load.held,
            refused: observation.load.refused,
            arriving_rps: observation.load.arriving_rps,
            start_up_us: observation.start_up_us,
            keep: observation.keep,
            averages: self.averages(now_us / SECOND_US, &observation.load),
            missing: self.missing,
            panic: self.panic,
            highest: self.highest.before(tick),
            phase: self.phase,
            initial: self.fresh.map(|fresh| fresh.initial),
            idle,
            scaling: Arc::clone(&self.scaling),
        });
        self.panic = conclusion.decision.panic;
        self.phase = conclusion.decision.phase;
        if let Some(undelayed) = conclusion.undelayed {
            self.highest.record(tick, undelayed);
        }
        conclusion.decision
    }

    /// Whether one that sleeps by plan was not decided on since: its windows begin anew then, from
    /// which time on depends on when that is.
    #[must_use]
    pub fn is_falling_asleep(&self) -> bool {
        self.idle.is_some() && self.phase != Phase::Asleep
    }

    fn enter_phase(&mut self, observation: &Observation) {
        let since_us = observation.now_us;
        let wanted = observation.why == Why::Wake || observation.load.in_flight > 0;
        let next = match (self.phase, observation.replicas, observation.ready) {
            (waking @ Phase::Waking { .. }, 0, _) if wanted => waking,
            (_, 0, _) if wanted => Phase::Waking { since_us },
            (_, 0, _) => Phase::Asleep,
            (up @ (Phase::Active { .. } | Phase::Idle { .. }), ..) => up,
            (Phase::Waking { since_us } | Phase::Starting { since_us }, _, 0) => {
                Phase::Starting { since_us }
            }
            (Phase::Asleep, _, 0) => Phase::Starting { since_us },
            _ => Phase::Active { since_us },
        };
        let woken = matches!(next, Phase::Waking { .. }) && next != self.phase;
        let found_up = self.phase == Phase::Asleep && observation.replicas > 0;
        // Put to sleep by plan, it has load in its windows still.
        let asleep = self.idle.is_some() && next == Phase::Asleep && next != self.phase;
        if woken || found_up || asleep {
            self.start_over(observation.now_us);
        }
        self.phase = next;
    }

    /// A young series is averaged over the seconds it exists: what was before, asleep, would only
    /// thin it out. It begins with the first whole second. Where missing seconds are zero, nothing
    /// is recorded in the sleep and the windows start over by themselves.
    fn start_over(&mut self, now_us: u64) {
        if self.missing == Missing::Unknown {
            self.windows.clear();
            self.series_from_s = now_us / SECOND_US + 1;
        }
    }

    fn look_at_idleness(&mut self, observation: &Observation) -> Option<Idleness> {
        let cost = self.scaling.idle_cost?;
        let idle = self.idle.as_mut()?;
        let Observation { now_us, start_up_us, replicas, ref load, .. } = *observation;
        let window_s = self.scaling.stable_window_s;
        idle.look(now_us, load, window_s, cost, start_up_us, replicas)
    }

    /// Nothing of what is remembered may lie in the future: it would be waited for.
    fn turn_back(&mut self, now_us: u64) {
        self.windows.clear();
        self.series_from_s = 0;
        self.highest = Highest::new(self.scaling.scale_down_delay_s);
        if let Some(idle) = &mut self.idle {
            idle.look_anew();
        }
        if let Some(panic) = &mut self.panic {
            panic.since_us = panic.since_us.min(now_us);
        }
        if let Some(fresh) = &mut self.fresh {
            fresh.since_us = fresh.since_us.min(now_us);
        }
        match &mut self.phase {
            Phase::Asleep => {}
            Phase::Waking { since_us }
            | Phase::Starting { since_us }
            | Phase::Active { since_us }
            | Phase::Idle { since_us } => *since_us = now_us.min(*since_us),
        }
    }

    fn refresh(&mut self, observation: &Observation) {
        let Scaling { min_scale, max_scale, .. } = *self.scaling;
        self.fresh = self.fresh.filter(|fresh| {
            let given_up = observation.now_us >= fresh.since_us + ACTIVATION_US_MAX;
            let wanted = fresh.initial.max(min_scale);
            let ready = observation.ready >= within(max_scale, wanted);
            observation.why == Why::Start || !(ready || given_up)
        });
    }

    fn averages(&self, now_s: u64, load: &Load) -> Option<Averages> {
        if self.missing == Missing::Zero {
            // Always in path, nothing else is asked for load: then an empty window is idleness.
            let silent = self.windows.is_empty(now_s) && self.scaling.target_burst_capacity >= 0.0;
            return (!silent).then(|| Averages {
                stable: self.windows.stable(now_s, Tail::EMPTY),
                panic: self.windows.panic(now_s, Tail::EMPTY),
            });
        }
        let end_s = end_s(now_s, load);
        let mut averages = Averages {
            stable: self.windows.stable(end_s, Tail::EMPTY),
            panic: self.windows.panic(end_s, Tail::EMPTY),
        };
        let first_s = load.settled_s.max(self.series_from_s);
        let values: Vec<f64> = (load.settled_s..)
            .zip(&load.incomplete)
            .filter(|(second, _)| *second >= first_s)
            .map(|(_, sample)| self.value(*sample))
            .collect();
        let tail = Tail { first_s, values: &values };
        for end_s in end_s.max(first_s)..first_s + values.len() as u64 {
            let raise = |average: &mut Average, bound: Average| {
                average.value = average.value.max(bound.value);
            };
            raise(&mut averages.stable, self.windows.stable(end_s, tail));
            raise(&mut averages.panic, self.windows.panic(end_s, tail));
        }
        let known = averages.stable.known_s > 0 || averages.stable.value > 0.0;
        known.then_some(averages)
    }

    fn value(&self, sample: Sample) -> f64 {
        match self.scaling.metric {
            Metric::Concurrency => sample.concurrency,
            Metric::Rps => sample.rps,
        }
    }
}

/// The second that the windows end with, but for those that are not settled.
pub(super) fn end_s(now_s: u64, load: &Load) -> u64 {
    load.settled_s.saturating_sub(1).max(now_s.saturating_sub(LAG_S_MAX))
}

fn windows(scaling: &Scaling, missing: Missing) -> Windows {
    Windows::new(scaling.stable_window_s, scaling.panic_window_s, scaling.aggregation, missing)
}
