//! Every count against an oracle that keeps every event.

#![allow(clippy::unwrap_used, reason = "every line of this program is a test")]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use dormouse_metrics::counters::Counters;
use dormouse_metrics::counts::{CodeClass, Reading, Refusal, UpstreamError, WakePhase};
use dormouse_metrics::histogram::Distribution;
use dormouse_metrics::registry::Registry;
use dormouse_metrics::times::Timed;
use dormouse_metrics::writer::{Clock, Held, InFlight, OpenStream, Writer};
use proptest::prelude::*;
use proptest::sample::Index;

/// A clock the test moves.
#[derive(Clone, Default)]
struct TestClock(Rc<Cell<u64>>);

impl Clock for TestClock {
    fn now_us(&self) -> u64 {
        self.0.get()
    }
}

#[test]
fn one_request_from_1_s_to_4_s_read_at_2_s_and_6_s() {
    let registry = Registry::new(1);
    let writer = registry.writer(0).unwrap();
    let counters = registry.register("default/hello").unwrap();
    let clock = TestClock::default();
    clock.0.set(1_000_000);
    let request = writer.begin(&counters, clock.clone());
    assert_eq!(counters.read(2_000_000).unwrap().area_us, 1_000_000);
    clock.0.set(4_000_000);
    drop(request);
    let reading = counters.read(6_000_000).unwrap();
    assert_eq!((reading.area_us, reading.in_flight, reading.started), (3_000_000, 0, 1));
}

#[test]
fn a_guard_gives_back_what_it_took() {
    let registry = Registry::new(1);
    let writer = registry.writer(0).unwrap();
    let counters = registry.register("default/hello").unwrap();
    let mut request = writer.begin(&counters, TestClock::default());
    let held = request.hold();
    let stream = request.open_stream();
    let reading = counters.read(0).unwrap();
    assert_eq!((reading.in_flight, reading.held, reading.open_streams), (1, 1, 1));
    drop((held, stream, request));
    let reading = counters.read(0).unwrap();
    assert_eq!((reading.in_flight, reading.held, reading.open_streams), (0, 0, 0));
    assert_eq!((reading.started, reading.held_total), (1, 1));
}

/// What a request has open besides itself.
struct Open {
    request: InFlight<TestClock>,
    held: Vec<Held<TestClock>>,
    stream: Option<OpenStream>,
    /// Its place in the oracle's list.
    number: usize,
    begun_us: u64,
    held_since_us: Vec<u64>,
    end: End,
}

#[derive(Clone, Copy)]
enum End {
    Abandoned,
    Answered(u16),
    Refused(Refusal, u16),
}

/// What can happen to one of the open requests, or to the function.
#[derive(Clone, Debug)]
enum Event {
    Begin,
    Hold,
    Release,
    Answer(u16),
    Refuse(Refusal, u16),
    UpstreamError(UpstreamError),
    Wake(WakePhase),
    Delivered,
    OpenStream,
    End,
}

fn one_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(all)
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Begin),
        2 => Just(Event::Hold),
        2 => Just(Event::Release),
        2 => (100u16..620).prop_map(Event::Answer),
        1 => (one_of(&Refusal::ALL), 400u16..600).prop_map(|(r, code)| Event::Refuse(r, code)),
        1 => one_of(&UpstreamError::ALL).prop_map(Event::UpstreamError),
        1 => one_of(&WakePhase::ALL).prop_map(Event::Wake),
        1 => Just(Event::Delivered),
        1 => Just(Event::OpenStream),
        4 => Just(Event::End),
    ]
}

/// How the clock moves before an event: on, not at all, an hour either way, anywhere.
fn moves() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0u64..1_000_000,
        2 => Just(0u64),
        1 => Just(3_600_000_000u64),
        1 => Just(3_600_000_000u64.wrapping_neg()),
        1 => any::<u64>(),
    ]
}

/// Keeps every event, and adds them up anew each time.
#[derive(Default)]
struct Oracle {
    /// Begin and, once it is over, end.
    requests: Vec<(u64, Option<u64>)>,
    abandoned: u64,
    refused: Vec<Refusal>,
    codes: Vec<u16>,
    wakes: Vec<WakePhase>,
    upstream_errors: Vec<UpstreamError>,
    held_us: Vec<u64>,
    response_us: Vec<u64>,
    held_total: u64,
}

fn tally<T: Copy + PartialEq, const N: usize>(all: [T; N], seen: &[T]) -> [u64; N] {
    all.map(|one| seen.iter().filter(|other| **other == one).count() as u64)
}

