//! The activators' side of the link: what they know of pods, what they say, what they are told.

use dormouse_link::Connection;
use dormouse_link::activator_side::{Action, PRESSURE_US_MIN, Wanted};
use dormouse_link::frame::{Down, Learnt, Retiring, Up};
use dormouse_policy::admission::Amount;
use dormouse_policy::function::FunctionName;
use dormouse_policy::readings::Counters;
use dormouse_policy::settings::Burst;

use super::activator::{Activator, Known, Presence, held_max, reading};
use super::engine::Sim;
use super::pod::Phase;
use super::queue::{Class, Event, Id};
use super::silence::Reports;

/// A report under way.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) activator: usize,
    pub(super) connection: Connection,
    pub(super) boot: u32,
    pub(super) at_us: u64,
    pub(super) readings: Vec<(u32, Counters)>,
    pub(super) learnt: Vec<Learnt>,
}

/// A frame under way.
#[derive(Debug)]
pub(super) enum Frame {
    /// To the autoscaler.
    Up(Connection, Up),
    /// To an activator.
    Down(Connection, Down),
}

impl Sim<'_> {
    /// A pod appears in an activator's view.
    pub(super) fn list(&mut self, way: usize, at: usize, mut known: Known) {
        let activator = &mut self.activators[way];
        let name = &self.functions[at].spec.name;
        // Those of a retirement to zero that appear only now retire with the others.
        let open = activator.side.retirement(name);
        known.retiring = open.is_some_and(|open| open.pods == Retiring::All);
        activator.views[at].pods.push(known);
    }

    /// A pod disappears from it.
    pub(super) fn unlist(&mut self, way: usize, at: usize, pod: Id) {
        let view = &mut self.activators[way].views[at];
        let before = view.pods.len();
        view.pods.retain(|known| known.pod != pod);
        if view.pods.len() < before {
            self.changed(way, at);
        }
    }

    /// A pod takes requests as far as an activator knows.
    pub(super) fn use_pod(&mut self, way: usize, at: usize, pod: Id) {
        let view = &mut self.activators[way].views[at];
        if let Some(known) = view.pods.iter_mut().find(|known| known.pod == pod)
            && !known.tried
        {
            (known.tried, known.trying) = (true, false);
            self.changed(way, at);
        }
    }

    /// A pod is not to be sent anything any more.
    pub(super) fn shun(&mut self, way: usize, at: usize, pod: Id) {
        let view = &mut self.activators[way].views[at];
        if let Some(known) = view.pods.iter_mut().find(|known| known.pod == pod) {
            known.retiring = true;
            self.changed(way, at);
        }
    }

    /// Which pods take requests has changed.
    fn changed(&mut self, way: usize, at: usize) {
        let view = &mut self.activators[way].views[at];
        view.recount();
        if view.emptying {
            self.check_emptied(way, at);
        }
        self.release(way, at);
        self.evaluate(way, at);
    }

    /// Has pods in doubt tried, and says whether the function must be woken.
    pub(super) fn evaluate(&mut self, way: usize, at: usize) {
        let activator = &mut self.activators[way];
        let is_held = activator.held(at) > 0;
        let view = &mut activator.views[at];
        let wanted = is_held && view.usable == 0;
        if wanted != view.wanted {
            view.wanted = wanted;
            let wanted = if wanted { Wanted::Yes } else { Wanted::No };
            let name = &self.functions[at].spec.name;
            let actions = self.activators[way].side.wake(name, wanted);
            self.act(way, actions);
        }
        if is_held {
            self.try_pods(way, at);
        }
    }

    /// Carries out what the link's state machine asks of an activator.
    fn act(&mut self, way: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                // Readings take a way of their own: a frame's words for each would cost more than
                // all else.
                Action::Send(_, Up::Report { learnt, .. }) => {
                    self.activators[way].unsaid.extend(learnt);
                }
                Action::Send(_, frame) => self.say(way, frame),
                Action::Update(name) => self.follow_entry(way, &name),
                Action::Retire(name) => self.retire(way, &name),
                Action::Resume(name) => self.resume(way, &name, Trust::Full),
                Action::Doubt(name) => self.resume(way, &name, Trust::Try),
                Action::Retired(name) => {
                    if let Some(at) = self.number(&name) {
                        self.activators[way].views[at].emptying = false;
                        self.evaluate(way, at);
                    }
                }
                Action::Remove(_) | Action::Unnamed | Action::Close(..) => {}
            }
        }
    }

    fn say(&mut self, way: usize, frame: Up) {
        if let Some(connection) = self.activators[way].connection {
            self.send(Frame::Up(connection, frame));
        }
    }

    pub(super) fn send(&mut self, frame: Frame) {
        let at_ns = self.now_ns.saturating_add(self.setup.world.report.delay_ns);
        let place = self.frames.put(frame);
        self.queue.push(at_ns, Class::Timer, 0, Event::Frame(place));
    }

    /// A frame arrives, if its connection still stands.
    pub(super) fn frame_arrives(&mut self, place: u32) {
        let now_us = self.now_us();
        match self.frames.take(place) {
            Some(Frame::Up(connection, frame)) => self.lead_hears(connection, frame),
            Some(Frame::Down(connection, frame)) => {
                let connected = self.activators.iter().position(|it| {
                    it.connection == Some(connection) && it.presence == Presence::There
                });
                if let Some(way) = connected {
                    let actions = self.activators[way].side.receive(connection, frame, now_us);
                    self.act(way, actions);
                }
            }
            None => {}
        }
    }

    /// The number of a function.
    pub(super) fn number(&self, name: &FunctionName) -> Option<usize> {
        self.names.get(name).copied()
    }

    fn follow_entry(&mut self, way: usize, name: &FunctionName) {
        let Some(at) = self.number(name) else {
            return;
        };
        let activator = &self.activators[way];
        if let Some(entry) = activator.side.table().get(name) {
            let limit: Amount = held_max(entry.queue_depth);
            activator.views[at].bound.set_limit(limit);
        }
    }

    /// Stops using the retiring pods.
    fn retire(&mut self, way: usize, name: &FunctionName) {
        let Some(at) = self.number(name) else {
            return;
        };
        let activator = &mut self.activators[way];
        let Some(open) = activator.side.retirement(name) else {
            return;
        };
        let view = &mut activator.views[at];
        for known in &mut view.pods {
            known.retiring |= goes(&open.pods, known.serial);
        }
        view.emptying = true;
        self.changed(way, at);
    }

    /// Says so once nothing is in flight on retiring pods.
    pub(super) fn check_emptied(&mut self, way: usize, at: usize) {
        let activator = &mut self.activators[way];
        let name = &self.functions[at].spec.name;
        let Some(open) = activator.side.retirement(name) else {
            activator.views[at].emptying = false;
            return;
        };
        let mut retiring =
            activator.views[at].pods.iter().filter(|known| goes(&open.pods, known.serial));
        if retiring.all(|known| known.requests == 0) {
            activator.views[at].emptying = false;
            let actions = activator.side.emptied(name);
            self.act(way, actions);
        }
    }

    /// Retiring pods may be used again: at once, or once they were tried.
    fn resume(&mut self, way: usize, name: &FunctionName, trust: Trust) {
        let Some(at) = self.number(name) else {
            return;
        };
        let view = &mut self.activators[way].views[at];
        view.emptying = false;
        let mut doubtful = Vec::new();
        for known in &mut view.pods {
            let phase = self.pods[known.pod.at as usize].phase;
            let stays = !matches!(phase, Phase::Terminating | Phase::Stopped);
            if known.retiring && stays {
                known.retiring = false;
                if trust == Trust::Try && known.tried {
                    known.tried = false;
                    doubtful.push(known.pod);
                }
            }
        }
        self.changed(way, at);
        for pod in doubtful {
            // A pod that is there answers the first try.
            let activator = way as u16;
            let function = at as u32;
            let event = Event::Tried { pod, activator };
            self.queue.push(self.now_ns, Class::Pod, function, event);
        }
    }

    /// Sets an activator's reports going, and its looks at pressure where a function asks for them.
    pub(super) fn start_reporting(&mut self, way: usize) {
        let boot = self.activators[way].boot;
        let first_ns = self.now_ns + self.setup.world.report.phase_ns(self.seed, way, boot);
        self.set_report(way, first_ns);
        let bursts =
            |state: &super::engine::State<'_>| state.spec.settings.scaling.burst != Burst::Kpa;
        if self.functions.iter().any(bursts) {
            let event = Event::Look { activator: way as u16, boot };
            self.queue.push(self.now_ns, Class::Timer, 0, event);
        }
    }

    /// Sets an activator's next report.
    pub(super) fn set_report(&mut self, way: usize, at_ns: u64) {
        let event = Event::Report { activator: way as u16, boot: self.activators[way].boot };
        self.queue.push(at_ns, Class::Report, 0, event);
    }

    fn is_alive(&self, way: usize, boot: u32) -> bool {
        let activator = &self.activators[way];
        activator.boot == boot && activator.presence == Presence::There
    }

    /// An activator's next report is due.
    pub(super) fn report_due(&mut self, way: usize, boot: u32) {
        if !self.is_alive(way, boot) {
            return;
        }
        let next_ns = self.now_ns.saturating_add(self.setup.world.report.pause_ns());
        match self.reports {
            Reports::All => self.set_report(way, next_ns),
            Reports::WithNews => self.silent_until_ns = next_ns,
        }
        self.report(way);
    }

    /// Reports the functions that began, ended or had a request in flight since the last report.
    fn report(&mut self, way: usize) {
        let now_us = self.now_us();
        if self.activators[way].side.has_news() {
            let actions = self.activators[way].side.tick(now_us, &[]);
            self.act(way, actions);
        }
        let activator = &mut self.activators[way];
        let Some(connection) = activator.connection else {
            return;
        };
        let mut readings = Vec::with_capacity(activator.active.len());
        let Activator { active, steady, views, counters, .. } = activator;
        active.retain(|&at| {
            let Some(reading) = reading(&counters[at as usize], now_us) else {
                return true;
            };
            let view = &mut views[at as usize];
            let before = std::mem::replace(&mut view.said, (reading.started, reading.in_flight));
            let goes_on = reading.in_flight > 0;
            let is_steady = goes_on && reading.held == 0 && before == view.said;
            view.active = goes_on && !(is_steady && self.reports == Reports::WithNews);
            if goes_on && !view.active {
                steady.push(at);
            }
            readings.push((at, reading));
            view.active
        });
        self.reports_made += 1;
        if self.lost_reports.unit(self.reports_made) < self.setup.world.report.loss {
            // What it said is in the next one too, which must name the same functions.
            for (at, _) in readings {
                self.activators[way].note(at as usize);
            }
            return;
        }
        let activator = &mut self.activators[way];
        let (boot, learnt) = (activator.boot, std::mem::take(&mut activator.unsaid));
        let message = Message { activator: way, connection, boot, at_us: now_us, readings, learnt };
        let place = self.messages.put(message);
        match self.setup.world.report.delay_ns {
            0 => self.heard(place),
            delay_ns => {
                let at_ns = self.now_ns.saturating_add(delay_ns);
                self.queue.push(at_ns, Class::Report, 0, Event::Heard(place));
            }
        }
    }

    /// An activator looks whether open requests crossed a threshold.
    pub(super) fn look_due(&mut self, way: usize, boot: u32) {
        if !self.is_alive(way, boot) {
            return;
        }
        let again_ns = self.now_ns.saturating_add(PRESSURE_US_MIN * 1_000);
        let event = Event::Look { activator: way as u16, boot };
        self.queue.push(again_ns, Class::Timer, 0, event);
        let now_us = self.now_us();
        let activator = &mut self.activators[way];
        let open = activator.side.watched().filter_map(|name| {
            let at = *self.names.get(name)?;
            Some((name.clone(), activator.counters[at].read(now_us)?.in_flight))
        });
        let open: Vec<_> = open.collect();
        let crossed = activator.side.crossed(now_us, &open);
        if !crossed.is_empty() {
            self.report(way);
            let actions = self.activators[way].side.press(crossed);
            self.act(way, actions);
        }
    }

    /// An activator connects to whoever leads, and says everything anew.
    pub(super) fn connect(&mut self, way: usize) {
        self.connections += 1;
        let now_us = self.now_us();
        let activator = &mut self.activators[way];
        let connection = Connection(self.connections);
        activator.connection = Some(connection);
        for at in 0..self.functions.len() {
            let began = activator.counters[at].read(now_us).is_some_and(|it| it.started > 0);
            if began {
                activator.note(at);
            }
        }
        let actions = activator.side.connect(connection, String::new());
        self.act(way, actions);
    }
}

/// Whether pods that were to retire may be used as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// They may.
    Full,
    /// Only once they were tried.
    Try,
}

fn goes(retiring: &Retiring, serial: u64) -> bool {
    match retiring {
        Retiring::All => true,
        Retiring::Named(names) => names.iter().any(|name| name.parse() == Ok(serial)),
    }
}
