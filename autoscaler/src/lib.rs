//! Facts in, decisions, hands out: the control part of Dormouse.

pub mod cluster;
