//! From a decision to an order: first sight, ticks and wakes, retirement before pods go, one order
//! at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_link::autoscaler_side::Patched;
use dormouse_link::frame::Retiring as Pods;
use dormouse_policy::decision::{Missing, Observation, Scaler, Why};
use dormouse_policy::function::FunctionName;
use dormouse_policy::readings::Meter;
use dormouse_policy::record::Taken;
use dormouse_policy::settings::Burst;
use dormouse_policy::tick;
use tracing::{debug, info, warn};

use super::function::{Retiring, Scaling};
use super::order::{Order, Placed};
use super::{Action, Core};
use crate::cluster::{Leading, Scale, ScaleError, Topic};

impl Core {
    pub(super) fn scaling_of(&mut self, name: &FunctionName) -> Option<&mut Scaling> {
        self.functions.get_mut(name)?.scaling.as_mut()
    }

    /// First sight of a function that is described, seen and not set aside: from now on it is
    /// scaled, beginning with its initial scale.
    pub(super) fn begin(&mut self, name: &FunctionName, now_us: u64) {
        let Some(state) = self.functions.get_mut(name) else {
            return;
        };
        let Some(seen) = &state.seen else {
            return;
        };
        if state.set_aside.is_some() || state.scaling.is_some() {
            return;
        }
        let replicas = seen.pods.replicas;
        let settings = Arc::clone(&state.description.settings.scaling);
        let ready = state.ready();
        let scaling = state.scaling.insert(Scaling {
            scaler: Scaler::new(settings, Missing::Unknown, ready, replicas, now_us),
            meter: Meter::new(now_us),
            wish: replicas,
            coverage: 0.0,
            last: None,
            order: None,
            placed: None,
            retiring: None,
            lower_from_us: 0,
            stopped: BTreeMap::new(),
            snapshot: None,
            tick_us: None,
        });
        if let Some(recording) = &mut self.recording {
            let taken = Taken::Begin { ready, replicas };
            recording.snapshot(name, taken, &self.reporters, scaling, now_us);
        }
        self.teach(name, now_us);
        self.decide(name, Why::Start, now_us);
        self.set_timer(name, now_us);
    }

    /// The function's timer rang: for a decision, an order to repeat, or both.
    pub(super) fn timer_rang(&mut self, name: &FunctionName, now_us: u64) {
        let wants_waking = self.link.wants_waking(name);
        let Some(state) = self.functions.get_mut(name) else {
            return;
        };
        state.forget_stopped(None, now_us);
        state.look_at_way(wants_waking, now_us);
        let asked = state.asked(now_us);
        let Some(scaling) = &mut state.scaling else {
            return;
        };
        scaling.placed = scaling.placed.filter(|placed| now_us < placed.until_us);
        let is_tick = scaling.tick_us.take_if(|tick_us| *tick_us <= now_us).is_some();
        self.is_news = true;
        self.say(name, now_us);
        if is_tick {
            let why = match asked {
                0 if wants_waking => Why::Wake,
                _ => Why::Tick,
            };
            self.put_entry(name, now_us);
            self.decide(name, why, now_us);
        }
        self.send_due_order(name, now_us);
        self.set_timer(name, now_us);
    }

    /// The function may have other settings; one that sleeps has no tick to decide by them.
    pub(super) fn heed_settings(&mut self, name: &FunctionName, now_us: u64) {
        let Some(state) = self.functions.get(name) else {
            return;
        };
        let settings = &state.description.settings.scaling;
        let last = state.scaling.as_ref().and_then(|scaling| scaling.last.as_ref());
        if last.is_some_and(|last| last.inputs.scaling != *settings) {
            self.decide(name, Why::Tick, now_us);
            self.set_timer(name, now_us);
        }
    }

    /// More requests are open than the function's burst mode waits for a tick with.
    pub(super) fn press(&mut self, name: &FunctionName, now_us: u64) {
        let Some(state) = self.functions.get(name) else {
            return;
        };
        let burst = state.description.settings.scaling.burst;
        if burst != Burst::Kpa && state.scaling.is_some() {
            self.decide(name, Why::Pressure, now_us);
            self.set_timer(name, now_us);
        }
    }

    /// A function that no activator wanted awake is wanted awake.
    pub(super) fn wake(&mut self, name: &FunctionName, now_us: u64) {
        let Some(state) = self.functions.get(name) else {
            return;
        };
        let Some(scaling) = &state.scaling else {
            return;
        };
        if state.asked(now_us) == 0 || scaling.wish == 0 {
            self.decide(name, Why::Wake, now_us);
        }
        self.set_timer(name, now_us);
    }

