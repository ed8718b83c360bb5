//! What counting costs, beside its targets and beside the usual ways, in one run. Medians of
//! interleaved rounds; needs two quiet cores.

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
use dormouse_metrics::exposition::{Exporter, Format};
use dormouse_metrics::registry::Registry;
use dormouse_metrics::writer::Clock;

const REQUESTS: u64 = 400_000;
const ROUNDS: usize = 9;
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

/// Nanoseconds per request of each of `threads` pinned ones that run `work` at once.
fn per_request(threads: usize, work: impl Fn(usize) + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let slowest = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    pin(thread);
                    barrier.wait();
                    let began_ns = own_time_ns();
                    work(thread);
                    own_time_ns() - began_ns
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).max()
    });
    slowest.unwrap() as f64 / REQUESTS as f64
}

fn ours<C: Clock + Copy + Sync>(threads: usize, clock: C, reader: Option<&AtomicBool>) -> f64 {
    let registry = Registry::new(threads);
    let counters: Vec<_> =
        (0..FUNCTIONS).map(|n| registry.register(&format!("a/{n}")).unwrap()).collect();
    let work = |thread| {
        let writer = registry.writer(thread).unwrap();
        for request in 0..REQUESTS {
            let counters = &counters[(request % 64) as usize * 16];
            let mut request = writer.begin(counters, clock);
            request.answered(200);
        }
    };
    let Some(ended) = reader else {
        return per_request(threads, work);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            while !ended.load(Ordering::Relaxed) {
                black_box(registry.loads(0));
            }
        });
        let figure = per_request(threads, work);
        ended.store(true, Ordering::Relaxed);
        figure
    })
}

/// A mutex per function, and the clock read inside it: the shape of Knative's request statistics.
fn mutexes(threads: usize) -> f64 {
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
    per_request(threads, |_| {
        for request in 0..REQUESTS {
            let function = &functions[(request % 64) as usize * 16];
            change(function, true);
            change(function, false);
        }
    })
}

/// Atomics in a concurrent map, looked up by name at both ends; no clock.
fn atomics_in_a_map(threads: usize) -> f64 {
    let map: DashMap<String, [AtomicU64; 3]> = DashMap::new();
    let names: Vec<String> = (0..FUNCTIONS).map(|n| format!("a/{n}")).collect();
    for name in &names {
        map.insert(name.clone(), Default::default());
    }
    per_request(threads, |_| {
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
    })
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The medians of several works, their rounds interleaved.
fn interleaved<const N: usize>(works: [&dyn Fn() -> f64; N]) -> [f64; N] {
    let mut figures: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (figures, work) in figures.iter_mut().zip(works) {
            figures.push(work());
        }
    }
    figures.map(median)
}

fn line(what: &str, figure: f64, unit: &str, target: Option<(&str, f64)>) {
    let verdict = match target {
        None => String::new(),
        Some(("at most", most)) if figure <= most => format!("at most {most}: met"),
        Some(("at least", least)) if figure >= least => format!("at least {least}: met"),
        Some((rule, bound)) => format!("{rule} {bound}: MISSED"),
    };
    println!("{what:<58} {figure:>9.2} {unit:<4} {verdict}");
}

fn requests() {
    let system = System(Instant::now());
    let clock_alone = || {
        per_request(1, |_| {
            for _ in 0..REQUESTS {
                black_box((system.now_us(), system.now_us()));
            }
        })
    };
    let read_along = || ours(1, Still, Some(&AtomicBool::new(false)));
    let [still, with_clock, clock, two, read, mutex, mutex_two, map, map_two] = interleaved([
        &|| ours(1, Still, None),
        &|| ours(1, system, None),
        &clock_alone,
        &|| ours(2, Still, None),
        &read_along,
        &|| mutexes(1),
        &|| mutexes(2),
        &|| atomics_in_a_map(1),
        &|| atomics_in_a_map(2),
    ]);
    line("begin + end, without the clock", still, "ns", Some(("at most", 12.0)));
    line("begin + end, with the clock", with_clock, "ns", None);
    line("the clock alone, read twice", clock, "ns", None);
    line("two pinned threads, work of one", 2.0 * still / two, "x", Some(("at least", 1.8)));
    line("slower while 1 024 slots are read flat out", read / still, "x", Some(("at most", 8.0)));
    line("a mutex and the clock per function, one thread", mutex, "ns", None);
    line("  two threads", mutex_two, "ns", None);
    line("  dearer than ours with the clock, one thread", mutex / with_clock, "x", None);
    line("atomics in a concurrent map, one thread", map, "ns", None);
    line("  two threads", map_two, "ns", None);
    line("  dearer than ours without the clock, one thread", map / still, "x", None);
}

fn milliseconds(work: impl Fn()) -> f64 {
    let began_ns = own_time_ns();
    work();
    (own_time_ns() - began_ns) as f64 / 1e6
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
    line("merge of 10 000 functions on 16 workers", merge, "ms", Some(("at most", 1.0)));
    line("exposition of 10 000 functions on 16 workers", expose, "ms", Some(("at most", 100.0)));
    let series = exporter.lock().unwrap().expose(Format::Prometheus, 2_000_000);
    let series = series.lines().filter(|line| !line.starts_with('#')).count();
    line("  series each", series as f64 / MANY as f64, "", None);
    line("  megabytes", bytes.load(Ordering::Relaxed) as f64 / 1e6, "", None);
}

fn main() {
    requests();
    readers();
}