impl Oracle {
    fn reading(&self, now_us: u64, open: &[Open]) -> Reading {
        let overlap =
            |(begin, end): &(u64, Option<u64>)| end.unwrap_or(now_us).wrapping_sub(*begin);
        let classes: Vec<CodeClass> = self
            .codes
            .iter()
            .map(|code| match code {
                100..=199 => CodeClass::Informational,
                200..=299 => CodeClass::Success,
                300..=399 => CodeClass::Redirection,
                400..=499 => CodeClass::ClientError,
                _ => CodeClass::ServerError,
            })
            .collect();
        Reading {
            at_us: now_us,
            area_us: self.requests.iter().map(overlap).fold(0, u64::wrapping_add),
            started: self.requests.len() as u64,
            in_flight: open.len() as u64,
            held: open.iter().map(|open| open.held.len() as u64).sum(),
            held_total: self.held_total,
            open_streams: open.iter().filter(|open| open.stream.is_some()).count() as u64,
            abandoned: self.abandoned,
            refused: tally(Refusal::ALL, &self.refused),
            wakes: tally(WakePhase::ALL, &self.wakes),
            upstream_errors: tally(UpstreamError::ALL, &self.upstream_errors),
            responses: tally(CodeClass::ALL, &classes),
        }
    }
}

/// Every figure of a reading.
fn figures(reading: &Reading) -> Vec<u64> {
    let Reading { refused, wakes, upstream_errors, responses, .. } = reading;
    let Reading { at_us, area_us, started, in_flight, held, held_total, .. } = *reading;
    let single = [at_us, area_us, started, in_flight, held, held_total];
    let single = [&single[..], &[reading.open_streams, reading.abandoned]].concat();
    [&single[..], refused, wakes, upstream_errors, responses].concat()
}

struct World {
    writers: Vec<Writer>,
    counters: Counters,
    clock: TestClock,
    oracle: Oracle,
    open: Vec<Open>,
}

impl World {
    fn happen(&mut self, event: Event, which: Index, worker: usize) {
        let now_us = self.clock.now_us();
        match event {
            Event::Begin => {
                let request = self.writers[worker].begin(&self.counters, self.clock.clone());
                self.oracle.requests.push((now_us, None));
                self.open.push(Open {
                    request,
                    held: Vec::new(),
                    stream: None,
                    begun_us: now_us,
                    held_since_us: Vec::new(),
                    number: self.oracle.requests.len() - 1,
                    end: End::Abandoned,
                });
                return;
            }
            Event::Wake(phase) => {
                self.writers[worker].wake(&self.counters, phase);
                self.oracle.wakes.push(phase);
                return;
            }
            _ if self.open.is_empty() => return,
            _ => {}
        }
        let at = which.index(self.open.len());
        if matches!(event, Event::End) {
            let open = self.open.swap_remove(at);
            self.end(open);
            return;
        }
        let open = &mut self.open[at];
        match event {
            Event::Hold => {
                open.held.push(open.request.hold());
                open.held_since_us.push(now_us);
                self.oracle.held_total += 1;
            }
            Event::Release => {
                if let Some(held) = open.held.pop() {
                    drop(held);
                    let since_us = open.held_since_us.pop().unwrap();
                    self.oracle.held_us.push(now_us.saturating_sub(since_us));
                }
            }
            Event::Answer(code) if open.stream.is_none() => {
                open.request.answered(code);
                open.end = End::Answered(code);
            }
            Event::Refuse(refusal, code) if open.stream.is_none() => {
                open.request.refused(refusal, code);
                open.end = End::Refused(refusal, code);
            }
            Event::UpstreamError(error) => {
                open.request.upstream_error(error);
                self.oracle.upstream_errors.push(error);
            }
            Event::Delivered => {
                open.request.wake_delivered();
                self.oracle.wakes.push(WakePhase::Delivered);
            }
            Event::OpenStream if open.stream.is_none() => {
                open.stream = Some(open.request.open_stream());
            }
            _ => {}
        }
    }

    fn end(&mut self, open: Open) {
        let now_us = self.clock.now_us();
        self.oracle.requests[open.number].1 = Some(now_us);
        for since_us in &open.held_since_us {
            self.oracle.held_us.push(now_us.saturating_sub(*since_us));
        }
        match (&open.stream, open.end) {
            (Some(_), _) => self.oracle.codes.push(101),
            (None, End::Abandoned) => self.oracle.abandoned += 1,
            (None, End::Answered(code)) => {
                self.oracle.codes.push(code);
                self.oracle.response_us.push(now_us.saturating_sub(open.begun_us));
            }
            (None, End::Refused(refusal, code)) => {
                self.oracle.refused.push(refusal);
                self.oracle.codes.push(code);
            }
        }
        let Open { request, held, stream, .. } = open;
        drop((held, stream, request));
    }

