//! The harness of the whole-system tests: it runs the real binary as a user would, with real
//! clients on one side and real child programs on the other.
//!
//! Everything waits for events under one deadline ([`wait`]); what was started is stopped when its
//! value is dropped, and a failing test shows the log of the `dormouse` it ran.
//!
//! Reading order: [`wait`], [`journal`] (lines a process says, as they come), [`program`] (where
//! the binaries are, what is running), [`manifest`] (a function's YAML), [`http`] (a
//! client that shows every byte), [`link_proxy`] (a link that can be cut), [`up`] (a running
//! `dormouse up`), [`fake_api`] (an API server that is none), [`parts`] (autoscaler and activator
//! on their own), [`cluster`] (Kubernetes, whole), [`helm`], [`contract`] (what the fake and the
//! real API server have in common), [`golden`] (files that hold what comes out).

pub mod wait;
pub mod journal;
pub mod program;
pub mod manifest;
pub mod http;
pub mod link_proxy;
pub mod up;
pub mod app;
pub mod fake_api;
pub mod parts;
pub mod cluster;
pub mod helm;
pub mod contract;
pub mod golden;
