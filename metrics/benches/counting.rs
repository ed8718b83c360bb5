//! What counting costs, beside its targets and beside the usual ways, in one run of interleaved
//! rounds. Needs two cores, quiet ones: where the best of a figure meets its target and the median
//! does not, something else ran there.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    clippy::cast_possible_truncation,
    reason = "a bench reads clocks, starts threads and prints"
)]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Instant;

use dashmap::DashMap;
use dormouse_figures::{Figure, Goal, heading, row};
use dormouse_metrics::counters::Counters;
use dormouse_metrics::exposition::{Exporter, Format};
use dormouse_metrics::registry::Registry;
use dormouse_metrics::writer::{Clock, Writer};

/// Requests that are timed at once: half a millisecond, which is seldom interrupted.
const REQUESTS: u64 = 50_000;
/// Times that in a row, after one to warm up.
const SLICES: usize = 20;
const ROUNDS: usize = 15;
const FUNCTIONS: usize = 1_024;
const MANY: usize = 10_000;

/// The clock's own cost left out.
#[derive(Clone, Copy)]
struct Still;

impl Clock for Still {
    fn now_us(&self) -> u64 {
        black_box(1_000_000)
    }
}

/// The system's monotonic clock.
#[derive(Clone, Copy)]
struct System(Instant);

impl Clock for System {
    fn now_us(&self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }
}

/// Keeps the calling thread on one core, so that two of them never share one.
fn pin(core: usize) {
    let mut set = nix::sched::CpuSet::new();
    // On a machine with one core the figures for two threads mean nothing, and it shows.
    let pinned = set
        .set(core)
        .and_then(|()| nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set));
    if pinned.is_err() {
        println!("core {core} is not there");
    }
}

/// How long the calling thread ran so far, in nanoseconds, without what others took of its core.
fn own_time_ns() -> i64 {
    let time = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap();
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

/// Nanoseconds per request of the slower of `threads` pinned ones that run `work` at once, each on
/// what it prepared: a figure per slice.
fn slices<S>(
    threads: usize,
    prepare: impl Fn(usize) -> S + Sync,
    work: impl Fn(&S) + Sync,
) -> Vec<f64> {
    let barrier = Barrier::new(threads);
    let run = |thread| {
        pin(thread);
        let prepared = prepare(thread);
        work(&prepared);
        let slice = |_| {
            barrier.wait();
            let began_ns = own_time_ns();
            work(&prepared);
            own_time_ns() - began_ns
        };
        (0..SLICES).map(slice).collect::<Vec<i64>>()
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        let figures: Vec<_> = running.into_iter().map(|thread| thread.join().unwrap()).collect();
        let slowest = |slice: usize| figures.iter().map(|thread| thread[slice]).max().unwrap();
        (0..SLICES).map(|slice| slowest(slice) as f64 / REQUESTS as f64).collect()
    })
}

/// Functions, and the right of so many workers to count their requests.
struct Counted(Registry, Vec<Counters>);

impl Counted {
    fn new(workers: usize) -> Self {
        let registry = Registry::new(workers);
        let counters = (0..FUNCTIONS).map(|n| registry.register(&format!("a/{n}")).unwrap());
        let counters = counters.collect();
        Self(registry, counters)
    }

    fn requests(&self, writer: &Writer, clock: impl Clock + Copy) {
        for request in 0..REQUESTS {
            let counters = &self.1[(request % 64) as usize * 16];
            let mut request = writer.begin(counters, clock);
            request.answered(200);
        }
    }
}

/// As the activator does it.
fn ours(threads: usize, clock: impl Clock + Copy + Sync) -> Vec<f64> {
    let counted = Counted::new(threads);
    let prepare = |thread| counted.0.writer(thread).unwrap();
    slices(threads, prepare, |writer| counted.requests(writer, clock))
}

/// The same work with nothing shared between the threads: what two cores can do at best here, where
/// the host may have them share one.
fn ours_apart(threads: usize) -> Vec<f64> {
    let prepare = |_| {
        let counted = Counted::new(1);
        let writer = counted.0.writer(0).unwrap();
        (counted, writer)
    };
    slices(threads, prepare, |(counted, writer)| counted.requests(writer, Still))
}

/// One worker, while another thread reads all functions again and again.
fn ours_read_along() -> Vec<f64> {
    let counted = Counted::new(1);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            while !ended.load(Ordering::Relaxed) {
                black_box(counted.0.loads(0));
            }
        });
        let prepare = |_| counted.0.writer(0).unwrap();
        let figures = slices(1, prepare, |writer| counted.requests(writer, Still));
        ended.store(true, Ordering::Relaxed);
        figures
    })
}

/// A mutex per function, and the clock read inside it: the shape of Knative's request statistics.
fn mutexes(threads: usize) -> Vec<f64> {
    struct Stats {
        concurrency: u64,
        area_ns: u64,
        last: Instant,
        requests: u64,
    }
    let start = Instant::now();
    let fresh = || Stats { concurrency: 0, area_ns: 0, last: start, requests: 0 };
    let functions: Vec<Mutex<Stats>> = (0..FUNCTIONS).map(|_| Mutex::new(fresh())).collect();
    let change = |function: &Mutex<Stats>, begins: bool| {
        let mut stats = function.lock().unwrap();
        let now = Instant::now();
        let passed = now.duration_since(stats.last).as_nanos() as u64;
        stats.area_ns += stats.concurrency * passed;
        stats.last = now;
        stats.concurrency = stats.concurrency.wrapping_add(if begins { 1 } else { u64::MAX });
        stats.requests += u64::from(begins);
    };
    let requests = |_: &()| {
        for request in 0..REQUESTS {
            let function = &functions[(request % 64) as usize * 16];
            change(function, true);
            change(function, false);
        }
    };
    slices(threads, |_| (), requests)
}