    /// Sets the function's timer to what is due next. One that sleeps has none, unless a pod is to
    /// be ordered ahead.
    pub(super) fn set_timer(&mut self, name: &FunctionName, now_us: u64) {
        let wants_waking = self.link.wants_waking(name);
        let Some(state) = self.functions.get_mut(name) else {
            return;
        };
        let is_awake = wants_waking || state.is_awake(now_us);
        let next_tick_us = tick::next_tick_us(name, now_us);
        let mut timer_us = None;
        if let Some(scaling) = &mut state.scaling {
            let pre_warm_us = scaling.last.as_ref().and_then(|last| last.pre_warm_us());
            let tick_us = scaling.tick_us.unwrap_or(next_tick_us).min(next_tick_us);
            scaling.tick_us = match is_awake {
                true => Some(tick_us),
                false => pre_warm_us,
            };
            let order_us = scaling.order.as_ref().and_then(|order| order.due_us);
            // Nobody else would say of one that sleeps that it is re-applied no more.
            let is_noted = state.noted.contains_key(&Topic::Reapplied);
            let note_us = state.others.forgets_us().filter(|_| is_noted);
            timer_us = scaling.tick_us.into_iter().chain(order_us).chain(note_us).min();
        }
        if timer_us != state.timer_us {
            if let Some(before_us) = std::mem::replace(&mut state.timer_us, timer_us) {
                self.timers.remove(&(before_us, name.clone()));
            }
            self.timers.extend(timer_us.map(|timer_us| (timer_us, name.clone())));
        }
    }

    pub(super) fn decide(&mut self, name: &FunctionName, why: Why, now_us: u64) {
        let Some(state) = self.functions.get_mut(name) else {
            return;
        };
        let (ready, replicas) = (state.ready(), state.asked(now_us));
        let keep = state.keep(now_us);
        let Some(scaling) = &mut state.scaling else {
            return;
        };
        // Here and nowhere else, so that the record's lines say when.
        for reporter in self.reporters.advance(now_us) {
            warn!(reporter, "activator silent, its load is unknown");
        }
        let load = scaling.scaler.settle(&mut scaling.meter, &self.reporters);
        let decision = Arc::new(scaling.scaler.decide(&Observation {
            start_up_us: state.start_ups.quantile_us(),
            keep,
            ..Observation::new(now_us, why, ready, replicas, load)
        }));
        debug!(function = %name, decision = %decision, "decided");
        self.tally.decided(why);
        if let Some(recording) = &mut self.recording {
            recording.decided(name, &decision, &self.reporters, scaling);
        }
        let window_s = decision.inputs.scaling.stable_window_s;
        let known_s = (decision.inputs.averages).map_or(0, |averages| averages.stable.known_s);
        let bursts = decision.inputs.scaling.burst != Burst::Kpa;
        scaling.coverage = (f64::from(known_s) / f64::from(window_s)).min(1.0);
        scaling.wish = decision.desired;
        if let Some(before) = scaling.last.replace(decision) {
            self.history.push(name, before);
        }
        let gaps = scaling.scaler.gaps();
        let has_learnt = gaps.is_some_and(|gaps| state.shared.is_told(gaps, now_us));
        self.is_news = true;
        self.pursue(name, now_us);
        if bursts || has_learnt {
            // The threshold follows what was asked for.
            self.put_entry(name, now_us);
        }
    }

    /// Brings what is asked for nearer to what is wanted.
    pub(super) fn pursue(&mut self, name: &FunctionName, now_us: u64) {
        if self.functions.get(name).is_some_and(|state| state.is_paused()) {
            return self.withdraw(name);
        }
        if self.leading == Leading::No {
            return self.stand_by(name, now_us);
        }
        let Some(state) = self.functions.get_mut(name) else {
            return;
        };
        if !state.others.may_write(now_us) {
            return;
        }
        let Some(scaling) = &mut state.scaling else {
            return;
        };
        let wish = scaling.wish;
        if let Some(order) = &scaling.order {
            let is_settled = order.scale.replicas == wish || order.epoch.is_some();
            if order.due_us.is_none() || is_settled {
                return;
            }
        }
        // An unanswered order that is not wanted any more gives way, and its failures with it.
        scaling.order = None;
        let retiring = scaling.retiring.as_ref().map(|retiring| retiring.scale.replicas);
        let lower_from_us = scaling.lower_from_us.max(self.lowering_from_us);
        let asked = state.asked(now_us);
        if retiring.is_some_and(|replicas| replicas < wish) {
            // A lower wish than what is asked for starts its own retirement with the next decision.
            self.link.recall(name);
        }
        if wish > asked {
            self.place(name, wish, Vec::new(), None);
        } else if wish < asked && retiring.is_none() && now_us >= lower_from_us {
            self.lower(name, wish, now_us);
        }
    }

