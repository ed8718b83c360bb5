//! What the autoscaler counts, in the words of Prometheus.

use std::collections::BTreeMap;

use dormouse_metrics::exposition::Format;
use dormouse_metrics::exposition::text::{self, Kind, Text};

use crate::cluster::Calls;
use crate::core::Tally;
use crate::status::{FunctionStatus, State, Statuses};

/// Room for what a function takes: three series.
const FUNCTION_BYTES: usize = 512;

/// Every figure at one moment.
pub(super) struct Figures<'a> {
    pub(super) tally: Tally,
    pub(super) statuses: &'a Statuses,
    /// Frames and questions that wait for the loop.
    pub(super) events_waiting: usize,
    /// Connections of activators, greeted or not.
    pub(super) connections: usize,
    pub(super) calls: &'a Calls,
}

impl Figures<'_> {
    /// All of them as text.
    pub(super) fn expose(&self, format: Format) -> String {
        let mut text = Text::new(format, self.statuses.len() * FUNCTION_BYTES);
        self.own(&mut text);
        counted(
            &mut text,
            ("dormouse_autoscaler_decisions", "Decisions, by what made them due."),
            "why",
            &self.tally.decisions,
        );
        counted(
            &mut text,
            ("dormouse_autoscaler_orders", "Attempts at orders to scale, by how they ended."),
            "outcome",
            &self.tally.orders,
        );
        text.family(
            "dormouse_autoscaler_api_calls",
            Kind::Counter,
            "Calls of the API server, by verb and status; status none is no answer.",
        );
        for (verb, status, count) in self.calls.each() {
            let mut labels = String::new();
            text::label(&mut labels, "verb", verb);
            let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
            text.sample("", &labels, Some(("status", &status)), count);
        }
        self.functions(&mut text);
        text.finish()
    }

    fn own(&self, text: &mut Text) {
        let mut gauge = |name: &str, help: &str, value: usize| {
            text.family(name, Kind::Gauge, help);
            text.sample("", "", None, value);
        };
        gauge(
            "dormouse_autoscaler_leading",
            "Whether this replica's decisions are carried out: 1 if they are.",
            usize::from(self.tally.leads),
        );
        gauge(
            "dormouse_autoscaler_link_connections",
            "Connections of activators.",
            self.connections,
        );
        gauge(
            "dormouse_autoscaler_events_waiting",
            "Frames and questions that wait to be taken in.",
            self.events_waiting,
        );
    }

    fn functions(&self, text: &mut Text) {
        let mut states: BTreeMap<&str, u64> = BTreeMap::new();
        for status in self.statuses.iter() {
            *states.entry(word(status.state)).or_default() += 1;
        }
        let functions = ("dormouse_autoscaler_functions", Kind::Gauge, "Functions, by state.");
        labelled(text, functions, "state", &states);
        let mut replicas = |name: &str, help: &str, of: fn(&FunctionStatus) -> u32| {
            text.family(name, Kind::Gauge, help);
            for status in self.statuses.iter() {
                let mut labels = String::new();
                text::label(&mut labels, "namespace", status.name.namespace());
                text::label(&mut labels, "function", status.name.name());
                text.sample("", &labels, None, of(status));
            }
        };
        replicas(
            "dormouse_autoscaler_desired_replicas",
            "Replicas wanted by the last decision.",
            |status| status.desired,
        );
        replicas("dormouse_autoscaler_ready_replicas", "Ready pods.", |status| status.ready);
    }
}

fn counted(
    text: &mut Text,
    (name, help): (&str, &str),
    label: &str,
    counts: &BTreeMap<&'static str, u64>,
) {
    labelled(text, (name, Kind::Counter, help), label, counts);
}

fn labelled(
    text: &mut Text,
    (name, kind, help): (&str, Kind, &str),
    label: &str,
    counts: &BTreeMap<&str, u64>,
) {
    text.family(name, kind, help);
    for (value, count) in counts {
        let mut labels = String::new();
        text::label(&mut labels, label, value);
        text.sample("", &labels, None, count);
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Asleep => "asleep",
        State::Waking => "waking",
        State::Ready => "ready",
        State::Retiring => "retiring",
        State::Failing => "failing",
        State::SetAside => "set-aside",
    }
}

#[cfg(test)]
#[path = "../../../metrics/tests/exposition/lint.rs"]
mod lint;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ScaleError;
    use dormouse_policy::decision::Why;

    #[test]
    fn the_text_breaks_no_rule_of_the_linter_and_says_every_figure() {
        let mut tally = Tally { leads: true, ..Tally::default() };
        tally.decided(Why::Wake);
        tally.decided(Why::Wake);
        tally.ordered(&Ok(()));
        tally.ordered(&Err(ScaleError::NotLeading));
        let calls = Calls::default();
        drop(calls.begin("list"));
        let mut call = calls.begin("patch");
        call.answered(409);
        drop(call);
        let figures = Figures {
            tally,
            statuses: &Statuses::default(),
            events_waiting: 3,
            connections: 2,
            calls: &calls,
        };
        for format in [Format::Prometheus, Format::OpenMetrics] {
            let families = lint::check(&figures.expose(format), format);
            assert_eq!(families, 9);
        }
        let text = figures.expose(Format::Prometheus);
        for line in [
            "dormouse_autoscaler_leading 1",
            "dormouse_autoscaler_link_connections 2",
            "dormouse_autoscaler_events_waiting 3",
            "dormouse_autoscaler_decisions_total{why=\"wake\"} 2",
            "dormouse_autoscaler_orders_total{outcome=\"placed\"} 1",
            "dormouse_autoscaler_orders_total{outcome=\"not-leading\"} 1",
            "dormouse_autoscaler_api_calls_total{verb=\"list\",status=\"none\"} 1",
            "dormouse_autoscaler_api_calls_total{verb=\"patch\",status=\"409\"} 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
    }
}
