//! One function's way through a run: its figures and decisions in time bins of one length.
//!
//! How many bins there are does not depend on how long the run is, so neither does the memory. What
//! is in a bin is exact: the least, the most and the last value that stood for any time in it.

use dormouse_policy::decision::Decision;

use super::RunError;
use super::engine::Sim;
use super::setup::Policy;

/// Most bins of a series; more than a screen has pixels show nothing new.
pub const BINS_MAX: u32 = 4_096;

/// Decisions kept in one bin: what is read at one moment. Of more the last ones are kept, and those
/// that changed replicas before those that did not.
pub const DECISIONS_MAX: usize = 3;

/// What is recorded of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The functions' places in the setup.
    pub functions: Vec<usize>,
    /// Into how many bins the run is divided, 1 to [`BINS_MAX`].
    pub bins: u32,
}

impl Sim<'_> {
    pub(super) fn record(&mut self, recording: &Recording) -> Result<(), RunError> {
        recording.validate(self.functions.len())?;
        for &at in &recording.functions {
            let function = &mut self.functions[at];
            if function.spec.policy != Policy::Floor {
                let series = Series::new(at, recording.bins, self.setup.end_ns);
                function.ledger.series = Some(Box::new(series));
            }
        }
        Ok(())
    }

    pub(super) fn recorded(&mut self, recording: &Recording) -> Vec<Series> {
        let now_ns = self.now_ns;
        let taken = recording.functions.iter().filter_map(|at| {
            let mut series = self.functions[*at].ledger.series.take()?;
            series.close(now_ns);
            Some(*series)
        });
        taken.collect()
    }
}

/// A function's way through a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its place in the setup.
    pub function: usize,
    /// How long a bin is, in nanoseconds; the last one may be shorter.
    pub bin_ns: u64,
    /// Requests that arrived, by bin.
    pub arrived: Vec<u64>,
    /// Requests that arrived and are not answered yet.
    pub open: Course,
    /// Of these, those that are held.
    pub held: Course,
    /// Pods that take requests.
    pub ready: Course,
    /// Replicas that the autoscaler wants.
    pub desired: Course,
    /// 1 in panic mode, 0 in none.
    pub panic: Course,
    /// Decisions by bin, oldest first, at most [`DECISIONS_MAX`] each.
    pub decisions: Vec<Vec<Decision>>,
    /// Decisions that were made in each bin, those not kept included.
    pub decided: Vec<u32>,
}

/// How one figure went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// By bin.
    pub bins: Vec<Extent>,
    bin_ns: u64,
    value: u32,
    since_ns: u64,
}

/// What a figure was in one bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The least.
    pub least: u32,
    /// The most.
    pub most: u32,
    /// At its end.
    pub last: u32,
    /// ∫ figure dt, in nanoseconds.
    pub area_ns: u64,
}

impl Recording {
    pub(super) fn validate(&self, functions: usize) -> Result<(), RunError> {
        let mut places = self.functions.clone();
        places.sort_unstable();
        places.dedup();
        let is_there = places.last().is_none_or(|last| *last < functions);
        match is_there
            && places.len() == self.functions.len()
            && (1..=BINS_MAX).contains(&self.bins)
        {
            true => Ok(()),
            false => Err(RunError::Recording),
        }
    }
}

impl Series {
    pub(super) fn new(function: usize, bins: u32, end_ns: u64) -> Self {
        let bin_ns = end_ns.div_ceil(bins.into()).max(1);
        // Rounded up, so that a run of very few nanoseconds has fewer bins than it may.
        let bins = usize::try_from(end_ns.div_ceil(bin_ns)).map_or(0, |bins| bins);
        let course = || Course::new(bin_ns, bins);
        Self {
            function,
            bin_ns,
            arrived: vec![0; bins],
            open: course(),
            held: course(),
            ready: course(),
            desired: course(),
            panic: course(),
            decisions: vec![Vec::new(); bins],
            decided: vec![0; bins],
        }
    }

    fn bin(&self, now_ns: u64) -> usize {
        usize::try_from(now_ns / self.bin_ns).unwrap_or(usize::MAX)
    }

    pub(super) fn arrive(&mut self, now_ns: u64) {
        let bin = self.bin(now_ns);
        if let Some(arrived) = self.arrived.get_mut(bin) {
            *arrived += 1;
        }
    }

