//! Candidates against one record that behaves as an API server's, on clocks that agree on nothing
//! but their pace; and each turn alone.

use proptest::prelude::*;

use super::*;

/// Longest wait for an answer, as its caller has it.
const CALL_US_MAX: u64 = 1_000_000;

const STEP_US: u64 = 50_000;

fn record(holder: &str, version: u64) -> Record {
    let (holder, version) = (holder.to_owned(), version.to_string());
    Record { holder, term: 1, lease_us: LEASE_US, written_by: None, version }
}

/// The record where it is kept.
#[derive(Default)]
struct Kept {
    record: Option<Record>,
    version: u64,
}

impl Kept {
    fn carry_out(&mut self, call: &Call) -> Answer {
        let Call::Write(Claim { holder, term, over }) = call else {
            return Answer::Is(self.record.clone());
        };
        if self.record.as_ref().map(|record| &record.version) != over.as_ref() {
            return Answer::Failed;
        }
        self.version += 1;
        let record = Record { term: *term, ..record(holder, self.version) };
        self.record = Some(record.clone());
        Answer::Written(record)
    }
}

/// A candidate, where its clock stands at 0, and until when it does nothing.
struct Runner {
    election: Election,
    ahead_us: u64,
    paused_until_us: u64,
    /// What it sent: when that arrives, then what is answered and when that arrives.
    sent: Option<(u64, Call)>,
    answer: Option<(u64, Answer)>,
    gives_up_us: u64,
}

impl Runner {
    fn new(name: &str, ahead_us: u64) -> Self {
        Self {
            election: Election::new(name.into()),
            ahead_us,
            paused_until_us: 0,
            sent: None,
            answer: None,
            gives_up_us: 0,
        }
    }

    fn lead(&self, now_us: u64) -> Option<Lead> {
        let lead = self.election.lead(now_us + self.ahead_us)?;
        Some(Lead { until_us: lead.until_us - self.ahead_us, ..lead })
    }

    /// One step at `now_us`; `delays_us` are those of a call on its way there and back.
    fn step(&mut self, kept: &mut Kept, now_us: u64, delays_us: (u64, u64)) {
        // What is on its way arrives, whether its sender waits for it or not.
        if let Some((at_us, call)) = self.sent.take_if(|(at_us, _)| *at_us <= now_us) {
            self.answer = Some((at_us + delays_us.1, kept.carry_out(&call)));
        }
        if now_us < self.paused_until_us {
            return;
        }
        let own_us = now_us + self.ahead_us;
        if let Some((_, answer)) = self.answer.take_if(|(at_us, _)| *at_us <= now_us) {
            self.election.answered(answer, own_us);
        } else if now_us >= self.gives_up_us {
            self.answer = None;
            self.election.answered(Answer::Failed, own_us);
        }
        // A call given up may still arrive; the next one waits for that here, not in the election.
        if self.sent.is_none()
            && let Some(call) = self.election.call(own_us)
        {
            self.sent = Some((now_us + delays_us.0, call));
            self.gives_up_us = now_us + CALL_US_MAX;
        }
    }
}

/// What happens to which candidate, and for how long the world goes on before the next.
#[derive(Clone, Debug)]
enum Turn {
    Pause {
        who: usize,
        us: u64,
    },
    Delay {
        who: usize,
        there_us: u64,
        back_us: u64,
    },
    Tell {
        who: usize,
    },
    Nothing,
    /// Somebody deletes the record.
    Delete,
    /// Who watches hears of that.
    TellGone {
        who: usize,
    },
}

fn turns() -> impl Strategy<Value = Turn> {
    prop_oneof![
        (0..3_usize, 0..20_000_000_u64).prop_map(|(who, us)| Turn::Pause { who, us }),
        (0..3_usize, 0..3_000_000_u64, 0..3_000_000_u64)
            .prop_map(|(who, there_us, back_us)| Turn::Delay { who, there_us, back_us }),
        (0..3_usize).prop_map(|who| Turn::Tell { who }),
        Just(Turn::Nothing),
    ]
}

fn turns_with_deletions() -> impl Strategy<Value = Turn> {
    let deletions =
        prop_oneof![Just(Turn::Delete), (0..3_usize).prop_map(|who| Turn::TellGone { who }),];
    prop_oneof![3 => turns(), 1 => deletions]
}

/// So many turns, each with the time until the next.
fn schedule(turn: impl Strategy<Value = Turn>) -> impl Strategy<Value = Vec<(Turn, u64)>> {
    prop::collection::vec((turn, 0..8_000_000_u64), 1..30)
}

