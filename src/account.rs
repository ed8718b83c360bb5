//! The account of the functions: from their states to a table, to lines, or to JSON.
//!
//! Pure: time comes in, text comes out.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::time::Duration;

use dormouse_autoscaler::status::{FunctionStatus, State};
use tokio::time::Instant;

/// Least time between two lines about one function whose figures alone changed.
const FIGURES_INTERVAL: Duration = Duration::from_secs(1);

/// How the account is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A table, redrawn in place.
    Table,
    /// One line per change.
    Lines,
    /// One JSON object per change.
    Json,
}

/// What has been told, and what is still to be.
#[derive(Debug)]
pub(crate) struct Account {
    style: Style,
    told: BTreeMap<String, Told>,
    due: Option<Instant>,
    news: News,
}

/// What is to be written now.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct News {
    /// Lines for people, each with its end.
    pub(crate) lines: String,
    /// The table, whole.
    pub(crate) table: Option<Vec<String>>,
    /// Lines for programs.
    pub(crate) json: String,
}

#[derive(Debug)]
struct Told {
    row: Row,
    at: Instant,
}

impl Account {
    /// An account of which nothing has been told.
    pub(crate) fn new(style: Style) -> Self {
        Self { style, told: BTreeMap::new(), due: None, news: News::default() }
    }

    /// Compares `statuses` with what was told; [`Account::take`] has what is new.
    /// A table has at most `lines_max` lines: a higher one than the terminal could not be redrawn.
    pub(crate) fn update(
        &mut self,
        statuses: &[impl Borrow<FunctionStatus>],
        now: Instant,
        lines_max: usize,
    ) {
        self.due = None;
        let statuses: Vec<&FunctionStatus> = statuses.iter().map(Borrow::borrow).collect();
        if self.style == Style::Table {
            self.news.table = Some(bounded_table(&statuses, lines_max));
            return;
        }
        for &status in &statuses {
            let row = Row::new(status);
            match self.told.get(&row.name) {
                Some(told) if told.row == row => continue,
                Some(told) if told.row.same_but_figures(&row) => {
                    let due = told.at + FIGURES_INTERVAL;
                    if now < due {
                        self.due = Some(self.due.map_or(due, |other| other.min(due)));
                        continue;
                    }
                }
                _ => {}
            }
            match self.style {
                Style::Json => self.news.json += &json_line(status),
                Style::Lines | Style::Table => self.news.lines += &row.line(),
            }
            self.told.insert(row.name.clone(), Told { row, at: now });
        }
        self.told.retain(|name, _| statuses.iter().any(|status| *name == status.name.as_str()));
    }

    /// When to call [`Account::update`] again although nothing changed, to tell what waits.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What is new since the last call.
    pub(crate) fn take(&mut self) -> News {
        std::mem::take(&mut self.news)
    }
}

/// One function in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) state: String,
    /// `ready/desired`.
    pub(crate) replicas: String,
    pub(crate) in_flight: u64,
    pub(crate) held: u64,
    /// Requests per second, as shown: a change that does not show is none.
    pub(crate) rps: String,
    /// The last decision and why.
    pub(crate) decision: String,
    /// What a person should know besides.
    pub(crate) message: Option<String>,
}

impl Row {
    /// What is shown of `status`.
    pub(crate) fn new(status: &FunctionStatus) -> Self {
        let state = match status.state {
            State::Asleep => "asleep",
            State::Waking => "waking",
            State::Ready => "ready",
            State::Retiring => "retiring",
            State::Failing => "failing",
            State::SetAside => "set aside",
        };
        Self {
            name: status.name.to_string(),
            state: state.to_owned(),
            replicas: format!("{}/{}", status.ready, status.desired),
            in_flight: status.in_flight,
            held: status.held,
            rps: format!("{:.1}", status.rps),
            decision: status.last.as_ref().map_or_else(String::new, |last| last.line.clone()),
            message: status.message.clone(),
        }
    }

