//! The simulator will run the policy, the counters and the admission in an invented world; nothing
//! of it is built yet.
