//! From the link's table to what workers read: functions, their views, and the routes to them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use dormouse_link::frame::{self, EndpointEntry, Entry};
use dormouse_metrics::registry::{Full, Registry, Removed};
use dormouse_policy::admission::{Amount, Bound, CommonBound, ReleaseRate};
use dormouse_policy::function::{FunctionName, Probe};
use tracing::{error, warn};

use crate::function::{Failing, Function, FunctionId, Presence, View};
use crate::pod::{Pod, State};
use crate::probe::Pace;
use crate::route::{Extent, Route, Routes};

/// One function alone may fill one in so many of the bytes for all: heads of usual size reach the
/// bounds in number first, and what reaches this one first is an upload that others must not pay.
const FUNCTION_BYTES_ONE_IN: u64 = 2;

/// The functions, kept by the control thread; workers see them through the routes.
pub(crate) struct Table {
    functions: BTreeMap<FunctionName, Tended>,
    routes: Arc<ArcSwap<Routes>>,
    /// The bound on held requests over all functions.
    common: Arc<CommonBound>,
    workers: usize,
    next_id: u64,
    extent: Extent,
    routes_stale: bool,
    /// Functions that the routes may still lead to.
    removed: Vec<Removed>,
}

/// A function and what the control thread keeps of it.
pub(crate) struct Tended {
    /// The function.
    pub(crate) function: Arc<Function>,
    /// How hastily its pods are tried.
    pub(crate) pace: Rc<Pace>,
    /// How fast its held requests are released.
    releases: Cell<Releases>,
    endpoints: Vec<EndpointEntry>,
    /// The pods as last listed, for what their manager said of them.
    listed: Vec<frame::Pod>,
}

impl Tended {
    /// Whether a pod in doubt is tried. One whose probe only its manager can make has to be ready
    /// to that manager; then a connect tells the rest.
    pub(crate) fn tries(&self, pod: &Pod) -> bool {
        let is_ready = || self.listed.iter().any(|it| it.name == pod.name && it.ready);
        self.function.view.load().probe != Probe::Reported || is_ready()
    }
}

/// What was seen of a function's releases.
#[derive(Clone, Copy, Default)]
struct Releases {
    rate: ReleaseRate,
    /// The count at the last look.
    seen: u64,
    /// When that was, in microseconds, if requests were held for their turn then.
    since_us: Option<u64>,
}

/// What held requests of a function wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// None are held, or no pod takes them.
    NotForTheirTurn,
    /// Those before them.
    ForTheirTurn,
}

impl Tended {
    /// Looks at how many were released since the last look; counts if some waited for their turn
    /// then and do now.
    pub(crate) fn watch_releases(&self, waits: Waits, now_us: u64) {
        let Releases { mut rate, seen, since_us } = self.releases.get();
        let released = self.function.released.load(Ordering::Relaxed);
        if let (Some(since_us), Waits::ForTheirTurn) = (since_us, waits) {
            rate.observe(released.wrapping_sub(seen), now_us.saturating_sub(since_us));
            self.function.released_per_s.store(rate.per_s().to_bits(), Ordering::Relaxed);
        }
        let since_us = (waits == Waits::ForTheirTurn).then_some(now_us);
        self.releases.set(Releases { rate, seen: released, since_us });
    }
}

impl Table {
    /// No functions yet.
    pub(crate) fn new(
        routes: Arc<ArcSwap<Routes>>,
        common: Arc<CommonBound>,
        workers: usize,
    ) -> Self {
        Self {
            functions: BTreeMap::new(),
            routes,
            common,
            workers,
            next_id: 0,
            extent: Extent::default(),
            routes_stale: false,
            removed: Vec::new(),
        }
    }

    /// The names of all functions.
    pub(crate) fn names(&self) -> impl Iterator<Item = &FunctionName> {
        self.functions.keys()
    }

    /// A function.
    pub(crate) fn function(&self, name: &FunctionName) -> Option<&Arc<Function>> {
        self.functions.get(name).map(|tended| &tended.function)
    }

    /// A function and what is kept of it.
    pub(crate) fn tended(&self, name: &FunctionName) -> Option<&Tended> {
        self.functions.get(name)
    }

    /// Takes up a new or changed entry; returns the pods it no longer lists.
    pub(crate) fn update(
        &mut self,
        entry: &Entry,
        now_us: u64,
        registry: &Registry,
    ) -> Vec<Arc<Pod>> {
        let workers = self.workers;
        let before = self.functions.remove(&entry.function);
        let (old_pods, old_listed) = match &before {
            Some(tended) => (tended.function.view.load().pods.clone(), tended.listed.as_slice()),
            None => (Vec::new(), &[][..]),
        };
        let pods: Vec<Arc<Pod>> = entry
            .pods
            .iter()
            .map(|listed| {
                let known = old_pods
                    .iter()
                    .find(|pod| pod.name == listed.name && pod.addresses == listed.addresses);
                let was_ready = old_listed.iter().any(|old| old.name == listed.name && old.ready);
                let pod = known.map_or_else(|| Arc::new(fresh(listed, workers)), Arc::clone);
                heed(&pod, &entry.probe, was_ready, listed.ready);
                pod
            })
            .collect();
        let dropped =
            old_pods.into_iter().filter(|old| !pods.iter().any(|pod| Arc::ptr_eq(pod, old)));
        let dropped = dropped.collect();
        let view = view_of(entry, pods, now_us);
        let tended = match before {
            Some(mut tended) => {
                self.routes_stale |= tended.endpoints != entry.endpoints;
                tended.function.bound.set_limit(self.held_max(entry));
                tended.function.view.store(Arc::new(view));
                tended.endpoints.clone_from(&entry.endpoints);
                tended.listed.clone_from(&entry.pods);
                tended
            }
            None => match self.tend(entry, view, registry) {
                Ok(tended) => tended,
                Err(full) => {
                    error!(function = %entry.function, %full, "function not served");
                    return dropped;
                }
            },
        };
        self.functions.insert(entry.function.clone(), tended);
        self.share_bound();
        dropped
    }