    /// Whether `other` differs in nothing but load, which changes all the time.
    fn same_but_figures(&self, other: &Self) -> bool {
        let Self { name, state, replicas, in_flight: _, held: _, rps: _, decision, message } = self;
        *name == other.name
            && *state == other.state
            && *replicas == other.replicas
            && *decision == other.decision
            && *message == other.message
    }

    /// The row as a line of its own.
    fn line(&self) -> String {
        let mut line = format!(
            "{}  {} {}  in flight {}  held {}  rps {}",
            self.name, self.state, self.replicas, self.in_flight, self.held, self.rps
        );
        if !self.decision.is_empty() {
            line += "  ";
            line += &self.decision;
        }
        if let Some(message) = &self.message {
            line += "  ! ";
            line += message;
        }
        line + "\n"
    }
}

/// A head and one line per function, columns aligned; messages below the function they are about.
pub(crate) fn table(rows: &[Row]) -> Vec<String> {
    const HEAD: [&str; 7] =
        ["FUNCTION", "STATE", "READY", "IN FLIGHT", "HELD", "RPS", "LAST DECISION"];
    let cells: Vec<[String; 7]> = std::iter::once(HEAD.map(str::to_owned))
        .chain(rows.iter().map(|row| {
            [
                row.name.clone(),
                row.state.clone(),
                row.replicas.clone(),
                row.in_flight.to_string(),
                row.held.to_string(),
                row.rps.clone(),
                row.decision.clone(),
            ]
        }))
        .collect();
    let widths: [usize; 7] = std::array::from_fn(|column| {
        let width = |row: &[String; 7]| row[column].chars().count();
        cells.iter().map(width).max().unwrap_or(0)
    });
    let mut lines = Vec::new();
    for (index, row) in cells.iter().enumerate() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line += &format!("{cell:<width$}  ");
        }
        lines.push(line.trim_end().to_owned());
        let message = index.checked_sub(1).and_then(|index| rows[index].message.as_ref());
        lines.extend(message.map(|message| format!("  ! {message}")));
    }
    lines
}

/// The table, functions whole, in at most `lines_max` lines, or its last line if that is less.
fn bounded_table(statuses: &[impl Borrow<FunctionStatus>], lines_max: usize) -> Vec<String> {
    let rows: Vec<Row> = statuses.iter().map(|status| Row::new(status.borrow())).collect();
    let height = |row: &Row| 1 + usize::from(row.message.is_some());
    // Without the head and, where rows are left out, the line that says so.
    let fitting = |room: usize| {
        let used = rows.iter().scan(0, |used, row| {
            *used += height(row);
            Some(*used)
        });
        used.take_while(|used| *used <= room).count()
    };
    let shown = match fitting(lines_max.saturating_sub(1)) {
        all if all == rows.len() => all,
        _ => fitting(lines_max.saturating_sub(2)),
    };
    let mut lines = table(&rows[..shown]);
    let further = rows.len() - shown;
    if further > 0 {
        lines.push(format!("and {further} more: dormouse status"));
    }
    lines
}

fn json_line(status: &FunctionStatus) -> String {
    // Strings, numbers and lists: serialising them into memory cannot fail.
    serde_json::to_string(status).map_or_else(|_| String::new(), |line| line + "\n")
}

#[cfg(test)]
mod tests {
    use dormouse_autoscaler::status::DecisionSummary;
    use dormouse_policy::function::{FunctionName, WorkloadKind};

    use super::*;

    fn status(name: &str, state: State, ready: u32) -> FunctionStatus {
        FunctionStatus {
            name: FunctionName::new("default", name),
            kind: WorkloadKind::Deployment,
            state,
            ready,
            desired: ready,
            pods: Vec::new(),
            in_flight: 0,
            held: 0,
            rps: 0.0,
            coverage: 1.0,
            endpoints: Vec::new(),
            failure: None,
            message: None,
            last: None,
        }
    }