/// Who leads at each step of a schedule, every `STEP_US`.
fn live(
    schedule: Vec<(Turn, u64)>,
    ahead_us: [u64; 3],
    mut at_each: impl FnMut(u64, &[(usize, Lead)]) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let mut kept = Kept::default();
    let mut runners: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .zip(ahead_us)
        .map(|(name, ahead_us)| Runner::new(name, ahead_us))
        .collect();
    let mut delays = [(1_000, 1_000); 3];
    let mut now_us = 0;
    for (turn, lasts_us) in schedule {
        match turn {
            Turn::Pause { who, us } => runners[who].paused_until_us = now_us + us,
            Turn::Delay { who, there_us, back_us } => delays[who] = (there_us, back_us),
            Turn::Tell { who } => {
                let own_us = now_us + runners[who].ahead_us;
                if let Some(record) = &kept.record {
                    runners[who].election.told(record.clone(), own_us);
                }
            }
            Turn::Nothing => {}
            Turn::Delete => kept.record = None,
            Turn::TellGone { who } => runners[who].election.look_again(),
        }
        let end_us = now_us + lasts_us;
        while now_us < end_us {
            for (runner, delays_us) in runners.iter_mut().zip(delays) {
                runner.step(&mut kept, now_us, delays_us);
            }
            let leads = runners.iter().enumerate();
            let leads: Vec<_> =
                leads.filter_map(|(who, runner)| Some((who, runner.lead(now_us)?))).collect();
            prop_assert!(leads.len() <= 1, "{leads:?} at {now_us}");
            at_each(now_us, &leads)?;
            now_us += STEP_US;
        }
    }
    Ok(())
}

proptest! {
    /// Pauses, delays and losses of any length, clocks hours apart: no two lead at once, and no
    /// term is led twice.
    #[test]
    fn no_two_lead_at_once(
        schedule in schedule(turns()),
        ahead_us in prop::array::uniform3(0..10_u64.pow(10)),
    ) {
        let mut terms = std::collections::BTreeMap::new();
        live(schedule, ahead_us, |now_us, leads| {
            for (who, lead) in leads {
                let first = *terms.entry(lead.term).or_insert(*who);
                prop_assert_eq!(first, *who, "term led twice");
                prop_assert!(lead.until_us > now_us + CALL_US_MAX);
            }
            Ok(())
        })?;
    }

    /// The same where the record is deleted now and then, heard of or not.
    #[test]
    fn no_two_lead_at_once_whatever_is_deleted(
        schedule in schedule(turns_with_deletions()),
        ahead_us in prop::array::uniform3(0..10_u64.pow(10)),
    ) {
        live(schedule, ahead_us, |_, _| Ok(()))?;
    }
}

/// Runs both candidates on one record until `is` holds; how long that took.
fn until(
    kept: &mut Kept,
    runners: &mut [&mut Runner],
    now_us: &mut u64,
    is: impl Fn(&[&mut Runner], u64) -> bool,
) -> u64 {
    let start_us = *now_us;
    while !is(runners, *now_us) {
        assert!(*now_us < start_us + 60_000_000, "it never comes");
        for runner in &mut *runners {
            runner.step(kept, *now_us, (1_000, 1_000));
        }
        *now_us += 1_000;
    }
    *now_us - start_us
}

#[test]
fn the_next_leads_a_lease_after_a_crash_and_at_once_after_a_clean_end() {
    let (mut kept, mut now_us) = (Kept::default(), 0);
    let (mut a, mut b) = (Runner::new("a", 0), Runner::new("b", 3_600_000_000));
    let first = until(&mut kept, &mut [&mut a], &mut now_us, |it, now| it[0].lead(now).is_some());
    assert!((LEASE_US..LEASE_US + RETRY_US).contains(&first), "{first}");
    until(&mut kept, &mut [&mut a, &mut b], &mut now_us, |_, now| now > 12_000_000);
    assert!(a.lead(now_us).is_some() && b.lead(now_us).is_none());
    // a says nothing any more.
    let crash = until(&mut kept, &mut [&mut b], &mut now_us, |it, now| it[0].lead(now).is_some());
    assert!((LEASE_US - RETRY_US..=LEASE_US + RETRY_US).contains(&crash), "{crash}");
    assert_eq!(b.lead(now_us).map(|lead| lead.term), Some(2));
    let mut c = Runner::new("c", 7);
    until(&mut kept, &mut [&mut b, &mut c], &mut now_us, |_, now| now > 25_000_000);
    let claim = b.election.resign().unwrap();
    assert_eq!(b.lead(now_us), None);
    kept.carry_out(&Call::Write(claim));
    c.election.told(kept.record.clone().unwrap(), now_us + c.ahead_us);
    let clean = until(&mut kept, &mut [&mut c], &mut now_us, |it, now| it[0].lead(now).is_some());
    assert!(clean < 10_000, "{clean}");
}