    fn check_times(&self) -> Result<(), TestCaseError> {
        for (timed, all_us) in
            [(Timed::Held, &self.oracle.held_us), (Timed::Response, &self.oracle.response_us)]
        {
            let distribution = self.counters.times(timed);
            prop_assert_eq!(distribution.is_some(), !all_us.is_empty());
            let distribution = distribution.unwrap_or_default();
            prop_assert_eq!(distribution.count(), all_us.len() as u64);
            let sum = all_us.iter().fold(0u64, |sum, us| sum.wrapping_add(*us));
            prop_assert_eq!(distribution.sum_us(), sum);
        }
        Ok(())
    }
}

proptest! {
    /// Whatever happens on three workers, and whatever the clock does (it stands still, jumps an
    /// hour either way, wraps): every figure is the one that adding up all events gives, each
    /// difference of two readings is that of the oracle's, and what began is what was answered,
    /// left or is still in flight.
    #[test]
    fn every_count_is_the_sum_of_its_events(
        base_us in prop_oneof![Just(0u64), Just(u64::MAX - 5_000), any::<u64>()],
        steps in prop::collection::vec((moves(), events(), any::<Index>(), 0usize..3), 1..80),
    ) {
        let registry = Registry::new(3);
        let counters = registry.register("default/hello").unwrap();
        let clock = TestClock::default();
        clock.0.set(base_us);
        let writers = (0..3).map(|worker| registry.writer(worker).unwrap()).collect();
        let mut world =
            World { writers, counters, clock, oracle: Oracle::default(), open: Vec::new() };
        let mut last = Reading { at_us: base_us, ..Reading::default() };
        for (moves_us, event, which, worker) in steps {
            let now_us = world.clock.now_us().wrapping_add(moves_us);
            world.clock.0.set(now_us);
            world.happen(event, which, worker);
            let reading = world.counters.read(now_us).unwrap();
            let want = world.oracle.reading(now_us, &world.open);
            prop_assert_eq!(reading, want);
            let load = registry.loads(now_us).of(&world.counters).unwrap();
            let loaded = (load.area_us, load.started, load.in_flight);
            prop_assert_eq!(loaded, (want.area_us, want.started, want.in_flight));
            let differences = figures(&want).into_iter().zip(figures(&last));
            let growth: Vec<u64> = differences.map(|(new, old)| new.wrapping_sub(old)).collect();
            prop_assert_eq!(figures(&reading.since(&last)), growth);
            last = want;
        }
        world.check_times()?;
        while let Some(open) = world.open.pop() {
            world.end(open);
        }
        let reading = world.counters.read(world.clock.now_us()).unwrap();
        prop_assert_eq!(reading, world.oracle.reading(world.clock.now_us(), &[]));
        let answered: u64 = reading.responses.iter().sum();
        prop_assert_eq!(reading.started, answered + reading.abandoned);
        world.check_times()?;
    }
}

/// The flow and the tally of a cell lie apart; no reader sees one without the other.
#[test]
fn a_reader_beside_the_writer_sees_whole_requests() {
    let registry = Registry::new(1);
    let counters = registry.register("default/hello").unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let writer = registry.writer(0).unwrap();
            for _ in 0..20_000 {
                for code in [404, 200] {
                    writer.begin(&counters, TestClock::default()).answered(code);
                }
            }
            ended.store(true, Ordering::Release);
        });
        let mut last = 0;
        while !ended.load(Ordering::Acquire) {
            let Some(reading) = counters.read(0) else {
                continue;
            };
            let [_, successes, _, failures, _] = reading.responses;
            assert!(failures == successes || failures == successes + 1, "{reading:?}");
            assert_eq!(reading.started, failures + successes + reading.in_flight);
            assert!(reading.started >= last, "counts never fall");
            last = reading.started;
        }
    });
}

/// `Distribution` is a copy: what is merged into it changes nothing it was copied from.
#[test]
fn merging_copies_changes_no_original() {
    let registry = Registry::new(2);
    let counters = registry.register("default/hello").unwrap();
    for worker in 0..2 {
        let clock = TestClock::default();
        let writer = registry.writer(worker).unwrap();
        let mut request = writer.begin(&counters, clock.clone());
        clock.0.set(5_000);
        request.answered(200);
        drop(request);
    }
    let one = counters.times(Timed::Response).unwrap();
    let mut twice = Distribution::default();
    twice.merge(&one);
    twice.merge(&one);
    assert_eq!((one.count(), twice.count(), twice.sum_us()), (2, 4, 20_000));
    assert_eq!(counters.times(Timed::Response), Some(one));
}
