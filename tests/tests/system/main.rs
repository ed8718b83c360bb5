//! The whole system, run as a user runs it: each test is named after what it proves.

#![allow(clippy::unwrap_used, reason = "every line of this program is a test")]

mod wake;
mod scale;
mod explain;
mod idling;
mod asking;
mod record;
mod queue;
mod children;
mod link;
mod several;
mod tls;
mod shutdown;
mod unheard;
mod manifests;
mod settings;
mod annotations;
mod bursts;
mod replicas;
mod http1;
mod streams;
mod examples;
mod command_line;
mod metrics;
mod fake_api;
mod kubernetes;
mod failures;
mod others;
mod slices;
mod changes;
mod sim;
mod suite;
mod outputs;
mod bad_input;
mod sweep;
mod pages;
mod verify;
mod replay;
mod reports;
mod import;
