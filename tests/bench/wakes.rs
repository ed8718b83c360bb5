//! From a request at zero to the order that wakes its function, and to the answer; and how long
//! nobody orders when the one that leads ends.

use dormouse_figures::heading;

mod wake;
mod orders;
mod leaders;

fn main() {
    heading("wakes, and who orders them");
    wake::run();
    orders::run();
    leaders::run();
}
