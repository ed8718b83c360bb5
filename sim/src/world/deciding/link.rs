//! The autoscaler's side of the link: what it hears of activators, and what it does about it.

use dormouse_link::Connection;
use dormouse_link::autoscaler_side::Output;
use dormouse_link::frame::Up;
use dormouse_policy::decision::Why;
use dormouse_policy::function::FunctionName;
use dormouse_policy::settings::Burst;

use crate::world::engine::Sim;
use crate::world::queue::{Class, Event};
use crate::world::reporting::Frame;

impl Sim<'_> {
    /// An activator's connection breaks.
    pub(in crate::world) fn lead_loses(&mut self, connection: Connection) {
        let now_us = self.now_us();
        if let Some(leader) = &mut self.leader {
            leader.link.disconnected(connection, now_us);
            self.follow_link();
        }
    }

    /// A frame of an activator arrives.
    pub(in crate::world) fn lead_hears(&mut self, connection: Connection, frame: Up) {
        let now_us = self.now_us();
        let stands = self.activators.iter().any(|it| it.connection == Some(connection));
        if let Some(leader) = &mut self.leader
            && stands
        {
            leader.link.hear(connection, frame, now_us);
            self.follow_link();
        }
    }

    /// A function that no activator wanted awake is wanted awake.
    fn wake(&mut self, name: &FunctionName) {
        let Some(at) = self.number(name) else {
            return;
        };
        let wish = self.decider(at).map_or(0, |decider| decider.wish);
        if self.asked(at) == 0 || wish == 0 {
            self.decide(at, Why::Wake);
        }
        self.set_tick(at);
    }

    /// More requests are open than the function's burst mode waits for a tick with.
    fn press(&mut self, name: &FunctionName) {
        if let Some(at) = self.number(name)
            && self.functions[at].spec.settings.scaling.burst != Burst::Kpa
        {
            self.decide(at, Why::Pressure);
            self.set_tick(at);
        }
    }

    /// Time alone asks something of the link.
    pub(in crate::world) fn link_due(&mut self, number: u32) {
        let now_us = self.now_us();
        if let Some(leader) = &mut self.leader
            && leader.number == number
        {
            leader.link_due_ns = u64::MAX;
            leader.link.time_passed(now_us);
            self.follow_link();
        }
    }

    /// Carries out what the link's state machine asks for, which may make it ask for more.
    pub(super) fn follow_link(&mut self) {
        loop {
            let Some(leader) = &mut self.leader else {
                return;
            };
            let outputs = leader.link.drain();
            if outputs.is_empty() {
                break;
            }
            for output in outputs {
                self.follow(output);
            }
        }
        if let Some(leader) = &mut self.leader
            && let Some(due_us) = leader.link.due_us()
            && due_us.saturating_mul(1_000) < leader.link_due_ns
        {
            leader.link_due_ns = due_us.saturating_mul(1_000);
            let due_ns = leader.link_due_ns.max(self.now_ns);
            let event = Event::LinkDue { leader: leader.number };
            self.queue.push(due_ns, Class::Timer, 0, event);
        }
    }

    fn follow(&mut self, output: Output) {
        match output {
            Output::Send(connection, frame) => self.send(Frame::Down(connection, frame)),
            Output::Woken(name) => self.wake(&name),
            Output::Pressed(name) => self.press(&name),
            Output::Patch { function, epoch } => {
                if let Some(at) = self.number(&function) {
                    self.patch(at, epoch);
                }
            }
            Output::Ended { function, epoch, .. } => {
                if let Some(at) = self.number(&function)
                    && let Some(decider) = self.decider(at)
                {
                    decider.retiring.take_if(|it| it.epoch == epoch);
                }
            }
            // Reports take a way of their own; the others are for people to see.
            Output::Report { .. }
            | Output::Close(..)
            | Output::Joined { .. }
            | Output::Left { .. }
            | Output::Lost { .. }
            | Output::Gone { .. }
            | Output::Listening => {}
        }
    }
}
