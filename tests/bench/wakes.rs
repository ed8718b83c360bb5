//! From a request at zero to the order that wakes its function, and to the answer.

#![allow(clippy::print_stdout, reason = "what a bench is for")]

mod wake;
mod orders;

fn main() {
    wake::run();
    orders::run();
}
