//! What a request's counting compiles to: a test reads the instructions of [`begin_and_end`].

use std::hint::black_box;

use dormouse_metrics::counters::Counters;
use dormouse_metrics::registry::Registry;
use dormouse_metrics::writer::{Clock, Writer};

#[derive(Clone, Copy)]
struct At(u64);

impl Clock for At {
    fn now_us(&self) -> u64 {
        self.0
    }
}

/// A request's whole counting, but for the clock.
#[inline(never)]
fn begin_and_end(writer: &Writer, counters: &Counters, now_us: u64) {
    let mut request = writer.begin(counters, At(now_us));
    request.answered(200);
}

fn main() {
    let registry = Registry::new(1);
    if let (Some(writer), Ok(counters)) = (registry.writer(0), registry.register("a/b")) {
        begin_and_end(black_box(&writer), black_box(&counters), black_box(7));
    }
}
