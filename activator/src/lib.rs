//! The activator: the proxy in the request's way.
//!
//! One request walks one way: a worker's listener accepts it ([`worker`]), [`request`] checks it,
//! finds its function ([`route`]), admits it, holds it while no pod can take it ([`hold`]),
//! forwards it ([`upstream`]) and counts it. The control thread ([`control`]) speaks with the
//! autoscaler, keeps routes and pods up to date and tries pods that might be ready ([`probe`]).
//!
//! Threads: `workers` data-plane threads, each a single-threaded runtime with listeners, upstream
//! connections and held requests of its own, and one control thread. What crosses threads: the
//! route snapshot, each pod's state, the counters, the queue and the slots of functions with a
//! concurrency limit, and bounded channels: commands, signals, connections handed over.
//!
//! Absent on purpose: Kubernetes, deciding, any knowledge of what a function is for.

pub mod activator;
pub mod config;
mod clock;
mod network;
mod pod;
mod function;
mod route;
mod crowd;
mod worker;
mod listen;
mod request;
mod hygiene;
mod problem;
mod balance;
mod hold;
mod lease;
mod intake;
mod upstream;
mod body;
mod tunnel;
mod control;
mod admin;
mod link_client;
pub mod link_tls;
mod probe;
