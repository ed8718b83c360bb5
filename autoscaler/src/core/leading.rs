//! Being one of several: the leader's decisions become orders; the others decide too, which keeps
//! their windows warm, and order nothing but a wake that nobody else sees to.

use dormouse_link::autoscaler_side::Patched;
use dormouse_policy::function::FunctionName;
use tracing::info;

use super::order::Order;
use super::{Action, Core};
use crate::cluster::{Leading, Scale};
use crate::leader::LEASE_US;

/// How long a new leader scales nothing down, in microseconds: what the last one ordered has taken
/// effect and is seen, what it retired has run out, and every activator has been heard.
const LOWERING_PAUSE_US: u64 = LEASE_US + 1_000_000;

/// A follower orders a wake this long after it first heard of it, in microseconds, or so many
/// times as long: more than a leader's order takes to be seen, little beside a cold start; and
/// followers hardly ever order together.
const WAKE_TURN_US: u64 = 150_000;
const WAKE_TURNS: u64 = 4;

impl Core {
    /// Whether what it decides is carried out.
    pub(crate) fn leads(&self) -> bool {
        self.leading != Leading::No
    }

    /// Begins or ceases to lead.
    pub(super) fn heed_lead(&mut self, leading: Leading, now_us: u64) {
        if leading == self.leading {
            return;
        }
        info!(?leading, "lead changed");
        self.leading = leading;
        match leading {
            Leading::Yes { term } => {
                self.link.lead(term);
                self.lowering_from_us = now_us + LOWERING_PAUSE_US;
            }
            Leading::No => self.link.follow(),
        }
        let names: Vec<FunctionName> = self.functions.keys().cloned().collect();
        for name in names {
            self.withdraw(&name);
            self.pursue(&name, now_us);
            self.set_timer(&name, now_us);
        }
    }

    /// Drops what was not asked for yet, or in vain.
    pub(super) fn withdraw(&mut self, name: &FunctionName) {
        let Some(scaling) = self.scaling_of(name) else {
            return;
        };
        if let Some(order) = scaling.order.take_if(|order| order.due_us.is_some())
            && let Some(epoch) = order.epoch
        {
            self.link.patched(name, epoch, Patched::Failed);
        }
        self.link.recall(name);
    }

    /// A follower's part in what is wanted: the order to wake, in its turn.
    pub(super) fn stand_by(&mut self, name: &FunctionName, now_us: u64) {
        let wants_waking = self.link.wants_waking(name);
        let turn = 1 + self.surroundings.seed % WAKE_TURNS;
        let Some(state) = self.functions.get_mut(name) else {
            return;
        };
        if !wants_waking || state.asked(now_us) > 0 {
            return;
        }
        if let Some(scaling) = &mut state.scaling
            && scaling.wish > 0
            && scaling.order.is_none()
        {
            let replicas = scaling.wish;
            self.orders += 1;
            scaling.order = Some(Box::new(Order {
                id: self.orders,
                scale: Scale { function: name.clone(), replicas, victims: Vec::new() },
                epoch: None,
                failed: 0,
                is_unclear: false,
                due_us: Some(now_us + turn * WAKE_TURN_US),
            }));
        }
    }

    /// Sends an order whose time has come, unless it is a follower's and not needed any more.
    pub(super) fn send_due_order(&mut self, name: &FunctionName, now_us: u64) {
        let wants_waking = self.link.wants_waking(name);
        let Some(state) = self.functions.get_mut(name) else {
            return;
        };
        let is_asleep = state.seen.as_ref().is_none_or(|seen| seen.pods.replicas == 0);
        let Some(scaling) = &mut state.scaling else {
            return;
        };
        let is_due = |order: &&mut Box<Order>| order.due_us.is_some_and(|due_us| due_us <= now_us);
        let Some(order) = scaling.order.as_mut().filter(is_due) else {
            return;
        };
        if self.leading == Leading::No && !(wants_waking && is_asleep) {
            scaling.order = None;
            return;
        }
        state.others.order(order.scale.replicas);
        self.orders += 1;
        order.id = self.orders;
        order.due_us = None;
        self.actions.push(Action::Scale { order: order.id, scale: order.scale.clone() });
    }
}