#[test]
fn one_lost_renewal_is_made_up_for_and_two_end_the_lead() {
    let mut kept = Kept { record: Some(record("", 1)), version: 1 };
    let mut election = Election::new("a".into());
    let renew = |election: &mut Election, kept: &mut Kept, now_us| {
        let call = election.call(now_us).unwrap();
        election.answered(kept.carry_out(&call), now_us);
    };
    renew(&mut election, &mut kept, 0);
    renew(&mut election, &mut kept, 0);
    assert_eq!(election.lead(0), Some(Lead { term: 2, until_us: LEASE_US }));
    assert_eq!(election.due_us(0), Some(RETRY_US));
    for lost in [1, 2] {
        assert!(election.call(lost * RETRY_US).is_some());
        election.answered(Answer::Failed, (lost + 1) * RETRY_US);
        if lost == 1 {
            assert!(election.lead(2 * RETRY_US).is_some());
        }
    }
    assert_eq!(election.due_us(2_999_999), Some(RENEW_US_MAX));
    assert_eq!(election.lead(RENEW_US_MAX), None);
    renew(&mut election, &mut kept, 4_000_000);
    renew(&mut election, &mut kept, 4_000_000);
    assert_eq!(election.lead(4_000_000).map(|lead| lead.term), Some(2), "nobody led in between");
}

#[test]
fn who_finds_no_record_leads_a_lease_after_making_one_and_goes_on_counting_terms() {
    let mut kept = Kept { record: Some(record("", 1)), version: 1 };
    let (mut a, mut b, mut now_us) = (Runner::new("a", 0), Runner::new("b", 0), 0);
    until(&mut kept, &mut [&mut a, &mut b], &mut now_us, |it, now| it[0].lead(now).is_some());
    b.election.told(kept.record.take().unwrap(), now_us);
    b.election.look_again();
    let mut now = |is: &dyn Fn(&Runner, u64) -> bool| {
        until(&mut kept, &mut [&mut a, &mut b], &mut now_us, |it, now| is(it[0], now))
    };
    let ends = now(&|a, now| a.lead(now).is_none());
    assert!(ends <= 2 * RETRY_US, "it looked: {ends}");
    assert_eq!(a.election.other(), None, "there is nobody to name");
    let (a, b) = (&mut a, &mut b);
    until(&mut kept, &mut [a, b], &mut now_us, |it, now| {
        it.iter().any(|it| it.lead(now).is_some())
    });
    assert_eq!(kept.record.unwrap().term, 3);
}

#[test]
fn who_made_a_record_leads_nothing_by_it_even_if_told_of_it_first() {
    let (mut kept, mut election) = (Kept::default(), Election::new("a".into()));
    assert_eq!(election.call(0), Some(Call::Look));
    election.answered(Answer::Is(None), 0);
    let made = kept.carry_out(&election.call(0).unwrap());
    election.told(kept.record.clone().unwrap(), 10);
    election.answered(made, 20);
    assert_eq!((election.lead(20), election.resign()), (None, None));
    assert_eq!(election.due_us(20), Some(10 + LEASE_US));
}

#[test]
fn a_strangers_record_is_waited_for_as_long_as_it_says_and_named() {
    let mut election = Election::new("a".into());
    assert_eq!(election.call(0), Some(Call::Look));
    let stranger = Record { lease_us: 15_000_000, ..record("stranger", 7) };
    election.answered(Answer::Is(Some(stranger.clone())), 100);
    assert_eq!(election.other(), Some(&stranger));
    assert_eq!(election.due_us(100), Some(15_000_100));
    // Renewed: the wait begins anew. What is older changes nothing.
    election.told(Record { version: "9".into(), ..stranger.clone() }, 4_000_000);
    election.told(Record { version: "8".into(), ..stranger.clone() }, 5_000_000);
    assert_eq!(election.due_us(5_000_000), Some(19_000_000));
    election.told(Record { lease_us: u64::MAX, version: "10".into(), ..stranger }, 5_000_000);
    assert_eq!(election.due_us(5_000_000), Some(5_000_000 + STRANGER_US_MAX));
    let Some(Call::Write(claim)) = election.call(5_000_000 + STRANGER_US_MAX) else {
        panic!("no claim");
    };
    assert_eq!((claim.term, claim.over.as_deref()), (2, Some("10")));
    // Too short to be kept by one who pauses for a moment.
    let hasty = Record { lease_us: 0, ..record("stranger", 11) };
    election.told(hasty, 70_000_000);
    assert_eq!(election.resign(), None, "it is not ours to release");
    election.answered(Answer::Failed, 70_000_000);
    election.call(70_000_000);
    election.answered(Answer::Is(Some(Record { lease_us: 0, ..record("b", 12) })), 70_000_000);
    assert_eq!(election.due_us(70_000_000), Some(70_000_000 + LEASE_US));
}
