//! The figures as Prometheus' text format, for a push gateway or a node exporter's text files: the
//! mean of the seeds, by policy and by the scenario's functions. What has no data is absent.

use dormouse_metrics::exposition::{Format, Kind, Text, label};

use crate::judge::{Outcome, Ruling, Verdict};
use crate::metric::{Metric, Span, Unit};
use crate::world::NOT_MODELLED;

/// Functions of the scenario that have series of their own: each has some forty under each policy.
const FUNCTIONS_MAX: usize = 200;

/// A family, and how its series are told apart.
const FAMILIES: [(&str, &str, &str); 8] = [
    ("dormouse_sim_requests", "fate", "Requests, by what became of them."),
    ("dormouse_sim_actions", "action", "How often something was done."),
    ("dormouse_sim_pod_seconds", "of", "Pods over time."),
    ("dormouse_sim_most", "of", "The most there was at once."),
    ("dormouse_sim_wait_seconds", "stat", "From arrival to dispatch."),
    ("dormouse_sim_latency_seconds", "stat", "From arrival to the end of the answer."),
    ("dormouse_sim_overshoot_ratio", "", "How far the worst scale-up overshot the need."),
    ("dormouse_sim_cost", "", "What it cost, in the scenario's currency."),
];

pub(super) fn write(outcome: &Outcome<'_>, verdicts: &[Verdict]) -> String {
    let plan = outcome.plan;
    let functions = &plan.scenario.functions[..plan.scenario.functions.len().min(FUNCTIONS_MAX)];
    let mut text = Text::new(Format::Prometheus, 0);
    let left_out = plan.scenario.functions.len() - functions.len();
    let help = "Functions of the scenario that have no series.";
    text.family("dormouse_sim_functions_left_out", Kind::Gauge, help);
    text.sample("", "", None, left_out);
    let mut rows = Vec::new();
    for (place, policy) in plan.scenario.policies.iter().enumerate() {
        for function in functions {
            let mut labels = String::new();
            label(&mut labels, "policy", &policy.name);
            label(&mut labels, "function", &function.name);
            rows.push((place, function.name.as_str(), labels));
        }
    }
    for (number, (name, by, help)) in FAMILIES.into_iter().enumerate() {
        text.family(name, Kind::Gauge, help);
        let of_family = |metric: &Metric| family_of(*metric).is_some_and(|(own, _)| own == number);
        for metric in Metric::shown().into_iter().filter(of_family) {
            for (place, key, labels) in &rows {
                if let Some(figure) = mean(outcome, metric, *place, key) {
                    let value = family_of(metric).map(|(_, value)| value).unwrap_or_default();
                    let more = (!by.is_empty()).then_some((by, value.as_str()));
                    text.sample("", labels, more, Figure(figure));
                }
            }
        }
    }
    text.family("dormouse_sim_assertion_holds", Kind::Gauge, "1 if it holds, 0 if it does not.");
    for verdict in verdicts {
        let mut labels = String::new();
        label(&mut labels, "policy", &plan.scenario.policies[verdict.policy].name);
        label(&mut labels, "assertion", &verdict.assertion.text);
        text.sample("", &labels, None, u8::from(verdict.ruling == Ruling::Holds));
    }
    let not_modelled = NOT_MODELLED.map(|left_out| format!("# Not modelled: {left_out}\n"));
    not_modelled.concat() + &text.finish()
}

/// The family of a metric, and the value by which it is told apart there.
fn family_of(metric: Metric) -> Option<(usize, String)> {
    let name = metric.to_string();
    let stat = || name.split_once('.').map_or(String::new(), |(_, stat)| stat.to_owned());
    Some(match metric {
        Metric::Requests(_) => (0, name),
        Metric::Count(_) => (1, name),
        Metric::Seconds(_) => {
            let of = name.strip_suffix("_seconds").unwrap_or(&name);
            (2, of.to_owned())
        }
        Metric::Most(_) => (3, name.strip_suffix(".max").unwrap_or(&name).to_owned()),
        Metric::Times(Span::Wait, _) => (4, stat()),
        Metric::Times(Span::Latency, _) => (5, stat()),
        Metric::Overshoot => (6, String::new()),
        Metric::Cost => (7, String::new()),
        Metric::Share(_) => return None,
    })
}

/// The mean of the seeds, in base units.
fn mean(outcome: &Outcome<'_>, metric: Metric, policy: usize, key: &str) -> Option<f64> {
    let plan = outcome.plan;
    let price = plan.scenario.score.price.as_ref();
    let mut sum = 0.0;
    for seed in 0..plan.seeds.len() {
        let score = outcome.score(outcome.card(policy, seed), Some(key), plan.scored());
        sum += metric.of(&score, price)?;
    }
    let mean = sum / plan.seeds.len() as f64;
    Some(if metric.unit() == Unit::Ns { mean / 1e9 } else { mean })
}

/// A figure as the format has it.
struct Figure(f64);

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.is_infinite() {
            true => f.write_str("+Inf"),
            false => write!(f, "{}", self.0),
        }
    }
}
