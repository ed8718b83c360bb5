//! One request's way: check → which function → admit → a pod that takes requests? forward : hold →
//! forward → answer → count.

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use dormouse_metrics::counts::UpstreamError;
use dormouse_metrics::writer::InFlight;
use dormouse_policy::admission::{Full, Scope};
use http::header::{CONNECTION, EXPECT, HOST, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use tokio::time::Sleep;
use tracing::debug;

use crate::balance;
use crate::body::{Answer, Broken, ClientBody, Rest};
use crate::clock::Clock;
use crate::function::{Function, Presence, View};
use crate::hold::limited::Grant;
use crate::hold::{Admitted, Came, Outcome, Parked};
use crate::hygiene::{self, Intent};
use crate::intake::{Intake, WriteDeadline};
use crate::lease::Lease;
use crate::network::{Network, Peer, Stream};
use crate::problem::Problem;
use crate::route::{Entrance, Route};
use crate::tunnel;
use crate::upstream::{Answered, Failed};
use crate::worker::Worker;

/// Most of a refused upload that is read and thrown away, so that its client sees the answer rather
/// than a reset: more than common clients send before they look.
const DISCARD_BYTES_MAX: u64 = 256 * 1024;

/// Longest time spent on that.
const DISCARD_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(1);

/// Ends a connection without an answer: there is nobody to read one.
#[derive(Debug, thiserror::Error)]
#[error("the client left")]
pub(crate) struct Abandoned;

/// Where a request came from.
pub(crate) struct Client<N: Network> {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// A look at it.
    pub(crate) peer: Rc<<N::Stream as Stream>::Peer>,
    /// What was read from it and not passed on.
    pub(crate) intake: Arc<Intake>,
    /// Until when an answer may wait for it to read.
    pub(crate) write_deadline: Arc<WriteDeadline>,
    /// The listener it came through.
    pub(crate) entrance: Entrance,
}

/// Answers one request.
pub(crate) async fn answer<N: Network>(
    worker: &Rc<Worker<N>>,
    client: &Client<N>,
    mut request: Request<Incoming>,
) -> Result<Response<Answer>, Abandoned> {
    let taken_in_bytes = client.intake.take();
    let upgrade = hyper::upgrade::on(&mut request);
    let (mut head, body) = request.into_parts();
    let waits_for_continue = head.headers.contains_key(EXPECT);
    let found = hygiene::check(&mut head).and_then(|intent| {
        let routes = worker.routes.load();
        let route = routes.find(&client.entrance, hygiene::host(&head.headers))?;
        Ok((intent, route.clone()))
    });
    let (intent, route) = match found {
        Ok(found) => found,
        Err(problem) => {
            debug!(client = %client.address, problem = problem.slug(), "request refused");
            return Ok(refuse(worker, &problem, body, waits_for_continue));
        }
    };
    hygiene::prepare_request(&mut head, client.address.ip(), intent);
    if let (false, Some(host)) = (head.headers.contains_key(HOST), client.entrance.host()) {
        head.headers.insert(HOST, host);
    }
    let (body, broken) = ClientBody::new(body, Arc::clone(&client.intake));
    let mut journey = Journey::begin(worker, client, route, intent, broken, taken_in_bytes);
    match journey.go(Request::from_parts(head, body)).await {
        Ok(answered) => Ok(journey.arrive(answered, upgrade)),
        Err(Unanswered::Abandoned) => Err(Abandoned),
        Err(Unanswered::Problem(problem, unsent)) => {
            debug!(function = %journey.function().name, problem = problem.slug(), "not answered");
            journey.refuse(&problem);
            Ok(match unsent {
                Some(request) => {
                    let body = request.into_body().into_incoming();
                    refuse(worker, &problem, body, waits_for_continue)
                }
                None => finish(worker, problem.response()),
            })
        }
    }
}

/// The answer to a request that is not forwarded; what it uploads is thrown away within bounds.
fn refuse<N: Network>(
    worker: &Rc<Worker<N>>,
    problem: &Problem,
    body: Incoming,
    waits_for_continue: bool,
) -> Response<Answer> {
    // Reading would tell a client that waits for it to go on.
    if !body.is_end_stream() && !waits_for_continue {
        worker.tasks.spawn_local(discard(body));
    }
    finish(worker, problem.response())
}

async fn discard(mut body: Incoming) {
    let read = async {
        let mut bytes = 0;
        while bytes < DISCARD_BYTES_MAX {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            let Some(Ok(frame)) = frame else { return };
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
    };
    // Past the bound the connection is closed, as it would have been without.
    tokio::time::timeout(DISCARD_TIME_MAX, read).await.unwrap_or_default();
}

/// The last touch of every answer.
fn finish<N: Network>(worker: &Worker<N>, mut response: Response<Answer>) -> Response<Answer> {
    if worker.is_leaving() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Why a request was not answered by its function.
enum Unanswered {
    /// The client left.
    Abandoned,
    /// It is answered with this; the request is here if nothing of it was sent.
    Problem(Problem, Option<Box<Request<ClientBody>>>),
}

impl Unanswered {
    fn unsent(waited: Waited, request: Request<ClientBody>) -> Self {
        match waited {
            Waited::Abandoned => Self::Abandoned,
            Waited::Problem(problem) => Self::Problem(problem, Some(Box::new(request))),
        }
    }
}

/// Why a held request was not released.
enum Waited {
    /// The client left.
    Abandoned,
    /// It is answered with this.
    Problem(Problem),
}

/// What a request's head takes on the wire, without what separates its parts.
fn head_bytes(request: &Request<ClientBody>) -> u64 {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let headers = request.headers().iter();
    let headers: usize = headers.map(|(name, value)| name.as_str().len() + value.len()).sum();
    u64::try_from(request.method().as_str().len() + target + headers).unwrap_or(u64::MAX)
}

/// One request on its way to a pod, counted from its beginning to its end.
struct Journey<'a, N: Network> {
    worker: &'a Rc<Worker<N>>,
    client: &'a Client<N>,
    route: Route,
    intent: Intent,
    broken: Broken,
    /// What came of it with its head.
    taken_in_bytes: u64,
    /// Taken when the answer begins, which carries it from there.
    in_flight: Option<InFlight<Clock>>,
    queue_deadline_us: u64,
    request_deadline_us: u64,
    /// The same, as a timer; taken as above.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<'a, N: Network> Journey<'a, N> {
    fn begin(
        worker: &'a Rc<Worker<N>>,
        client: &'a Client<N>,
        route: Route,
        intent: Intent,
        broken: Broken,
        taken_in_bytes: u64,
    ) -> Self {
        let now_us = worker.clock.now_us();
        let view = route.function.view.load();
        let request_deadline_us = now_us.saturating_add(view.request_timeout_us);
        let queue_deadline_us = now_us.saturating_add(view.queue_timeout_us);
        drop(view);
        client.write_deadline.set(request_deadline_us);
        let in_flight = worker.writer.begin(&route.function.counters, worker.clock);
        let deadline = tokio::time::sleep_until(worker.clock.instant(request_deadline_us));
        Self {
            worker,
            client,
            route,
            intent,
            broken,
            taken_in_bytes,
            in_flight: Some(in_flight),
            queue_deadline_us: queue_deadline_us.min(request_deadline_us),
            request_deadline_us,
            deadline: Some(Box::pin(deadline)),
        }
    }

    fn function(&self) -> &Arc<Function> {
        &self.route.function
    }

    fn count(&self) -> &InFlight<Clock> {
        self.in_flight.as_ref().expect("no answer began yet")
    }

    /// Gets the request to a pod: at once, or after being held, as often as nothing was delivered.
    async fn go(
        &mut self,
        mut request: Request<ClientBody>,
    ) -> Result<(Answered<N>, Lease), Unanswered> {
        let mut came = Came::Anew;
        loop {
            let lease = match self.lease(&mut came, &request).await {
                Ok(lease) => lease,
                Err(waited) => return Err(Unanswered::unsent(waited, request)),
            };
            match self.send(&lease, request).await? {
                Ok(answered) => {
                    if matches!(came, Came::Back(Some(_))) && self.function().wake_delivers() {
                        self.count().wake_delivered();
                    }
                    return Ok((answered, lease));
                }
                Err(unsent) => request = *unsent,
            }
        }
    }

    /// A pod for the request: at once, or after being held, as often as the pod is lost again.
    async fn lease(&self, came: &mut Came, request: &Request<ClientBody>) -> Result<Lease, Waited> {
        loop {
            let grant = match self.admit(*came, request).map_err(Waited::Problem)? {
                Admitted::Shed(full) => return Err(Waited::Problem(self.shed(full))),
                Admitted::Forward(grant) => {
                    *came = Came::Back(None);
                    grant
                }
                Admitted::Hold(parked) => {
                    *came = Came::Back(Some(parked.ticket));
                    self.hold(parked).await?
                }
            };
            if let Some(lease) = self.take_up(grant) {
                return Ok(lease);
            }
        }
    }

    /// Forward, hold or shed, unless no pod will ever take the request.
    fn admit(&self, came: Came, request: &Request<ClientBody>) -> Result<Admitted<'_>, Problem> {
        let view = self.function().view.load();
        self.check(&view)?;
        // What came with an earlier request of the connection was counted there.
        let bytes = || self.taken_in_bytes.max(head_bytes(request));
        let client = || Rc::clone(&self.client.peer) as Rc<dyn Peer>;
        let (held, deadline_us) = (&self.worker.held, self.queue_deadline_us);
        Ok(held.admit(self.function(), &view, came, deadline_us, bytes, client))
    }

    /// Why no pod will ever take the request, if that is so.
    fn check(&self, view: &View) -> Result<(), Problem> {
        if view.presence == Presence::Gone {
            return Err(Problem::FunctionGone);
        }
        match view.takes_requests() {
            true => Ok(()),
            false => self.worker.cannot_start(view).map_or(Ok(()), Err),
        }
    }

    fn shed(&self, full: Full) -> Problem {
        let Full { scope, measure } = full;
        let wait_us = self.function().prospect(self.worker.clock.now_us()).wait_us();
        let retry_after_s = self.worker.retry_after_s(wait_us);
        match scope {
            Scope::Function => Problem::QueueFull { measure, retry_after_s },
            Scope::All => Problem::ActivatorFull { measure, retry_after_s },
        }
    }

    /// Waits in line until a pod can take the request.
    async fn hold(&self, parked: Parked<'_>) -> Result<Grant, Waited> {
        let mut line = self.worker.stand_in_line(self.function(), parked, self.count());
        match line.outcome().await {
            Outcome::Released(grant) => Ok(grant),
            Outcome::ClientGone => Err(Waited::Abandoned),
            Outcome::Refused(problem) => Err(Waited::Problem(problem)),
            Outcome::Expired => Err(Waited::Problem(self.expired())),
        }
    }

    /// Why it was in vain to wait.
    fn expired(&self) -> Problem {
        let view = self.function().view.load();
        match &view.failure {
            // Another start was due, and has come to nothing so far.
            Some(failing) if !view.takes_requests() => self.worker.failed(failing),
            _ if self.queue_deadline_us == self.request_deadline_us => Problem::RequestTimeout,
            _ => Problem::QueueTimeout,
        }
    }

    /// A pod for the request, and its count there; none if there is none any more.
    fn take_up(&self, grant: Grant) -> Option<Lease> {
        let view = self.function().view.load();
        if view.presence == Presence::Gone {
            return None;
        }
        let worker = self.worker.writer.worker();
        match grant {
            Grant::Slot(slot) => Some(Lease::with_slot(slot, worker)),
            Grant::Any => {
                let pod = balance::choose(&view.pods, worker, &mut self.worker.rng.borrow_mut())?;
                Some(Lease::new(Arc::clone(pod), worker))
            }
        }
    }

    /// Sends; the request comes back if nothing of it was delivered.
    async fn send(
        &mut self,
        lease: &Lease,
        request: Request<ClientBody>,
    ) -> Result<Result<Answered<N>, Box<Request<ClientBody>>>, Unanswered> {
        // The table lists an address per pod port; a peer of another mind costs one request.
        let Some(&address) = lease.pod.addresses.get(self.route.pod_port) else {
            return Err(Unanswered::Problem(Problem::UnknownHost, Some(Box::new(request))));
        };
        let deadline = self.deadline.as_mut().expect("no answer began yet");
        let sent = tokio::select! {
            biased;
            sent = self.worker.upstream.send(address, request) => sent,
            () = deadline.as_mut() => {
                return Err(Unanswered::Problem(Problem::RequestTimeout, None));
            }
        };
        match sent {
            Ok(answered) => Ok(Ok(answered)),
            Err(Failed::NotDelivered(request, error)) => {
                debug!(function = %self.function().name, %address, %error, "nothing delivered");
                self.count().upstream_error(UpstreamError::NotDelivered);
                // No more requests go there until it was tried with success.
                self.worker.doubt(self.function(), &lease.pod);
                Ok(Err(request))
            }
            Err(Failed::Ambiguous(_)) if self.broken.get() => {
                let rule = "the request body broke off or was malformed";
                Err(Unanswered::Problem(Problem::BadRequest(rule), None))
            }
            Err(Failed::Ambiguous(error)) => {
                debug!(function = %self.function().name, %address, %error, "delivery ambiguous");
                self.count().upstream_error(UpstreamError::Ambiguous);
                Err(Unanswered::Problem(Problem::UpstreamAmbiguous, None))
            }
        }
    }

    /// The request is not answered by its function.
    fn refuse(mut self, problem: &Problem) {
        if let Some(mut in_flight) = self.in_flight.take() {
            in_flight.refused(problem.refusal(), problem.status().as_u16());
        }
    }

    /// The answer's head is here.
    fn arrive(
        mut self,
        (answered, lease): (Answered<N>, Lease),
        upgrade: OnUpgrade,
    ) -> Response<Answer> {
        let Answered { mut response, connection } = answered;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if self.intent != Intent::WebSocket {
                let problem = Problem::UpstreamAmbiguous;
                let worker = Rc::clone(self.worker);
                self.refuse(&problem);
                return finish(&worker, problem.response());
            }
            let pod_upgrade = hyper::upgrade::on(&mut response);
            let (mut head, _) = response.into_parts();
            hygiene::prepare_response(&mut head.headers, Intent::WebSocket);
            let mut in_flight = self.in_flight.take().expect("it is taken only here");
            self.client.write_deadline.lift();
            self.worker.tasks.spawn_local(async move {
                let open = in_flight.open_stream();
                tunnel::join(upgrade, pod_upgrade).await;
                drop((connection, lease, open, in_flight));
            });
            return Response::from_parts(head, Answer::empty());
        }
        let (mut head, body) = response.into_parts();
        hygiene::prepare_response(&mut head.headers, Intent::Answer);
        let mut in_flight = self.in_flight.take().expect("it is taken only here");
        in_flight.answered(head.status.as_u16());
        let rest = Rest {
            deadline: self.deadline.take().expect("it is taken only here"),
            connection: Box::new(connection),
            lease,
            in_flight,
        };
        finish(self.worker, Response::from_parts(head, Answer::upstream(body, rest)))
    }
}

#[cfg(test)]
mod tests;