    /// Starts to retire the pods that are too many; the order follows their retirement.
    fn lower(&mut self, name: &FunctionName, replicas: u32, now_us: u64) {
        let Some(state) = self.functions.get(name) else {
            return;
        };
        let victims = state.victims(replicas, self.surroundings.victims);
        let pods = match replicas {
            0 => Pods::All,
            _ if victims.is_empty() => return self.place(name, replicas, victims, None),
            _ => Pods::Named(victims.clone()),
        };
        match self.link.retire(name, pods, now_us) {
            Ok(epoch) => {
                debug!(function = %name, epoch, replicas, "retirement begins");
                let scale = Scale { function: name.clone(), replicas, victims };
                if let Some(scaling) = self.scaling_of(name) {
                    scaling.retiring = Some(Box::new(Retiring { epoch, scale }));
                }
            }
            Err(error) => debug!(function = %name, %error, "not retired"),
        }
    }

    /// Every activator acknowledged: the pods may be stopped.
    pub(super) fn patch(&mut self, name: &FunctionName, epoch: u64) {
        let Some(scaling) = self.scaling_of(name) else {
            return;
        };
        let retiring = scaling.retiring.as_ref().filter(|it| it.epoch == epoch);
        if let Some(Scale { replicas, victims, .. }) = retiring.map(|it| it.scale.clone()) {
            self.place(name, replicas, victims, Some(epoch));
        }
    }

    fn place(
        &mut self,
        name: &FunctionName,
        replicas: u32,
        victims: Vec<String>,
        epoch: Option<u64>,
    ) {
        self.orders += 1;
        let scale = Scale { function: name.clone(), replicas, victims };
        let (id, due_us) = (self.orders, None);
        let (scaled, failed, is_unclear) = (scale.clone(), 0, false);
        let order = Box::new(Order { id, scale: scaled, epoch, failed, is_unclear, due_us });
        let Some(state) = self.functions.get_mut(name) else {
            return;
        };
        state.expect_start_up(replicas);
        state.others.order(replicas);
        let Some(scaling) = &mut state.scaling else {
            return;
        };
        let why = scaling.last.as_ref().map(|decision| decision.to_string());
        info!(function = %name, replicas, why, "scaling");
        scaling.order = Some(order);
        self.is_news = true;
        self.actions.push(Action::Scale { order: self.orders, scale });
    }

    /// An attempt at an order ended.
    pub(super) fn scaled(
        &mut self,
        name: &FunctionName,
        id: u64,
        result: Result<(), ScaleError>,
        now_us: u64,
    ) {
        let seed = self.surroundings.seed;
        self.tally.ordered(&result);
        let seen = self.functions.get(name).and_then(|state| state.seen.as_ref());
        let seen = seen.map_or(0, |seen| seen.pods.replicas);
        let Some(scaling) = self.scaling_of(name) else {
            return;
        };
        let Some(mut order) = scaling.order.take_if(|order| order.id == id) else {
            return;
        };
        match result {
            Ok(()) => {
                scaling.placed = Some(Placed::new(order.scale.replicas, now_us));
                self.placed(name, &order, now_us);
            }
            Err(error) => {
                warn!(function = %name, %error, replicas = order.scale.replicas, "scaling failed");
                let lowers = order.epoch.is_some() || order.scale.replicas < seen;
                let is_over = order.fail(&error, lowers);
                let again_us = order.again_us(&error, seed, now_us);
                if is_over {
                    // Not before the next decision: what this one was made from may be over.
                    let tick_us = scaling.tick_us.unwrap_or_default();
                    scaling.lower_from_us = again_us.max(tick_us);
                    if let Some(epoch) = order.epoch {
                        self.link.patched(name, epoch, Patched::Failed);
                    }
                } else {
                    order.due_us = Some(again_us);
                    scaling.order = Some(order);
                }
            }
        }
        let is_paused = self.functions.get(name).is_some_and(|state| state.is_paused());
        if is_paused || self.leading == Leading::No {
            self.withdraw(name);
        }
        self.is_news = true;
        self.set_timer(name, now_us);
    }

    /// An order was placed: its pods are gone, and what was wanted meanwhile comes next.
    fn placed(&mut self, name: &FunctionName, order: &Order, now_us: u64) {
        let Some(state) = self.functions.get_mut(name) else {
            return;
        };
        let stopped: Vec<String> = match order.scale.replicas {
            // Those that appeared since the retirement began, too.
            0 => state.usable().map(|pod| pod.name.clone()).collect(),
            _ => order.scale.victims.clone(),
        };
        if let Some(scaling) = &mut state.scaling {
            let stopped = stopped.into_iter().map(|pod| (pod, now_us));
            scaling.stopped.extend(stopped);
        }
        if let Some(epoch) = order.epoch {
            self.put_entry(name, now_us);
            self.link.patched(name, epoch, Patched::Placed);
        }
        let wants_waking = self.link.wants_waking(name);
        let Some(scaling) = self.scaling_of(name) else {
            return;
        };
        if order.scale.replicas == 0 && wants_waking {
            return self.decide(name, Why::Wake, now_us);
        }
        if scaling.wish > order.scale.replicas {
            self.pursue(name, now_us);
        }
    }
}
