//! The listeners that belong to single endpoints, following the table.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;

use dormouse_link::activator_side::Table;
use dormouse_link::frame::{Listen, Listening};
use tracing::{info, warn};

use crate::config::IfTaken;
use crate::listen;
use crate::route::Entrance;

/// The endpoints' listeners, by endpoint name.
#[derive(Debug, Default)]
pub(crate) struct Listeners(BTreeMap<Arc<str>, Open>);

#[derive(Debug)]
struct Open {
    wanted: Listen,
    outcome: Listening,
}

/// What changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// New listeners, a socket per worker.
    pub(crate) opened: Vec<(Entrance, Vec<TcpListener>)>,
    /// Listeners to close.
    pub(crate) closed: Vec<Entrance>,
}

impl Listeners {
    /// Opens and closes listeners until they are what the table asks for; those that could not be
    /// opened are tried again. An unspecified address stands for all of `reached_at`.
    pub(crate) fn follow(
        &mut self,
        table: &Table,
        reached_at: &[IpAddr],
        workers: usize,
    ) -> Changes {
        let mut changes = Changes::default();
        let wanted: BTreeMap<Arc<str>, Listen> = table
            .values()
            .flat_map(|entry| &entry.endpoints)
            .filter_map(|endpoint| Some((Arc::clone(&endpoint.name), endpoint.listen?)))
            .collect();
        self.0.retain(|name, open| {
            let stays = wanted.get(name) == Some(&open.wanted);
            if !stays && open.outcome.address.is_some() {
                changes.closed.push(Entrance::Endpoint(Arc::clone(name)));
            }
            stays
        });
        for (name, wanted) in wanted {
            let known = self.0.get(&name).map(|open| &open.outcome);
            if known.is_some_and(|outcome| outcome.address.is_some()) {
                continue;
            }
            let outcome = match open(wanted, reached_at, workers) {
                Ok((address, each)) => {
                    info!(endpoint = %name, %address, "listening");
                    let entrance = Entrance::Endpoint(Arc::clone(&name));
                    let opened = each.into_iter().map(|sockets| (entrance.clone(), sockets));
                    changes.opened.extend(opened);
                    let endpoint = Arc::clone(&name);
                    Listening { endpoint, address: Some(address), error: None }
                }
                Err(error) => {
                    let error = Some(error.to_string());
                    let endpoint = Arc::clone(&name);
                    let outcome = Listening { endpoint, address: None, error };
                    if known != Some(&outcome) {
                        let (address, error) = (wanted.address, &outcome.error);
                        warn!(endpoint = %name, %address, error, "cannot listen");
                    }
                    outcome
                }
            };
            self.0.insert(name, Open { wanted, outcome });
        }
        changes
    }

    /// Whether some could not be opened.
    pub(crate) fn have_failed(&self) -> bool {
        self.0.values().any(|open| open.outcome.address.is_none())
    }

    /// Where every endpoint listens.
    pub(crate) fn listening(&self) -> Vec<Listening> {
        self.0.values().map(|open| open.outcome.clone()).collect()
    }
}

/// The address to announce, and for each that is listened on a socket per worker.
fn open(
    wanted: Listen,
    reached_at: &[IpAddr],
    workers: usize,
) -> io::Result<(SocketAddr, Vec<Vec<TcpListener>>)> {
    let Listen { address, else_free } = wanted;
    let if_taken = if else_free { IfTaken::AnyFree } else { IfTaken::Fail };
    if !address.ip().is_unspecified() {
        let (address, sockets) = listen::bind(address, if_taken, workers)?;
        return Ok((address, vec![sockets]));
    }
    let each = reached_at.iter().map(|ip| {
        let (_, sockets) =
            listen::bind(SocketAddr::new(*ip, address.port()), IfTaken::Fail, workers)?;
        Ok(sockets)
    });
    Ok((address, each.collect::<io::Result<_>>()?))
}

#[cfg(test)]
mod tests {
    use dormouse_link::frame::{EndpointEntry, Entry};
    use dormouse_policy::function::{FunctionName, Probe};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1));

    fn table(listen: Option<SocketAddr>) -> Table {
        let function = FunctionName::new("shop", "cart");
        let entry = Entry {
            function: function.clone(),
            endpoints: vec![EndpointEntry {
                name: "shop/cart:80".into(),
                pod_port: 0,
                hosts: Arc::default(),
                listen: listen.map(|address| Listen { address, else_free: false }),
            }],
            pods: Vec::new(),
            probe: Probe::Connect,
            queue_depth: 1,
            container_concurrency: 0,
            queue_timeout_ms: 1,
            request_timeout_ms: 1,
            pressure: None,
            start_ups: Default::default(),
            gaps: Default::default(),
            failure: None,
        };
        Table::from([(function, Arc::new(entry))])
    }

    /// A port that is taken at [`HERE`], by whom.
    fn taken() -> (TcpListener, u16) {
        let listener = TcpListener::bind((HERE, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[test]
    fn a_port_that_was_taken_is_a_fault_and_is_had_once_it_is_free() {
        let (taken, port) = taken();
        let everywhere: SocketAddr = format!("[::]:{port}").parse().unwrap();
        let mut listeners = Listeners::default();
        let changes = listeners.follow(&table(Some(everywhere)), &[HERE], 2);
        assert!(changes.opened.is_empty() && listeners.have_failed());
        let [outcome] = &listeners.listening()[..] else { panic!("one endpoint") };
        assert!(outcome.address.is_none() && outcome.error.is_some());
        drop(taken);
        let changes = listeners.follow(&table(Some(everywhere)), &[HERE], 2);
        assert_eq!(changes.opened[0].1.len(), 2);
        assert_eq!(changes.opened[0].1[0].local_addr().unwrap(), SocketAddr::new(HERE, port));
        assert_eq!(listeners.listening()[0].address, Some(everywhere));
        assert!(!listeners.have_failed());
        assert!(listeners.follow(&table(Some(everywhere)), &[HERE], 2).opened.is_empty());
    }

    #[test]
    fn an_endpoint_without_a_port_or_of_no_function_is_closed() {
        for without in [table(None), BTreeMap::new()] {
            let mut listeners = Listeners::default();
            let anywhere = table(Some(SocketAddr::new(HERE, 0)));
            assert_eq!(listeners.follow(&anywhere, &[], 1).opened.len(), 1);
            let changes = listeners.follow(&without, &[], 1);
            assert_eq!((changes.opened.len(), changes.closed.len()), (0, 1));
            assert!(listeners.listening().is_empty());
        }
    }
}