    /// Forgets a function; whoever still waits for it is to be told.
    pub(crate) fn remove(
        &mut self,
        name: &FunctionName,
        registry: &Registry,
    ) -> Option<Arc<Function>> {
        let function = self.functions.remove(name)?.function;
        let view = View { presence: Presence::Gone, ..View::clone(&function.view.load()) };
        function.view.store(Arc::new(view));
        self.removed.extend(registry.remove(name.as_str()));
        self.share_bound();
        self.routes_stale = true;
        Some(function)
    }

    /// Says whether the functions are all there are: of a host that has none, that is news.
    pub(crate) fn set_extent(&mut self, extent: Extent) {
        self.routes_stale |= self.extent != extent;
        self.extent = extent;
    }

    /// Publishes the routes if functions or endpoints changed; tells whether they had.
    pub(crate) fn publish_routes(&mut self) -> bool {
        if !std::mem::take(&mut self.routes_stale) {
            return false;
        }
        let mut routes = Routes { extent: self.extent, ..Routes::default() };
        for tended in self.functions.values() {
            for endpoint in &tended.endpoints {
                let function = Arc::clone(&tended.function);
                let route = Route { function, pod_port: endpoint.pod_port };
                for host in endpoint.hosts.iter() {
                    if routes.hosts.contains_key(host) {
                        warn!(%host, function = %tended.function.name, "host claimed twice");
                        continue;
                    }
                    routes.hosts.insert(Arc::clone(host), route.clone());
                }
                routes.endpoints.insert(Arc::clone(&endpoint.name), route);
            }
        }
        self.routes.store(Arc::new(routes));
        // No worker can look these up any more.
        self.removed.clear();
        true
    }

    /// The most a function may hold: its queue depth, and its part of the memory for all.
    fn held_max(&self, entry: &Entry) -> Amount {
        let bytes = self.common.limit().bytes / FUNCTION_BYTES_ONE_IN;
        Amount { requests: entry.queue_depth.into(), bytes }
    }

    fn share_bound(&self) {
        // A usize always fits.
        self.common.set_functions(u64::try_from(self.functions.len()).unwrap_or(u64::MAX));
    }

    fn tend(&mut self, entry: &Entry, view: View, registry: &Registry) -> Result<Tended, Full> {
        let counters = registry.register(entry.function.as_str())?;
        let id = FunctionId(self.next_id);
        self.routes_stale = true;
        self.next_id += 1;
        let function = Arc::new(Function {
            id,
            name: entry.function.clone(),
            counters,
            bound: Arc::new(Bound::new(self.held_max(entry))),
            view: ArcSwap::from_pointee(view),
            wake_since_us: AtomicU64::new(0),
            undelivered: AtomicBool::new(false),
            released: AtomicU64::new(0),
            released_per_s: AtomicU64::new(0),
            signalled: AtomicBool::new(false),
        });
        Ok(Tended {
            function,
            pace: Rc::default(),
            releases: Cell::default(),
            endpoints: entry.endpoints.clone(),
            listed: entry.pods.clone(),
        })
    }
}

fn fresh(listed: &frame::Pod, workers: usize) -> Pod {
    Pod::new(listed.name.clone(), listed.addresses.clone(), workers)
}

/// Takes up what a pod's manager says of it. Where the activator can try the pod itself, the
/// manager's "ready" is enough and its "no longer ready" calls for a try; where it cannot, there is
/// no try without the manager's "ready". A pod without a probe is ready for its manager as soon as
/// it runs, which says nothing: only a connect does.
fn heed(pod: &Pod, probe: &Probe, was_ready: bool, is_ready: bool) {
    match probe {
        Probe::Connect => {}
        Probe::Http(_) | Probe::Tcp { .. } | Probe::Reported => {
            if is_ready && !was_ready {
                pod.set_state(State::Usable);
            } else if was_ready && !is_ready {
                pod.set_state(State::Trying);
            }
        }
    }
}

fn view_of(entry: &Entry, pods: Vec<Arc<Pod>>, now_us: u64) -> View {
    View {
        pods,
        probe: entry.probe.clone(),
        limit: NonZeroU32::new(entry.container_concurrency),
        start_up_us: entry.start_ups.quantile_us(),
        queue_timeout_us: entry.queue_timeout_ms.saturating_mul(1_000),
        request_timeout_us: entry.request_timeout_ms.saturating_mul(1_000),
        failure: entry.failure.clone().map(|failure| Failing {
            retry_at_us: now_us.saturating_add(failure.retry_ms.saturating_mul(1_000)),
            failure,
        }),
        presence: Presence::Listed,
    }
}
