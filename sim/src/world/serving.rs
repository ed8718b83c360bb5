//! A request's way: arrive → admit → a pod, or hold → serve → answer.

use dormouse_policy::admission::{Arrival, Ticket};

use super::activator::{Grant, HEAD_BYTES, Presence};
use super::engine::{Place, Request, Sim, State};
use super::ledger::{Cause, Fate, Visit};
use super::pod::{Begun, Phase, Server};
use super::queue::{Class, Event, Id, Queue};

impl Sim<'_> {
    /// A request of the function arrives.
    #[inline]
    pub(super) fn arrive(&mut self, at: usize) {
        let now_ns = self.now_ns;
        let function = &mut self.functions[at];
        let index = function.drawn;
        function.drawn += 1;
        function.learn_pause(now_ns);
        function.ledger.enter(now_ns);
        let visit = Visit {
            part: function.ledger.part,
            arrived_ns: now_ns,
            sent_ns: now_ns,
            cause: Cause::Saturated,
        };
        let service_ns = function.service_ns(index);
        let Some(way) = self.way(at, index) else {
            // Nobody listens.
            let function = &mut self.functions[at];
            let visit = Visit { cause: function.cause(), ..visit };
            return function.ledger.leave(visit, Fate::Lost, now_ns);
        };
        let id = self.make_request();
        let activator = &mut self.activators[way];
        activator.note(at);
        // In its place: a request is too large to be made elsewhere and moved there.
        let request = &mut self.requests[id.at as usize];
        (request.function, request.activator) = (at as u32, way as u16);
        (request.place, request.visit, request.service_ns) = (Place::InLine, visit, service_ns);
        request.count = Some(activator.writer.begin(&activator.counters[at], self.clock));
        let function = &mut self.functions[at];
        function.watch_deadline(now_ns, id, &self.requests, &mut self.queue);
        let settings = &function.spec.settings;
        let queue_ms = settings.admission.queue_timeout_ms.min(settings.timeouts.request_ms);
        let deadline_us = self.clock.0.get().saturating_add(queue_ms.saturating_mul(1_000));
        let view = &activator.views[at];
        let arrival = activator.admission.arrive(
            at as u32,
            &view.bound,
            deadline_us,
            || HEAD_BYTES,
            || view.grant(),
        );
        match arrival {
            Arrival::Forward(grant) => self.dispatch(id, grant),
            Arrival::Shed(_) => {
                let cause = self.functions[at].cause();
                self.requests[id.at as usize].visit.cause = cause;
                self.conclude(id, Fate::Refused);
            }
            Arrival::Hold(ticket) => {
                let function = &mut self.functions[at];
                function.ledger.hold(now_ns);
                let request = &mut self.requests[id.at as usize];
                request.place = Place::Held(ticket);
                request.visit.cause = function.cause();
                if let Some(count) = &request.count {
                    self.activators[way].waiting.insert(ticket, (id, count.hold()));
                }
                self.arm_expiry(way);
                self.evaluate(way, at);
            }
        }
    }

    /// A place for a request, in which another one may have been.
    #[inline]
    fn make_request(&mut self) -> Id {
        let at = self.free_requests.pop().unwrap_or_else(|| {
            self.requests.push(Request::none());
            (self.requests.len() - 1) as u32
        });
        Id { at, life: self.requests[at as usize].life }
    }

    /// The activator that a request comes to; none if none is there.
    #[inline]
    fn way(&self, function: usize, index: u64) -> Option<usize> {
        if let [only] = &self.activators[..] {
            return (only.presence == Presence::There).then_some(0);
        }
        let there = self.there().count() as u64;
        let way = self.functions[function].ways.below(index, there);
        self.there().nth(way as usize)
    }

    /// Sends a request to a pod.
    #[inline]
    fn dispatch(&mut self, id: Id, grant: Grant) {
        let now_ns = self.now_ns;
        let request = &mut self.requests[id.at as usize];
        let at = request.function as usize;
        let function = &mut self.functions[at];
        let view = &mut self.activators[usize::from(request.activator)].views[at];
        let place = match grant {
            Grant::Slot(place) => Some(place),
            Grant::Any => {
                let pods = view.pods.len() as u64;
                let mut below = |pods| {
                    function.chosen += 1;
                    function.choices.below(function.chosen, pods) as usize
                };
                match pods {
                    1 => Some(0),
                    _ => view.choose(below(pods), below(pods - 1)),
                }
            }
        };
        let Some(place) = place else {
            self.fault = Some("a grant was given where no pod takes requests".to_owned());
            return;
        };
        let known = &mut view.pods[place];
        known.requests += 1;
        request.slot = matches!(grant, Grant::Slot(_));
        request.pod = known.pod;
        request.hint = place as u32;
        request.visit.sent_ns = now_ns;
        function.ledger.send();
        let pod = &mut self.pods[known.pod.at as usize];
        pod.requests += 1;
        request.place = Place::Served;
        match pod.server.begin(id, request.service_ns, now_ns) {
            Begun::Now => {
                let done_ns = now_ns.saturating_add(request.service_ns);
                let function = request.function;
                self.queue.push(done_ns, Class::Completion, function, Event::Served(id));
            }
            Begun::InLine => request.place = Place::InLine,
            Begun::Shared => {
                let at = known.pod.at;
                self.reckon(at);
            }
        }
    }

    /// Sets the moment when a pod that shares its speed will have served its next request.
    fn reckon(&mut self, pod: u32) {
        let requests = &self.requests;
        let is_there = |id: Id| requests[id.at as usize].life == id.life;
        let it = &mut self.pods[pod as usize];
        if let Server::Share(share) = &mut it.server
            && let Some((at_ns, reckoning)) = share.reckon(is_there)
        {
            let event = Event::Shared { pod, reckoning };
            self.queue.push(at_ns, Class::Completion, it.function, event);
        }
    }

    /// A request has been served.
    #[inline]
    pub(super) fn served(&mut self, id: Id) {
        if self.is_request(id) {
            self.leave_pod(id, Fate::Answered);
        }
    }

    /// Requests of a pod that shares its speed may have been served.
    pub(super) fn shared(&mut self, pod: u32, reckoning: u32) {
        loop {
            let requests = &self.requests;
            let is_there = |id: Id| requests[id.at as usize].life == id.life;
            let Server::Share(share) = &mut self.pods[pod as usize].server else {
                return;
            };
            if share.reckoning != reckoning {
                return;
            }
            let Some(done) = share.served(self.now_ns, is_there) else {
                return self.reckon(pod);
            };
            self.end_service(done, Fate::Answered);
            if let Server::Share(share) = &mut self.pods[pod as usize].server
                && share.reckoning != reckoning
            {
                // Whoever took its place has reckoned.
                return;
            }
        }
    }

    /// A request leaves its pod, which turns to the next.
    pub(super) fn leave_pod(&mut self, id: Id, fate: Fate) {
        let pod = self.requests[id.at as usize].pod;
        self.end_service(id, fate);
        if self.is_pod(pod) && matches!(self.pods[pod.at as usize].server, Server::Share(_)) {
            self.reckon(pod.at);
        }
    }

    /// The same without a new reckoning of when a shared pod's next request is done.
    fn end_service(&mut self, id: Id, fate: Fate) {
        let now_ns = self.now_ns;
        let request = &self.requests[id.at as usize];
        let (pod, at, way) = (request.pod, request.function, usize::from(request.activator));
        let (hint, slot, place) = (request.hint as usize, request.slot, request.place);
        self.conclude(id, fate);
        let requests = &self.requests;
        let is_there = |id: Id| requests[id.at as usize].life == id.life;
        let it = &mut self.pods[pod.at as usize];
        it.requests -= 1;
        let next = match place {
            Place::Served => it.server.end(now_ns, is_there),
            _ => None,
        };
        if let Some(next) = next {
            let request = &mut self.requests[next.at as usize];
            request.place = Place::Served;
            let done_ns = now_ns.saturating_add(request.service_ns);
            self.queue.push(done_ns, Class::Completion, at, Event::Served(next));
        }
        let is_over = it.requests == 0 && it.phase == Phase::Stopped;
        let at = at as usize;
        let view = &mut self.activators[way].views[at];
        let mut is_empty = true;
        if let Some(place) = view.place(pod, hint) {
            let known = &mut view.pods[place];
            known.requests -= 1;
            is_empty = known.requests == 0;
            if slot {
                known.slots.give_back();
            }
        }
        if is_empty && view.emptying {
            self.check_emptied(way, at);
        }
        if slot {
            self.release(way, at);
        }
        if is_over {
            self.vanish(pod);
        }
    }

    /// Releases held requests, oldest first, as long as a pod can take them.
    pub(super) fn release(&mut self, way: usize, at: usize) {
        loop {
            let activator = &mut self.activators[way];
            let view = &activator.views[at];
            let Some((ticket, grant)) = activator.admission.release(at as u32, || view.grant())
            else {
                return;
            };
            let Some(id) = self.unhold(way, at, ticket) else {
                self.fault = Some("a ticket without a request".to_owned());
                return;
            };
            self.dispatch(id, grant);
        }
    }

    /// A request is not held any more.
    fn unhold(&mut self, way: usize, at: usize, ticket: Ticket) -> Option<Id> {
        let (id, _held) = self.activators[way].waiting.remove(&ticket)?;
        self.functions[at].ledger.unhold(self.now_ns);
        Some(id)
    }

    /// Requests whose time in the queue is over leave it.
    pub(super) fn expire(&mut self, way: usize, boot: u32) {
        let now_us = self.now_us();
        let activator = &mut self.activators[way];
        if activator.boot != boot || activator.presence == Presence::Away {
            return;
        }
        activator.expiry_ns = u64::MAX;
        while let Some((at, ticket)) = self.activators[way].admission.expire(now_us) {
            if let Some(id) = self.unhold(way, at as usize, ticket) {
                self.conclude(id, Fate::TimedOut);
            }
            self.evaluate(way, at as usize);
        }
        self.arm_expiry(way);
    }

    fn arm_expiry(&mut self, way: usize) {
        let activator = &mut self.activators[way];
        let Some(deadline_us) = activator.admission.next_deadline_us() else {
            return;
        };
        let at_ns = deadline_us.saturating_mul(1_000);
        if at_ns < activator.expiry_ns {
            activator.expiry_ns = at_ns;
            let event = Event::Expire { activator: way as u16, boot: activator.boot };
            self.queue.push(at_ns, Class::Timer, 0, event);
        }
    }

    /// Requests whose whole time is over end.
    pub(super) fn deadline(&mut self, at: usize) {
        loop {
            let function = &mut self.functions[at];
            let Some(&(deadline_ns, id)) = function.deadlines.front() else {
                function.deadline_armed = false;
                return;
            };
            let is_there = self.requests[id.at as usize].life == id.life;
            if is_there && deadline_ns > self.now_ns {
                let event = Event::Deadline(at as u32);
                return self.queue.push(deadline_ns, Class::Timer, at as u32, event);
            }
            function.deadlines.pop_front();
            if is_there {
                self.give_up(id, Fate::TimedOut);
            }
        }
    }

    /// A request ends wherever it is.
    pub(super) fn give_up(&mut self, id: Id, fate: Fate) {
        let request = &self.requests[id.at as usize];
        let (way, at) = (usize::from(request.activator), request.function as usize);
        match request.place {
            Place::Free => {}
            Place::Held(ticket) => {
                self.activators[way].admission.cancel(at as u32, ticket);
                self.unhold(way, at, ticket);
                self.conclude(id, fate);
                self.evaluate(way, at);
            }
            Place::InLine | Place::Served => self.leave_pod(id, fate),
        }
    }
}

impl State<'_> {
    /// A request that arrives now is to end in time.
    #[inline]
    fn watch_deadline(&mut self, now_ns: u64, id: Id, requests: &[Request<'_>], queue: &mut Queue) {
        while let Some((_, first)) = self.deadlines.front()
            && requests[first.at as usize].life != first.life
        {
            self.deadlines.pop_front();
        }
        let request_ms = self.spec.settings.timeouts.request_ms;
        let deadline_ns = now_ns.saturating_add(request_ms.saturating_mul(1_000_000));
        self.deadlines.push_back((deadline_ns, id));
        if !self.deadline_armed {
            self.deadline_armed = true;
            let function = requests[id.at as usize].function;
            queue.push(deadline_ns, Class::Timer, function, Event::Deadline(function));
        }
    }
}
