//! Admission of one request: forward it, hold it, or shed it; later release it, let it expire, or
//! forget it because its client left.
//!
//! [`Admission`] is a pure state machine over held requests. There is one per worker for functions
//! without a concurrency limit, and one per process for those with one ([`Slots`]). All of them
//! draw on the same bounds: a [`Bound`] per function, a [`CommonBound`] over all functions, each in
//! requests and in bytes. The caller knows what a forwarded request needs, a *grant* (a pod that
//! takes requests; under a limit, a free slot at one), and does the waiting.
//!
//! Order: a function's requests leave first in, first out. A request that was released and could
//! not be delivered returns to its old place under its old ticket.
//!
//! No request is forgotten: the caller offers grants with [`Admission::release`] whenever one may
//! have appeared, until it is told that nothing is held or there is no grant.

mod bound;
mod machine;
mod slots;
mod wait;

pub use bound::{Amount, Bound, CommonBound, Full, Measure, Scope};
pub use machine::{Admission, Arrival, Ticket};
pub use slots::Slots;
pub use wait::{Prospect, ReleaseRate, retry_after_s};

#[cfg(test)]
mod tests;
