//! When a function is decided on by the passing of time. Ticks that would come to what was decided
//! before are not made one by one, as its activator's reports that nothing happened are not: an
//! idle pod costs a decision a minute, not thirty.

use dormouse_policy::decision::{Standing, Why};
use dormouse_policy::tick::TICK_US;

use crate::world::SECOND_NS;
use crate::world::engine::Sim;
use crate::world::queue::{Class, Event};
use crate::world::setup::{Policy, Ticking};
use crate::world::silence::Reports;

/// A function's ticks.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    /// When the next one is.
    pub(super) next_us: Option<u64>,
    /// Before that time none is needed.
    stands_until_us: u64,
    /// But for more load than that; none = for any.
    concurrency_max: Option<f64>,
    /// The last one, if those after it were not needed.
    stood_since_us: Option<u64>,
}

impl Ticks {
    /// A report told of that mean concurrency, if it is known.
    pub(super) fn hear(&mut self, concurrency: Option<f64>) {
        let is_borne = |(most, mean)| mean <= most;
        if !self.concurrency_max.zip(concurrency).is_some_and(is_borne) {
            self.stands_until_us = 0;
        }
    }

    /// How many were passed over before that time.
    fn passed(&self, before_us: u64) -> u64 {
        self.stood_since_us.map_or(0, |since_us| (before_us - since_us - 1) / TICK_US)
    }
}

impl Sim<'_> {
    /// A function's tick.
    pub(in crate::world) fn tick(&mut self, at: usize, leader: u32) {
        if self.leader.as_ref().is_none_or(|it| it.number != leader) {
            return;
        }
        let now_us = self.now_us();
        let is_awake = self.is_awake(at);
        let mut passed = 0;
        if let Some(decider) = self.decider(at) {
            if decider.ticks.next_us != Some(now_us) {
                // Something happened since it was set, and an earlier one took its place.
                self.events -= 1;
                return;
            }
            passed = decider.ticks.passed(now_us);
            decider.ticks = Ticks::default();
        }
        self.events += passed;
        if !is_awake {
            // The live autoscaler has no such tick.
            self.events -= 1;
        }
        if is_awake || self.setup.ticking == Ticking::Always {
            let why = match self.asked(at) {
                0 if self.wants_waking(at) => Why::Wake,
                _ => Why::Tick,
            };
            self.decide(at, why);
        }
        if let Some(decider) = self.decider(at) {
            let stands = decider.ticks.stands_until_us > now_us;
            decider.ticks.stood_since_us = stands.then_some(now_us);
        }
        self.set_tick(at);
    }

    /// Sets a function's tick if something can change by the mere passing of time.
    pub(super) fn set_tick(&mut self, at: usize) {
        let now_us = self.now_us();
        let Some(leader) = &self.leader else {
            return;
        };
        let known = &leader.deciders[at].ticks;
        let from_us = now_us.max(known.stands_until_us.saturating_sub(1));
        let tick_us = self.functions[at].ticks.next_us(from_us);
        if known.next_us.is_some_and(|next_us| next_us <= tick_us) {
            return;
        }
        let number = leader.number;
        if (self.setup.ticking == Ticking::Always || self.is_awake(at))
            && let Some(decider) = self.decider(at)
        {
            decider.ticks.next_us = Some(tick_us);
            let event = Event::Tick { function: at as u32, leader: number };
            self.queue.push(tick_us * 1_000, Class::Tick, at as u32, event);
        }
    }

    /// A decision was made and stands until that time, as far as the policy goes: nothing is to be
    /// under way either, and what it goes by is to be reported in time.
    pub(super) fn stand(&mut self, at: usize, standing: Standing) {
        let Standing { until_us, concurrency_max } = standing;
        let (asked, now_ns, now_us) = (self.asked(at), self.now_ns, self.now_us());
        let in_time =
            self.reports == Reports::WithNews && self.setup.world.report.pause_ns() <= SECOND_NS;
        let function = &self.functions[at];
        let policy_us = match function.spec.policy {
            Policy::Kpa => u64::MAX,
            Policy::FixedIdle { keep_ns } => {
                let idle_ns = function.idle_ns(now_ns).unwrap_or(0);
                (now_ns - idle_ns).saturating_add(keep_ns) / 1_000
            }
            Policy::Floor | Policy::Hpa(_) | Policy::HybridHistogram => 0,
        };
        if let Some(decider) = self.decider(at) {
            let is_done = in_time
                && decider.wish == asked
                && decider.order.is_none()
                && decider.retiring.is_none();
            let stands_until_us = if is_done { until_us.min(policy_us) } else { 0 };
            decider.ticks.stands_until_us = stands_until_us;
            decider.ticks.concurrency_max = concurrency_max;
            if stands_until_us > now_us {
                let in_flight = decider.reported[0].1;
                self.bear(at, in_flight, concurrency_max);
            }
        }
    }

    /// Counts the ticks that were passed over before the end.
    pub(in crate::world) fn count_ticks(&mut self, end_ns: u64) {
        let deciders = self.leader.iter().flat_map(|leader| &leader.deciders);
        let passed = deciders.map(|decider| decider.ticks.passed(end_ns.div_ceil(1_000)));
        self.events += passed.sum::<u64>();
    }
}
