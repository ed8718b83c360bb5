//! One pass of decisions over ten thousand functions that all have load, what each costs in memory,
//! and one step of learning when to sleep.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "a bench reads the clock"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_figures::{Figure, Goal, heading, row};
use dormouse_policy::decision::{Missing, Observation, Scaler, Why};
use dormouse_policy::idle::{Gaps, Plan};
use dormouse_policy::readings::{Counters, Meter, Reporters};
use dormouse_policy::settings::Scaling;

mod allocated {
    #![allow(unsafe_code, reason = "the trait of an allocator is unsafe to implement")]

    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Bytes allocated and not freed; relaxed, because the bench has one thread.
    static LIVE: AtomicUsize = AtomicUsize::new(0);

    /// The system's allocator, which counts.
    struct Counting;

    #[global_allocator]
    static COUNTING: Counting = Counting;

    // SAFETY: every call is the system allocator's own; counting beside it touches no memory of
    // the caller's.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            LIVE.fetch_add(layout.size(), Ordering::Relaxed);
            // SAFETY: the caller keeps to the trait's contract.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
            LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
            // SAFETY: as above.
            unsafe { System.dealloc(at, layout) }
        }
    }

    pub(super) fn live() -> usize {
        LIVE.load(Ordering::Relaxed)
    }
}

const FUNCTIONS: u32 = 10_000;
const ACTIVATORS: [&str; 2] = ["a", "b"];
const SECOND_US: u64 = 1_000_000;
const PASSES: usize = 15;
const TRANSITIONS: u32 = 10_000;

struct Function {
    meter: Meter,
    scaler: Scaler,
}

struct World {
    now_us: u64,
    reporters: Reporters,
    functions: Vec<Function>,
}

impl World {
    fn new(scaling: &Arc<Scaling>) -> Self {
        let function = |_| Function {
            meter: Meter::new(0),
            scaler: Scaler::new(Arc::clone(scaling), Missing::Unknown, 2, 2, 0),
        };
        let functions = (0..FUNCTIONS).map(function).collect();
        Self { now_us: 0, reporters: Reporters::new(), functions }
    }

    /// One second passes: every activator reports every function.
    fn second(&mut self) {
        self.now_us += SECOND_US;
        for name in ACTIVATORS {
            // Reports are not on the second.
            let at_us = self.now_us + 300_000;
            let span = self.reporters.report(name, 1, at_us, at_us).expect("newer than the last");
            for function in &mut self.functions {
                let second = self.now_us / SECOND_US;
                let counters = Counters {
                    area_us: self.now_us * (40 + second % 7),
                    started: second * 90,
                    in_flight: 45,
                    held: 0,
                    refused: 0,
                };
                function.meter.read(span, counters);
            }
        }
        self.reporters.advance(self.now_us + 300_000);
    }

    /// A decision on every function.
    fn pass(&mut self) -> Duration {
        let before = Instant::now();
        for Function { meter, scaler } in &mut self.functions {
            let load = scaler.settle(meter, &self.reporters);
            let observation = Observation::new(self.now_us + 400_000, Why::Tick, 2, 2, load);
            black_box(scaler.decide(&observation));
        }
        before.elapsed()
    }
}

fn main() {
    let scaling = Arc::new(Scaling::default());
    let before = allocated::live();
    let mut world = World::new(&scaling);
    for _ in 0..40 {
        world.second();
        world.second();
        world.pass();
    }
    let bytes = (allocated::live() - before) as f64 / f64::from(FUNCTIONS);
    let passes = (0..PASSES).map(|_| {
        world.second();
        world.second();
        world.pass().as_secs_f64() * 1e3
    });
    heading("deciding");
    let passes = Figure::of(passes.collect());
    row("one decision on each of 10 000 functions", passes, "ms", Goal::AtMost(10.0));
    row("memory of a function", Figure::of(vec![bytes]), "B", Goal::AtMost(2_048.0));
    let transitions = Figure::of((0..PASSES).map(|_| idle_transition_us()).collect());
    row("when to sleep, thought over anew", transitions, "µs", Goal::AtMost(50.0));
}

/// A gap is learnt and the plan for the next one made and looked at, in microseconds, on average.
fn idle_transition_us() -> f64 {
    let mut gaps = Gaps::default();
    let before = Instant::now();
    for number in 0..TRANSITIONS {
        gaps.record(u64::from(number % 977) * SECOND_US);
        let plan = Plan::new(black_box(&gaps), 300.0, 2 * SECOND_US);
        black_box(plan.look(0, u64::from(number % 600) * SECOND_US, number % 2));
    }
    before.elapsed().as_secs_f64() * 1e6 / f64::from(TRANSITIONS)
}
