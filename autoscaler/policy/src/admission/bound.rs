//! Bounds on what is held, shared by every machine that draws on them, and the rule that keeps one
//! function from taking all of what is common.
//!
//! The rule: an eighth of the common bound is reserved, in equal shares for the functions of the
//! table. A function that holds no more than its share may take any free place; one that holds more
//! leaves the other functions' shares alone. So, with N functions and a limit of L,
//!
//! ```text
//! share    = max(1, L ÷ 8 ÷ N)
//! reserved = min(⌈L ÷ 8⌉, share · (N − 1))
//! ```
//!
//! and each function can hold its share at any time, whatever the others do; where L ÷ 8 < N, as
//! many functions at once as there are reserved places can hold one each. Proof: once more than
//! L − reserved places are taken, a place goes only to a function that then holds at most its
//! share. What is held by functions that got none since is at most L − reserved, what is held by
//! those that did at most a share each; the function in question holds less than its share; so the
//! sum is below L. Worked: L = 10 000, N = 11: share 113, reserved 1 130; ten greedy functions hold
//! 8 870 at most, then the eleventh still has its 113. With N = 1 nothing is reserved.
//!
//! The proof counts what functions hold; `taken` of the common bound never exceeds that sum, as a
//! place is taken from the function's bound first and given back there last.

use std::sync::atomic::{AtomicU64, Ordering};

/// One in so many of the common places is reserved: enough to wake every other function, and too
/// little to miss.
const RESERVED_ONE_IN: u64 = 8;

/// A quantity of held requests, in both measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub requests: u64,
    /// The memory they keep, in bytes.
    pub bytes: u64,
}

/// What a bound counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Held requests.
    Requests,
    /// Bytes kept by held requests.
    Bytes,
}

/// Whom a bound holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One function.
    Function,
    /// All functions together.
    All,
}

/// The bound that an arrival met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// Whose it is.
    pub scope: Scope,
    /// What it counts.
    pub measure: Measure,
}

/// The bound on one function's held requests.
#[derive(Debug)]
pub struct Bound {
    requests: Gauge,
    bytes: Gauge,
}

/// The bound on the held requests of all functions together.
#[derive(Debug)]
pub struct CommonBound {
    bound: Bound,
    /// Functions there are. Written when the table changes, read by every worker. Relaxed: the
    /// number alone is shared.
    functions: AtomicU64,
}

impl Bound {
    /// A bound of `limit`.
    #[must_use]
    pub fn new(limit: Amount) -> Self {
        Self { requests: Gauge::new(limit.requests), bytes: Gauge::new(limit.bytes) }
    }

    /// Changes the limit. Requests already held keep their places.
    pub fn set_limit(&self, limit: Amount) {
        self.requests.limit.store(limit.requests, Ordering::Relaxed);
        self.bytes.limit.store(limit.bytes, Ordering::Relaxed);
    }

    /// What is taken now. A caller that gave a slot back before sees every request that was held
    /// before it looked for a slot in vain ([`super::Slots`]).
    #[must_use]
    pub fn taken(&self) -> Amount {
        Amount {
            requests: self.requests.taken.load(Ordering::SeqCst),
            bytes: self.bytes.taken.load(Ordering::SeqCst),
        }
    }

    /// Takes a place of `bytes` here and in `common`, or says which bound is in the way.
    pub(super) fn try_take(&self, common: &CommonBound, bytes: u64) -> Result<(), Full> {
        let full = |scope| move |measure| Full { scope, measure };
        let holds = self.try_take_but(bytes, Amount::default()).map_err(full(Scope::Function))?;
        let kept = common.kept_from(holds);
        common.bound.try_take_but(bytes, kept).map_err(|measure| {
            self.leave(bytes);
            full(Scope::All)(measure)
        })?;
        Ok(())
    }

    /// For a request that was accepted before: it is never shed for want of a place.
    pub(super) fn take(&self, common: &CommonBound, bytes: u64) {
        for bound in [self, &common.bound] {
            bound.requests.take(1);
            bound.bytes.take(bytes);
        }
    }