/// Atomics in a concurrent map, looked up by name at both ends; no clock.
fn atomics_in_a_map(threads: usize) -> Vec<f64> {
    let map: DashMap<String, [AtomicU64; 3]> = DashMap::new();
    let names: Vec<String> = (0..FUNCTIONS).map(|n| format!("a/{n}")).collect();
    for name in &names {
        map.insert(name.clone(), Default::default());
    }
    let requests = |_: &()| {
        for request in 0..REQUESTS {
            let name = &names[(request % 64) as usize * 16];
            if let Some(words) = map.get(name) {
                words[0].fetch_add(1, Ordering::Relaxed);
                words[1].fetch_sub(1_000_000, Ordering::Relaxed);
            }
            if let Some(words) = map.get(name) {
                words[2].fetch_add(1, Ordering::Relaxed);
                words[1].fetch_add(1_000_000, Ordering::Relaxed);
            }
        }
    };
    slices(threads, |_| (), requests)
}

/// Several works, their rounds interleaved.
fn interleaved<const N: usize>(works: [&dyn Fn() -> Vec<f64>; N]) -> [Figure; N] {
    let mut figures: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (figures, work) in figures.iter_mut().zip(works) {
            figures.extend(work());
        }
    }
    figures.map(Figure::of)
}

/// How much more two threads get done than one.
fn speed_up(one: Figure, two: Figure) -> Figure {
    one.over(two).times(2.0)
}

fn requests() {
    let system = System(Instant::now());
    let clock_alone = || {
        let twice = |_: &()| {
            for _ in 0..REQUESTS {
                black_box((system.now_us(), system.now_us()));
            }
        };
        slices(1, |_| (), twice)
    };
    let [still, with_clock, clock, two, apart, two_apart, read, mutex, mutex_two, map, map_two] =
        interleaved([
            &|| ours(1, Still),
            &|| ours(1, system),
            &clock_alone,
            &|| ours(2, Still),
            &|| ours_apart(1),
            &|| ours_apart(2),
            &ours_read_along,
            &|| mutexes(1),
            &|| mutexes(2),
            &|| atomics_in_a_map(1),
            &|| atomics_in_a_map(2),
        ]);
    let scaling = speed_up(still, two);
    let ceiling = speed_up(apart, two_apart);
    row("begin + end, without the clock", still, "ns", Goal::BestAtMost(12.0));
    row("begin + end, with the clock", with_clock, "ns", Goal::None);
    row("the clock alone, read twice", clock, "ns", Goal::None);
    row("two pinned threads, work of one", scaling, "×", Goal::AtLeast(1.8));
    row("  the same with nothing shared: this machine's most", ceiling, "×", Goal::None);
    row("  ours of that", scaling.over(ceiling), "×", Goal::None);
    let slower = read.over(still);
    row("slower while 1 024 slots are read flat out", slower, "×", Goal::AtMost(8.0));
    row("a mutex and the clock per function, one thread", mutex, "ns", Goal::None);
    row("  two threads", mutex_two, "ns", Goal::None);
    row("  dearer than ours with the clock, one thread", mutex.over(with_clock), "×", Goal::None);
    row("atomics in a concurrent map, one thread", map, "ns", Goal::None);
    row("  two threads", map_two, "ns", Goal::None);
    row("  dearer than ours without the clock, one thread", map.over(still), "×", Goal::None);
}

fn milliseconds(work: impl Fn()) -> Vec<f64> {
    let began_ns = own_time_ns();
    work();
    vec![(own_time_ns() - began_ns) as f64 / 1e6]
}

fn readers() {
    let workers = 16;
    let registry = Arc::new(Registry::new(workers));
    let counters: Vec<_> =
        (0..MANY).map(|n| registry.register(&format!("ns-{}/f-{n}", n % 100)).unwrap()).collect();
    for worker in 0..workers {
        let writer = registry.writer(worker).unwrap();
        for counters in &counters {
            let mut request = writer.begin(counters, Still);
            request.answered(if worker == 0 { 404 } else { 200 });
            drop(request);
        }
        // Plain functions: some ten series each.
        writer.give_up_idle(u64::MAX);
    }
    let exporter = Mutex::new(Exporter::new(Arc::clone(&registry)));
    let bytes = AtomicU64::new(0);
    let [merge, expose] = interleaved([
        &|| {
            milliseconds(|| {
                black_box(registry.loads(2_000_000));
            })
        },
        &|| {
            milliseconds(|| {
                let text = exporter.lock().unwrap().expose(Format::Prometheus, 2_000_000);
                bytes.store(text.len() as u64, Ordering::Relaxed);
            })
        },
    ]);
    row("merge of 10 000 functions on 16 workers", merge, "ms", Goal::BestAtMost(1.0));
    let expose_most = Goal::AtMost(100.0);
    row("exposition of 10 000 functions on 16 workers", expose, "ms", expose_most);
    let series = exporter.lock().unwrap().expose(Format::Prometheus, 2_000_000);
    let series = series.lines().filter(|line| !line.starts_with('#')).count();
    let megabytes = bytes.load(Ordering::Relaxed) as f64 / 1e6;
    let each = series as f64 / MANY as f64;
    println!("\n{each:.0} series of each function, {megabytes:.1} MB in all");
}

fn main() {
    heading("counting");
    requests();
    readers();
}
