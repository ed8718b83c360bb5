//! Draws inputs for a while: seeds, damaged, and bytes out of nothing. proptest draws and shrinks,
//! so that this needs neither instrumentation nor another compiler.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
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

/// Runs one target. `tokens` are words that it knows besides those that everybody does.
#[track_caller]
pub(crate) fn fuzz(target: &str, tokens: &[&str], run: impl Fn(&[u8])) {
    let seeds = corpus(target);
    let tokens: Vec<&str> =
        TOKENS.iter().chain(tokens).copied().collect::<BTreeSet<_>>().into_iter().collect();
    for seed in &seeds {
        run(seed);
    }
    let variable = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(batch) = variable(BATCH_VARIABLE) {
        return draw(target, batch, &seeds, &tokens, &run);
    }
    let until = Instant::now() + Duration::from_secs(variable(SECONDS_VARIABLE).unwrap_or(SECONDS));
    let first = RandomState::new().hash_one(target);
    for batch in (0..).map(|number| first.wrapping_add(number)) {
        if Instant::now() >= until {
            return;
        }
        draw(target, batch, &seeds, &tokens, &run);
    }
}

/// One batch of inputs, the same for the same number.
#[track_caller]
fn draw(target: &str, batch: u64, seeds: &[Vec<u8>], tokens: &[&str], run: &impl Fn(&[u8])) {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&batch.to_le_bytes());
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let outcome = TestRunner::new_with_rng(config, rng).run(&inputs(seeds, tokens), |input| {
        run(&input.0);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!(
            "{target}: {error}\nto see it again: {BATCH_VARIABLE}={batch} cargo test -p \
             dormouse-tests --test fuzz {target}"
        );
    }
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
