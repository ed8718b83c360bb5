//! The policy in an invented world: a [`scenario`] says what is wanted, a [`plan`] brings in what
//! it names, [`world`] runs it on drawn ([`load`]) or recorded ([`trace`]) load ([`draw`] is its
//! chance), [`judge`] says what holds, [`compare`] how policies differ and, by [`statistics`], how
//! sure that is; a [`sweep`] looks for better settings. Recorded runs of the policy are read by
//! [`recording`] and replayed by [`verify`]. Tests of one's own settings begin with [`simulation`].
//!
//! What the live system decided, and wrote down, is decided again by [`replay`]; what others
//! recorded of their load becomes a trace by [`import`].
//!
//! Files are opened by the caller; what is read comes in as an argument.

pub mod draw;
pub mod statistics;
pub mod world;
pub mod input;
pub mod lines;
pub mod scenario;
pub mod metric;
pub mod assertion;
pub mod baseline;
pub mod load;
pub mod trace;
pub mod import;
pub mod plan;
pub mod run;
pub mod judge;
pub mod compare;
pub mod courses;
pub mod simulation;
pub mod sweep;
pub mod report;
pub mod recording;
pub mod verify;
pub mod replay;