    pub(super) fn decide(&mut self, decision: &Decision, now_ns: u64) {
        self.desired.set(decision.desired, now_ns);
        self.panic.set(decision.panic.is_some().into(), now_ns);
        let bin = self.bin(now_ns);
        let (Some(kept), Some(decided)) = (self.decisions.get_mut(bin), self.decided.get_mut(bin))
        else {
            return;
        };
        *decided += 1;
        let changes = |it: &Decision| it.desired != it.inputs.replicas;
        if kept.last().is_some_and(|last| !changes(last)) {
            // What kept replicas as they were is of interest until there is anything newer.
            kept.pop();
        } else if !kept.is_empty() && !changes(decision) {
            return;
        }
        if kept.len() == DECISIONS_MAX {
            kept.remove(0);
        }
        kept.push(decision.clone());
    }

    pub(super) fn close(&mut self, now_ns: u64) {
        for course in
            [&mut self.open, &mut self.held, &mut self.ready, &mut self.desired, &mut self.panic]
        {
            course.pass(now_ns);
        }
    }
}

impl Course {
    fn new(bin_ns: u64, bins: usize) -> Self {
        let nothing = Extent { least: u32::MAX, most: 0, last: 0, area_ns: 0 };
        Self { bins: vec![nothing; bins], bin_ns, value: 0, since_ns: 0 }
    }

    /// From now on it is that.
    pub(super) fn set(&mut self, value: u32, now_ns: u64) {
        if value != self.value {
            self.pass(now_ns);
            self.value = value;
        }
    }

    /// Takes the time up to now in. What stood for no time at all leaves no trace.
    fn pass(&mut self, now_ns: u64) {
        while self.since_ns < now_ns {
            let Some(bin) = usize::try_from(self.since_ns / self.bin_ns)
                .ok()
                .and_then(|bin| self.bins.get_mut(bin))
            else {
                return;
            };
            let bin_ends_ns = (self.since_ns / self.bin_ns + 1).saturating_mul(self.bin_ns);
            let until_ns = now_ns.min(bin_ends_ns);
            let area_ns = (until_ns - self.since_ns).saturating_mul(self.value.into());
            *bin = Extent {
                least: bin.least.min(self.value),
                most: bin.most.max(self.value),
                last: self.value,
                area_ns: bin.area_ns.saturating_add(area_ns),
            };
            self.since_ns = until_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Least, most, last and area of each bin of 10 ns.
    #[track_caller]
    fn check(changes: &[(u64, u32)], end_ns: u64, want: &[(u32, u32, u32, u64)]) {
        let mut course = Course::new(10, 4);
        changes.iter().for_each(|(at_ns, value)| course.set(*value, *at_ns));
        course.pass(end_ns);
        let got: Vec<_> =
            course.bins.iter().map(|it| (it.least, it.most, it.last, it.area_ns)).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn a_bin_knows_what_stood_in_it_and_for_how_long() {
        let zero = (0, 0, 0, 0);
        check(&[], 40, &[zero; 4]);
        check(&[(0, 2)], 40, &[(2, 2, 2, 20); 4]);
        check(&[(5, 3)], 40, &[(0, 3, 3, 15), (3, 3, 3, 30), (3, 3, 3, 30), (3, 3, 3, 30)]);
        // At a border, the new value is the next bin's.
        check(&[(10, 7), (20, 1)], 40, &[zero, (7, 7, 7, 70), (1, 1, 1, 10), (1, 1, 1, 10)]);
        // What stood for no time is not seen; what is set again changes nothing.
        check(
            &[(5, 9), (5, 1), (6, 1)],
            40,
            &[(0, 1, 1, 5), (1, 1, 1, 10), (1, 1, 1, 10), (1, 1, 1, 10)],
        );
        // What comes after the last bin has no place.
        check(&[(35, 4), (45, 5)], 50, &[zero, zero, zero, (0, 4, 4, 20)]);
    }

    #[test]
    fn a_series_has_as_many_bins_however_long_the_run_is() {
        for end_ns in [600, 601, 1_000_000_007, u64::MAX / 2] {
            let series = Series::new(0, 600, end_ns);
            assert!((301..=600).contains(&series.arrived.len()), "{end_ns}");
            assert!(u128::from(series.bin_ns) * 600 >= u128::from(end_ns));
        }
        assert_eq!(Series::new(0, 600, 7).arrived.len(), 7);
        assert_eq!(Series::new(0, 600, 0).arrived.len(), 0);
    }
}