    /// Gives a place of `bytes` back, here last.
    pub(super) fn give_back(&self, common: &CommonBound, bytes: u64) {
        common.bound.leave(bytes);
        self.leave(bytes);
    }

    /// Takes a place unless less than `kept` would be left free; returns what is taken then.
    fn try_take_but(&self, bytes: u64, kept: Amount) -> Result<Amount, Measure> {
        let requests = self.requests.try_take(1, kept.requests).ok_or(Measure::Requests)?;
        let Some(bytes) = self.bytes.try_take(bytes, kept.bytes) else {
            self.requests.give_back(1);
            return Err(Measure::Bytes);
        };
        Ok(Amount { requests, bytes })
    }

    fn leave(&self, bytes: u64) {
        self.requests.give_back(1);
        self.bytes.give_back(bytes);
    }
}

impl CommonBound {
    /// A bound of `limit` over all functions, of which there are none yet.
    #[must_use]
    pub fn new(limit: Amount) -> Self {
        Self { bound: Bound::new(limit), functions: AtomicU64::new(0) }
    }

    /// Says among how many functions the reserved part is shared.
    pub fn set_functions(&self, functions: u64) {
        self.functions.store(functions, Ordering::Relaxed);
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self) -> Amount {
        Amount {
            requests: self.bound.requests.limit.load(Ordering::Relaxed),
            bytes: self.bound.bytes.limit.load(Ordering::Relaxed),
        }
    }

    /// What is taken now.
    #[must_use]
    pub fn taken(&self) -> Amount {
        self.bound.taken()
    }

    /// What each function can hold at any time, whatever the others do.
    #[must_use]
    pub fn share(&self) -> Amount {
        let functions = self.functions.load(Ordering::Relaxed).max(1);
        let share = |limit: u64| (limit / RESERVED_ONE_IN / functions).max(1);
        let limit = self.limit();
        Amount { requests: share(limit.requests), bytes: share(limit.bytes) }
    }

    /// What a function must leave free that holds so much, the place it asks for included.
    fn kept_from(&self, holds: Amount) -> Amount {
        let others = self.functions.load(Ordering::Relaxed).saturating_sub(1);
        let kept = |holds: u64, share: u64, limit: u64| match holds <= share {
            true => 0,
            false => share.saturating_mul(others).min(limit.div_ceil(RESERVED_ONE_IN)),
        };
        let (share, limit) = (self.share(), self.limit());
        Amount {
            requests: kept(holds.requests, share.requests, limit.requests),
            bytes: kept(holds.bytes, share.bytes, limit.bytes),
        }
    }
}

#[derive(Debug)]
struct Gauge {
    /// Written and read by every worker. Sequentially consistent for the sake of [`Bound::taken`]
    /// alone; no other memory is published with it.
    taken: AtomicU64,
    /// Written when the table changes, read by every worker. Relaxed: the number alone is shared.
    limit: AtomicU64,
}

impl Gauge {
    fn new(limit: u64) -> Self {
        Self { taken: AtomicU64::new(0), limit: AtomicU64::new(limit) }
    }

    /// Takes `amount` unless less than `kept` would be left free; returns what is taken then.
    fn try_take(&self, amount: u64, kept: u64) -> Option<u64> {
        let limit = self.limit.load(Ordering::Relaxed).saturating_sub(kept);
        let within = |taken: u64| taken.checked_add(amount).filter(|after| *after <= limit);
        let before = self.taken.try_update(Ordering::SeqCst, Ordering::SeqCst, within).ok()?;
        Some(before + amount)
    }

    fn take(&self, amount: u64) {
        self.taken.fetch_add(amount, Ordering::SeqCst);
    }

    fn give_back(&self, amount: u64) {
        let before = self.taken.fetch_sub(amount, Ordering::SeqCst);
        assert!(before >= amount, "what is given back was taken before");
    }
}