    fn told(account: &mut Account, statuses: &[FunctionStatus], now: Instant) -> usize {
        account.update(statuses, now, 24);
        account.take().lines.lines().count()
    }

    #[test]
    fn figures_wait_a_second_and_decisions_do_not() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut account = Account::new(Style::Lines);
        let mut hello = status("hello", State::Ready, 1);
        assert_eq!(told(&mut account, &[hello.clone()], after(0)), 1);
        assert_eq!(told(&mut account, &[hello.clone()], after(5_000)), 0);
        hello.in_flight = 3;
        assert_eq!(told(&mut account, &[hello.clone()], after(6_000)), 1);
        hello.in_flight = 4;
        assert_eq!(told(&mut account, &[hello.clone()], after(6_200)), 0);
        assert_eq!(account.due(), Some(after(7_000)), "what waits is told later");
        hello.last = Some(DecisionSummary { at_ms: 1, line: "1 -> 2".to_owned() });
        assert_eq!(told(&mut account, &[hello.clone()], after(6_300)), 1);
        assert_eq!(account.due(), None);
        hello.in_flight = 0;
        assert_eq!(told(&mut account, &[hello.clone()], after(6_400)), 0);
        assert_eq!(told(&mut account, &[hello.clone()], after(7_300)), 1);
        hello.state = State::Asleep;
        assert_eq!(told(&mut account, &[hello], after(7_301)), 1);
    }

    #[test]
    fn one_function_does_not_hold_up_another() {
        let now = Instant::now();
        let mut account = Account::new(Style::Lines);
        let mut both = [status("a", State::Ready, 1), status("b", State::Ready, 1)];
        assert_eq!(told(&mut account, &both, now), 2);
        both[1].held = 1;
        assert_eq!(told(&mut account, &both, now), 0);
        both[0].state = State::Waking;
        assert_eq!(told(&mut account, &both, now), 1);
        assert_eq!(told(&mut account, &[], now), 0);
        assert_eq!(told(&mut account, &both, now), 2, "gone and back is news");
    }

    #[test]
    fn json_is_what_the_admin_port_says() {
        let mut account = Account::new(Style::Json);
        let hello = status("hello", State::Asleep, 0);
        account.update(std::slice::from_ref(&hello), Instant::now(), 24);
        let news = account.take();
        assert_eq!(news.lines, "");
        assert_eq!(serde_json::from_str::<FunctionStatus>(&news.json).unwrap(), hello);
        assert!(news.json.ends_with('\n'));
    }

    #[test]
    fn complaints_stand_below_the_function() {
        let mut deaf = status("deaf", State::Waking, 0);
        deaf.message = Some("deaf-x1: does not listen on PORT=4242".to_owned());
        let mut crashing = status("crashing", State::Failing, 0);
        crashing.message = Some("exit status 1".to_owned());
        let rows = [Row::new(&deaf), Row::new(&crashing)];
        let expected = [
            "FUNCTION          STATE    READY  IN FLIGHT  HELD  RPS  LAST DECISION",
            "default/deaf      waking   0/0    0          0     0.0",
            "  ! deaf-x1: does not listen on PORT=4242",
            "default/crashing  failing  0/0    0          0     0.0",
            "  ! exit status 1",
        ];
        assert_eq!(table(&rows), expected);
    }

    #[test]
    fn a_long_table_is_cut() {
        let mut many: Vec<_> =
            (0..4).map(|index| status(&index.to_string(), State::Asleep, 0)).collect();
        many[1].message = Some("exit status 1".to_owned());
        let last = |lines_max| {
            let lines = bounded_table(&many, lines_max);
            assert!(lines.len() <= lines_max.max(2), "{lines:?}");
            lines.last().cloned().unwrap_or_default()
        };
        assert!(last(6).starts_with("default/3"));
        assert_eq!(last(5), "and 2 more: dormouse status");
        assert_eq!(last(4), "and 3 more: dormouse status");
        assert_eq!(last(1), "and 4 more: dormouse status");
    }
}
