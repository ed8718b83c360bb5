//! Draws inputs for a while: seeds, damaged, and bytes out of nothing. proptest draws and shrinks,
//! so that this needs neither instrumentation nor another compiler. A target runs on a thread of
//! its own; who watches it sees an input that does not end.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// How long each target runs in the usual suite.
pub(crate) const SECONDS: u64 = 10;

/// Says how long instead, in seconds.
const SECONDS_VARIABLE: &str = "DORMOUSE_FUZZ_SECONDS";

/// Has only the batch of that number drawn: to see a crash again.
const BATCH_VARIABLE: &str = "DORMOUSE_FUZZ_BATCH";

/// Says with which batch to begin instead of one drawn anew: what proptest itself goes by.
const SEED_VARIABLE: &str = "PROPTEST_RNG_SEED";

/// How long an input may take: ten thousand times what any takes, so that a machine that is busy
/// with other things is not mistaken for a hang.
const INPUT_MAX: Duration = Duration::from_secs(60);

/// How often the watcher looks, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Inputs of a batch: few enough to find the end of the time, many enough that drawing is the work.
const CASES: u32 = 64;

/// Most changes to one seed: more of them leave nothing that a reader takes.
const CHANGES_MAX: usize = 12;

/// What every grammar here has, and what is at the end of every range.
const TOKENS: [&str; 32] = [
    "",
    "0",
    "-1",
    "1",
    "0.5",
    "1e308",
    "-0.0",
    "1e999",
    "NaN",
    "inf",
    "2147483648",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e-7",
    "null",
    "true",
    "[]",
    "{}",
    "\"",
    "\\u0000",
    "\n",
    ",",
    ":",
    "/",
    "1h",
    "6s",
    "9223372036s",
    "\u{0}",
];

/// One way of damaging an input.
#[derive(Clone, Debug)]
enum Change {
    /// One byte becomes another.
    Set(Index, u8),
    /// Bytes are put in.
    Insert(Index, Vec<u8>),
    /// A token is put in.
    Token(Index, Index),
    /// A number, wherever it stands, becomes a token.
    Number(Index, Index),
    /// A part is left out.
    Remove(Index, usize),
    /// A part is there twice.
    Repeat(Index, usize),
    /// What follows is that of another seed.
    Splice(Index, Index, Index),
}

/// How one target runs.
#[derive(Clone, Copy, Debug)]
struct Plan {
    target: &'static str,
    batches: Batches,
    input_max: Duration,
}

/// Which batches of inputs are drawn after the seeds.
#[derive(Clone, Copy, Debug)]
enum Batches {
    /// From that number on, until so much time has passed.
    From(u64, Duration),
    /// The one of that number.
    Only(u64),
}

/// The input that is being tried.
#[derive(Debug)]
struct Trial {
    input: Input,
    /// Its batch; none for a seed.
    batch: Option<u64>,
    since: Instant,
}

