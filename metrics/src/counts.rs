//! What is counted, and the arithmetic of counts: sums over workers, growth between two readings.

use crate::slab::{BALANCE, ENDED, FlowWords, STARTED};

/// Declares a closed set of causes, classes or phases, each with the label it is exposed under.
macro_rules! labelled {
    (
        $(#[$about:meta])* $set:ident {
            $($(#[$each:meta])* $name:ident = $label:literal,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $set {
            $($(#[$each])* $name,)+
        }

        impl $set {
            /// Every one, in the order of their counts.
            pub const ALL: [Self; [$(Self::$name),+].len()] = [$(Self::$name),+];

            /// How it is spelled as a label's value.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)+
                }
            }
        }
    };
}

labelled! {
    /// Why a request was answered without its function.
    Refusal {
        /// Its queue, or all of them together, was full.
        QueueFull = "queue-full",
        /// Its time in the queue ran out.
        QueueTimeout = "queue-timeout",
        /// The function cannot start.
        CannotStart = "cannot-start",
        /// Its whole time ran out.
        RequestTimeout = "request-timeout",
        /// It may have been delivered and got no answer.
        Ambiguous = "upstream-ambiguous",
        /// It broke off, or cannot be passed on.
        BadRequest = "bad-request",
    }
}

labelled! {
    /// How far the wake of a function came.
    WakePhase {
        /// Requests are held and no pod takes them: a pod was asked for.
        Asked = "asked",
        /// A pod takes requests.
        Usable = "usable",
        /// The first of the held requests was answered by a pod.
        Delivered = "delivered",
        /// Nothing was held any more before a pod took requests.
        GivenUp = "given-up",
    }
}

labelled! {
    /// What went wrong between the activator and a pod.
    UpstreamError {
        /// Nothing was delivered; the request went on to another pod, or back into the queue.
        NotDelivered = "not-delivered",
        /// The request may have been delivered, and no answer came.
        Ambiguous = "ambiguous",
        /// The answer began and broke off.
        BrokenOff = "broken-off",
    }
}

labelled! {
    /// The class of an answer's status code.
    CodeClass {
        /// 1xx: the connection became a tunnel.
        Informational = "1xx",
        /// 2xx.
        Success = "2xx",
        /// 3xx.
        Redirection = "3xx",
        /// 4xx.
        ClientError = "4xx",
        /// 5xx, and codes that are none.
        ServerError = "5xx",
    }
}

impl CodeClass {
    /// The class of a status code.
    #[must_use]
    pub fn of(code: u16) -> Self {
        match code {
            100..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

/// Positions in a tally.
pub(crate) const HELD_BEGUN: usize = 0;
pub(crate) const HELD_ENDED: usize = 1;
pub(crate) const STREAMS_BEGUN: usize = 2;
pub(crate) const STREAMS_ENDED: usize = 3;
pub(crate) const ABANDONED: usize = 4;
pub(crate) const REFUSED: usize = 5;
pub(crate) const WAKES: usize = REFUSED + Refusal::ALL.len();
pub(crate) const UPSTREAM_ERRORS: usize = WAKES + WakePhase::ALL.len();
pub(crate) const RESPONSES: usize = UPSTREAM_ERRORS + UpstreamError::ALL.len();
/// Successes are not among them: they are what ended in no other way, so that a request that went
/// well writes no tally.
pub(crate) const TALLY_WORDS: usize = RESPONSES + CodeClass::ALL.len() - 1;

/// The position of the answers of a class; none for successes.
#[inline]
pub(crate) fn answered(class: CodeClass) -> Option<usize> {
    match class {
        CodeClass::Success => None,
        CodeClass::Informational => Some(RESPONSES),
        CodeClass::Redirection => Some(RESPONSES + 1),
        CodeClass::ClientError => Some(RESPONSES + 2),
        CodeClass::ServerError => Some(RESPONSES + 3),
    }
}

/// The words of a tally.
pub(crate) type TallyWords = [u64; TALLY_WORDS];

/// A function's words, of one worker or summed over several. Sums wrap, word by word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) flow: FlowWords,
    pub(crate) tally: TallyWords,
}

impl Counts {
    /// Adds another worker's counts.
    #[inline]
    pub(crate) fn merge(&mut self, other: &Self) {
        merge(&mut self.flow, &other.flow);
        merge(&mut self.tally, &other.tally);
    }

    /// Whether everything that began has ended.
    pub(crate) fn at_rest(&self) -> bool {
        let ended = |begun: usize, ended: usize| self.tally[begun] == self.tally[ended];
        self.flow[STARTED] == self.flow[ENDED]
            && ended(HELD_BEGUN, HELD_ENDED)
            && ended(STREAMS_BEGUN, STREAMS_ENDED)
    }

    /// Requests that ended well: each that ended was answered or abandoned.
    #[inline]
    fn successes(&self) -> u64 {
        let otherwise = &self.tally[RESPONSES..];
        let otherwise = otherwise.iter().fold(self.tally[ABANDONED], |a, b| a.wrapping_add(*b));
        self.flow[ENDED].wrapping_sub(otherwise)
    }

    /// What they say at `now_us`.
    #[inline]
    pub(crate) fn at(&self, now_us: u64) -> Reading {
        let tally = &self.tally;
        let Load { area_us, started, in_flight } = load(&self.flow, now_us);
        Reading {
            at_us: now_us,
            area_us,
            started,
            in_flight,
            held: tally[HELD_BEGUN].wrapping_sub(tally[HELD_ENDED]),
            held_total: tally[HELD_BEGUN],
            open_streams: tally[STREAMS_BEGUN].wrapping_sub(tally[STREAMS_ENDED]),
            abandoned: tally[ABANDONED],
            refused: Refusal::ALL.map(|cause| tally[REFUSED + cause as usize]),
            wakes: WakePhase::ALL.map(|phase| tally[WAKES + phase as usize]),
            upstream_errors: UpstreamError::ALL.map(|e| tally[UPSTREAM_ERRORS + e as usize]),
            responses: CodeClass::ALL
                .map(|class| answered(class).map_or_else(|| self.successes(), |word| tally[word])),
        }
    }
}

/// Adds `other` to `sum`, word by word.
#[inline]
pub(crate) fn merge<const N: usize>(sum: &mut [u64; N], other: &[u64; N]) {
    for (sum, other) in sum.iter_mut().zip(other) {
        *sum = sum.wrapping_add(*other);
    }
}

/// What flows, summed over workers, say at `now_us`.
#[inline]
pub(crate) fn load(flow: &FlowWords, now_us: u64) -> Load {
    let in_flight = flow[STARTED].wrapping_sub(flow[ENDED]);
    let area_us = flow[BALANCE].wrapping_add(in_flight.wrapping_mul(now_us));
    Load { area_us, started: flow[STARTED], in_flight }
}

/// The load on one function, summed over all workers at one time: the part of a [`Reading`] that is
/// cheap for every function at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// The area under the concurrency curve, in request-microseconds, wrapping.
    pub area_us: u64,
    /// Requests started, wrapping.
    pub started: u64,
    /// Requests in flight, held ones included.
    pub in_flight: u64,
}

/// The counters of one function, summed over all workers at one time.
///
/// Counts only grow (wrapping); `in_flight`, `held` and `open_streams` are what is there now. Once
/// nothing is in flight, the started are the answered ([`Reading::responses`]) and the abandoned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The time, in microseconds.
    pub at_us: u64,
    /// The area under the concurrency curve, in request-microseconds, wrapping.
    pub area_us: u64,
    /// Requests started.
    pub started: u64,
    /// Requests in flight, held ones included.
    pub in_flight: u64,
    /// Of these, the held ones.
    pub held: u64,
    /// Times a request began to be held.
    pub held_total: u64,
    /// Connections that became tunnels and are open; each is a request in flight too.
    pub open_streams: u64,
    /// Requests whose client left before an answer began.
    pub abandoned: u64,
    /// Requests refused, by cause in the order of [`Refusal::ALL`].
    pub refused: [u64; Refusal::ALL.len()],
    /// Wakes, by phase in the order of [`WakePhase::ALL`].
    pub wakes: [u64; WakePhase::ALL.len()],
    /// Errors between the activator and pods, by kind in the order of [`UpstreamError::ALL`].
    pub upstream_errors: [u64; UpstreamError::ALL.len()],
    /// Requests answered, by whomever, by class in the order of [`CodeClass::ALL`]; counted when
    /// the answer ended.
    pub responses: [u64; CodeClass::ALL.len()],
}

impl Reading {
    /// What happened between an earlier reading of the same function and this one: every field the
    /// difference of the two, wrapping.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        fn each<const N: usize>(a: &[u64; N], b: &[u64; N]) -> [u64; N] {
            std::array::from_fn(|i| a[i].wrapping_sub(b[i]))
        }
        Self {
            at_us: self.at_us.wrapping_sub(earlier.at_us),
            area_us: self.area_us.wrapping_sub(earlier.area_us),
            started: self.started.wrapping_sub(earlier.started),
            in_flight: self.in_flight.wrapping_sub(earlier.in_flight),
            held: self.held.wrapping_sub(earlier.held),
            held_total: self.held_total.wrapping_sub(earlier.held_total),
            open_streams: self.open_streams.wrapping_sub(earlier.open_streams),
            abandoned: self.abandoned.wrapping_sub(earlier.abandoned),
            refused: each(&self.refused, &earlier.refused),
            wakes: each(&self.wakes, &earlier.wakes),
            upstream_errors: each(&self.upstream_errors, &earlier.upstream_errors),
            responses: each(&self.responses, &earlier.responses),
        }
    }
}
