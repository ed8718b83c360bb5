//! The listeners that belong to single endpoints, following the table.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;

use dormouse_link::frame::{Entry, Listen, Listening};
use dormouse_policy::function::FunctionName;
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
    /// Opens and closes listeners until they are what the table asks for.
    pub(crate) fn follow(
        &mut self,
        table: &BTreeMap<FunctionName, Entry>,
        workers: usize,
    ) -> Changes {
        let mut changes = Changes::default();
        let wanted: BTreeMap<Arc<str>, Listen> = table
            .values()
            .flat_map(|entry| &entry.endpoints)
            .filter_map(|endpoint| Some((endpoint.name.as_str().into(), endpoint.listen?)))
            .collect();
        self.0.retain(|name, open| {
            let stays = wanted.get(name) == Some(&open.wanted);
            if !stays && open.outcome.address.is_some() {
                changes.closed.push(Entrance::Endpoint(Arc::clone(name)));
            }
            stays
        });
        for (name, wanted) in wanted {
            if self.0.contains_key(&name) {
                continue;
            }
            let (outcome, sockets) = open(&name, wanted, workers);
            if !sockets.is_empty() {
                changes.opened.push((Entrance::Endpoint(Arc::clone(&name)), sockets));
            }
            self.0.insert(name, Open { wanted, outcome });
        }
        changes
    }

    /// Where every endpoint listens.
    pub(crate) fn listening(&self) -> Vec<Listening> {
        self.0.values().map(|open| open.outcome.clone()).collect()
    }
}

fn open(name: &str, wanted: Listen, workers: usize) -> (Listening, Vec<TcpListener>) {
    let if_taken = if wanted.else_free { IfTaken::AnyFree } else { IfTaken::Fail };
    match listen::bind(wanted.address, if_taken, workers) {
        Ok((address, sockets)) => {
            info!(endpoint = name, %address, "listening");
            let endpoint = name.to_owned();
            (Listening { endpoint, address: Some(address), error: None }, sockets)
        }
        Err(error) => {
            warn!(endpoint = name, address = %wanted.address, %error, "cannot listen");
            let error = Some(error.to_string());
            (Listening { endpoint: name.to_owned(), address: None, error }, Vec::new())
        }
    }
}
