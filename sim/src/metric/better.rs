//! Which way a figure is better.

use super::{Deed, Fate, Integral, Metric, Span, Stat};

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Less of it.
    Less,
    /// More of it.
    More,
    /// Neither: it is the load's, not the policy's.
    Neither,
}

impl Metric {
    /// Which way it is better.
    #[must_use]
    pub fn better(self) -> Better {
        match self {
            Self::Requests(Fate::Answered) | Self::Share(Fate::Answered) => Better::More,
            Self::Requests(Fate::Arrived | Fate::Open)
            | Self::Share(Fate::Arrived | Fate::Open)
            | Self::Seconds(Integral::Need) => Better::Neither,
            _ => Better::Less,
        }
    }

    /// The ones by which policies are compared unless others are asked for: what users see, and
    /// what it costs. There is no cost without prices.
    #[must_use]
    pub fn compared() -> Vec<Self> {
        let p99 = Stat::Percentile(990_000);
        vec![
            Self::Requests(Fate::Waited),
            Self::Times(Span::Wait, Stat::Mean),
            Self::Times(Span::Wait, p99),
            Self::Times(Span::Latency, p99),
            Self::Requests(Fate::Refused),
            Self::Requests(Fate::TimedOut),
            Self::Requests(Fate::Lost),
            Self::Count(Deed::ColdStarts),
            Self::Seconds(Integral::Pods),
            Self::Cost,
        ]
    }
}