/// Runs one target. `tokens` are words that it knows besides those that everybody does.
#[track_caller]
pub(crate) fn fuzz(
    target: &'static str,
    tokens: &[&'static str],
    run: impl Fn(&[u8]) + Send + 'static,
) {
    let variable = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seconds = variable(SECONDS_VARIABLE).unwrap_or(SECONDS);
    let first = || variable(SEED_VARIABLE).unwrap_or_else(|| RandomState::new().hash_one(target));
    let batches = match variable(BATCH_VARIABLE) {
        Some(batch) => Batches::Only(batch),
        None => Batches::From(first(), Duration::from_secs(seconds)),
    };
    Plan { target, batches, input_max: INPUT_MAX }.watched(tokens, run);
}

impl Plan {
    /// Runs it on a thread of its own, and panics with what is to be known if that does or hangs. A
    /// thread that hangs ends with the process.
    #[track_caller]
    fn watched(self, tokens: &[&'static str], run: impl Fn(&[u8]) + Send + 'static) {
        let tokens: BTreeSet<&str> = TOKENS.iter().chain(tokens).copied().collect();
        let trial = Arc::new(Mutex::new(None));
        let (alive, ended) = channel::<Infallible>();
        let trying = Arc::clone(&trial);
        let running = std::thread::spawn(move || {
            let _alive = alive;
            self.run(
                &Vec::from_iter(tokens),
                &|batch, input| {
                    let input = Input(input.to_vec());
                    *lock(&trying) = Some(Trial { input, batch, since: Instant::now() });
                },
                &run,
            );
        });
        let interval = LOOK_INTERVAL.min(self.input_max);
        while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            if let Some(trial) = &*lock(&trial)
                && trial.since.elapsed() >= self.input_max
            {
                let Trial { input, batch, .. } = trial;
                let again = batch.map_or_else(String::new, |batch| self.again(batch));
                panic!(
                    "{}: no end after {:?}\ninput: {input:?}{again}",
                    self.target, self.input_max
                );
            }
        }
        if let Err(panic) = running.join() {
            resume_unwind(panic);
        }
    }

    /// Tries the seeds, then batch after batch; says each input to `trying` before.
    fn run(self, tokens: &[&str], trying: &impl Fn(Option<u64>, &[u8]), run: &impl Fn(&[u8])) {
        let seeds = corpus(self.target);
        for seed in &seeds {
            trying(None, seed);
            run(seed);
        }
        let draw = |batch| {
            let outcome = draw(batch, &inputs(&seeds, tokens), |input| {
                trying(Some(batch), input);
                run(input);
            });
            if let Err(error) = outcome {
                panic!("{}: {error}{}", self.target, self.again(batch));
            }
        };
        match self.batches {
            Batches::Only(batch) => draw(batch),
            Batches::From(first, time) => {
                let until = Instant::now() + time;
                let batches = (0..).map(|number| first.wrapping_add(number));
                batches.take_while(|_| Instant::now() < until).for_each(draw);
            }
        }
    }

    /// How a batch is seen again.
    fn again(self, batch: u64) -> String {
        format!(
            "\nto see it again: {BATCH_VARIABLE}={batch} cargo test -p dormouse-tests --test fuzz \
             {}",
            self.target
        )
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Whole at any time: it is set at once.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One batch of inputs, the same for the same number.
fn draw(
    batch: u64,
    inputs: &impl Strategy<Value = Input>,
    run: impl Fn(&[u8]),
) -> Result<(), String> {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&batch.to_le_bytes());
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let outcome = TestRunner::new_with_rng(config, rng).run(inputs, |input| {
        run(&input.0);
        Ok(())
    });
    outcome.map_err(|error| error.to_string())
}

/// Bytes that a message shows as text where they are.
#[derive(Clone)]
struct Input(Vec<u8>);

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

fn inputs(seeds: &[Vec<u8>], tokens: &[&str]) -> impl Strategy<Value = Input> {
    let index = any::<Index>;
    let change = prop_oneof![
        1 => (index(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => (index(), vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => (index(), index()).prop_map(|(at, token)| Change::Token(at, token)),
        4 => (index(), index()).prop_map(|(at, token)| Change::Number(at, token)),
        1 => (index(), 1_usize..64).prop_map(|(at, length)| Change::Remove(at, length)),
        1 => (index(), 1_usize..64).prop_map(|(at, length)| Change::Repeat(at, length)),
        1 => (index(), index(), index()).prop_map(|(at, seed, to)| Change::Splice(at, seed, to)),
    ];
    let (seeds, tokens): (Vec<Vec<u8>>, Vec<String>) =
        (seeds.to_vec(), tokens.iter().map(|&token| token.to_owned()).collect());
    let damaged = (index(), vec(change, 1..CHANGES_MAX)).prop_map(move |(seed, changes)| {
        let mut bytes = seed.get(&seeds).clone();
        for change in changes {
            apply(&mut bytes, change, &seeds, &tokens);
        }
        Input(bytes)
    });
    prop_oneof![1 => vec(any::<u8>(), 0..64).prop_map(Input), 15 => damaged]
}

fn apply(bytes: &mut Vec<u8>, change: Change, seeds: &[Vec<u8>], tokens: &[String]) {
    let end = bytes.len();
    // One past the end is a place to put something, too.
    let place = |at: Index| at.index(end + 1);
    let part = |at: Index, length: usize| place(at)..(place(at) + length).min(end);
    match change {
        Change::Set(at, byte) => {
            let at = place(at);
            bytes.splice(at..(at + 1).min(end), [byte]);
        }
        Change::Insert(at, new) => drop(bytes.splice(place(at)..place(at), new)),
        Change::Token(at, token) => {
            bytes.splice(place(at)..place(at), token.get(tokens).bytes());
        }
        Change::Number(at, token) => {
            let is_number = |byte: &u8| byte.is_ascii_digit() || b"-.".contains(byte);
            let from = (place(at)..end).find(|&at| is_number(&bytes[at])).unwrap_or(end);
            let to = (from..end).find(|&at| !is_number(&bytes[at])).unwrap_or(end);
            bytes.splice(from..to, token.get(tokens).bytes());
        }
        Change::Remove(at, length) => drop(bytes.drain(part(at, length))),
        Change::Repeat(at, length) => {
            let copy = bytes[part(at, length)].to_vec();
            bytes.splice(place(at)..place(at), copy);
        }
        Change::Splice(at, seed, from) => {
            let other = seed.get(seeds);
            bytes.truncate(place(at));
            bytes.extend_from_slice(&other[from.index(other.len() + 1)..]);
        }
    }
}

/// The files of a target's folder, by name.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let files = folder.read_dir().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no seed", folder.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc::Receiver;

    use super::*;

    /// What a run of the target `engine` panics with.
    fn panic(plan: Plan, run: impl Fn(&[u8]) + Send + 'static) -> String {
        let panic = catch_unwind(AssertUnwindSafe(|| plan.watched(&[], run))).unwrap_err();
        *panic.downcast::<String>().unwrap()
    }

    fn plan(input_max: Duration) -> Plan {
        Plan { target: "engine", batches: Batches::Only(7), input_max }
    }

    fn is_seed(input: &[u8]) -> bool {
        corpus("engine").iter().any(|seed| seed == input)
    }

    /// Hangs at what `at` picks until the other end is dropped.
    fn hang(until: Receiver<Infallible>, at: fn(&[u8]) -> bool) -> impl Fn(&[u8]) + Send {
        let until = Mutex::new(until);
        move |input| {
            if at(input) {
                lock(&until).recv().unwrap_err();
            }
        }
    }

    #[test]
    fn an_input_without_end_is_cut_and_told() {
        for (at, told) in [
            (is_seed as fn(&[u8]) -> bool, "input: b\"key: 1\\n\""),
            (|input| !is_seed(input), "DORMOUSE_FUZZ_BATCH=7 "),
        ] {
            let (release, until) = channel();
            let message = panic(plan(Duration::from_millis(500)), hang(until, at));
            drop(release);
            assert!(message.contains("no end after 500ms") && message.contains(told), "{message}");
        }
    }

    #[test]
    fn an_input_that_crashes_is_made_small_and_seen_again_by_its_batch() {
        let crash = |input: &[u8]| assert!(is_seed(input) || input.len() < 3, "crash");
        let message = panic(plan(INPUT_MAX), crash);
        assert!(message.contains("crash") && message.contains("DORMOUSE_FUZZ_BATCH=7 "));
        assert_eq!(panic(plan(INPUT_MAX), crash), message);
    }

    #[test]
    fn what_ends_is_not_cut_and_every_seed_is_tried() {
        let tried = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&tried);
        plan(INPUT_MAX).watched(&[], move |input| lock(&seen).push(input.to_vec()));
        let tried = lock(&tried);
        assert!(tried.starts_with(&corpus("engine")));
        assert_eq!(tried.len(), corpus("engine").len() + CASES as usize);
    }
}
