//! Every rule says what it did in words with figures and units, and in JSON with the same figures.

use serde_json::{Value, json};

use super::*;
use crate::burst::Demand;
use crate::idle::Idleness;

const S: u64 = SECOND_US;

const IDLE: Idleness = Idleness {
    for_us: 34 * S,
    from_s: 31.4705,
    to_s: Some(35.2469),
    warm: 12.5,
    cold: 7.25,
    pre_warm_us: Some(290 * S),
};

const IDLE_LINE: &str = "idle-cost (idle for 34 s, bin 31.471–35.247 s: warm 12.5, cold 7.25)";

/// The JSON of [`IDLE`], but for the end of its bin.
fn idle(to_s: &Value) -> Value {
    json!({"rule": "idle-cost", "inputs": {
        "for_us": 34_000_000,
        "from_s": 31.4705,
        "to_s": to_s,
        "warm": 12.5,
        "cold": 7.25,
        "pre_warm_us": 290_000_000,
    }})
}

/// The rule after this one; the first after none. A rule that is not in this row does not compile.
fn after(rule: Option<Rule>) -> Option<Rule> {
    let Some(rule) = rule else {
        return Some(Rule::MaxScaleDownRate { ready: 7, rate: 2.5 });
    };
    Some(match rule {
        Rule::MaxScaleDownRate { .. } => Rule::MaxScaleUpRate { ready: 7, rate: 10.0 },
        Rule::MaxScaleUpRate { .. } => Rule::ActivationScale { scale: 3 },
        Rule::ActivationScale { .. } => Rule::Panic { wanted: 4, most: 6, since_us: 8 * S },
        Rule::Panic { .. } => Rule::ScaleDownDelay { delay_s: 30 },
        Rule::ScaleDownDelay { .. } => Rule::InFlight { in_flight: 5, held: 2 },
        Rule::InFlight { .. } => Rule::LostReporters { lost_in_flight: 500 },
        Rule::LostReporters { .. } => Rule::Burst(Demand { open: 40, refused: 5, to_come: 7.5 }),
        Rule::Burst(_) => Rule::Wake { activation_scale: 3 },
        Rule::Wake { .. } => Rule::IdleCost(IDLE),
        Rule::IdleCost(idle) if idle == IDLE => Rule::IdleCost(Idleness { to_s: None, ..IDLE }),
        Rule::IdleCost(_) => Rule::NotIdle,
        Rule::NotIdle => Rule::InitialScale { initial: 4 },
        Rule::InitialScale { .. } => Rule::MinScale { min: 2 },
        Rule::MinScale { .. } => Rule::Coverage { known_s: 59, window_s: 60 },
        Rule::Coverage { .. } => Rule::MaxScale { max: 9 },
        Rule::MaxScale { .. } => Rule::ScaleToZero,
        Rule::ScaleToZero => Rule::Starting { for_us: 12 * S, limit_us: 630 * S },
        Rule::Starting { .. } => Rule::JustActive { for_us: 3 * S, window_s: 60 },
        Rule::JustActive { .. } => Rule::Retention { for_us: 5 * S, retention_us: 90 * S },
        Rule::Retention { .. } => Rule::Grace { waited_us: 6 * S, grace_us: 30 * S },
        Rule::Grace { .. } => Rule::Pressure { replicas: 6 },
        Rule::Pressure { .. } => Rule::Keep(Keep::Zero),
        Rule::Keep(Keep::Zero) => Rule::Keep(Keep::SetByOther(5)),
        Rule::Keep(Keep::SetByOther(_)) => Rule::Keep(Keep::Rollout(4)),
        Rule::Keep(Keep::Rollout(_)) => Rule::Paused { replicas: 2 },
        Rule::Paused { .. } => return None,
    })
}

fn check(rule: Rule, line: &str, json: &Value) {
    let reason = Reason { rule, before: 1, after: 8 };
    assert_eq!(reason.to_string(), format!("1 → 8 by {line}"));
    let mut want = json.clone();
    want["before"] = json!(1);
    want["after"] = json!(8);
    assert_eq!(serde_json::to_value(reason).unwrap(), want);
    assert_eq!(serde_json::from_value::<Reason>(want).unwrap(), reason);
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn every_rule_has_its_line_and_its_json() {
    let said = [
        (
            "max-scale-down-rate 2.5 of 7 ready",
            json!({"rule": "max-scale-down-rate", "inputs": {"ready": 7, "rate": 2.5}}),
        ),
        (
            "max-scale-up-rate 10 of 7 ready",
            json!({"rule": "max-scale-up-rate", "inputs": {"ready": 7, "rate": 10.0}}),
        ),
        ("activation-scale 3", json!({"rule": "activation-scale", "inputs": {"scale": 3}})),
        (
            "panic (wants 4, highest 6)",
            json!({"rule": "panic", "inputs": {"wanted": 4, "most": 6, "since_us": 8_000_000}}),
        ),
        ("scale-down-delay 30 s", json!({"rule": "scale-down-delay", "inputs": {"delay_s": 30}})),
        (
            "open requests (5 in flight, 2 held)",
            json!({"rule": "in-flight", "inputs": {"in_flight": 5, "held": 2}}),
        ),
        (
            "500 requests in flight at lost activators",
            json!({"rule": "lost-reporters", "inputs": {"lost_in_flight": 500}}),
        ),
        (
            "burst (40 open, 5 refused, 7.5 to come)",
            json!({"rule": "burst", "inputs": {"open": 40, "refused": 5, "to_come": 7.5}}),
        ),
        ("wake", json!({"rule": "wake", "inputs": {"activation_scale": 3}})),
        (IDLE_LINE, idle(&json!(35.2469))),
        ("idle-cost (idle for 34 s, beyond 31.471 s)", idle(&Value::Null)),
        ("idle-cost (not certain to be idle)", json!({"rule": "not-idle"})),
        ("initial-scale 4", json!({"rule": "initial-scale", "inputs": {"initial": 4}})),
        ("min-scale 2", json!({"rule": "min-scale", "inputs": {"min": 2}})),
        (
            "coverage (59 of 60 s known)",
            json!({"rule": "coverage", "inputs": {"known_s": 59, "window_s": 60}}),
        ),
        ("max-scale 9", json!({"rule": "max-scale", "inputs": {"max": 9}})),
        ("enable-scale-to-zero false", json!({"rule": "scale-to-zero"})),
        (
            "start-up (for 12 of 630 s)",
            json!({"rule": "starting", "inputs": {"for_us": 12_000_000, "limit_us": 630_000_000}}),
        ),
        (
            "active for 3 of 60 s",
            json!({"rule": "just-active", "inputs": {"for_us": 3_000_000, "window_s": 60}}),
        ),
        (
            "retention (idle for 5 of 90 s)",
            json!({
                "rule": "retention",
                "inputs": {"for_us": 5_000_000, "retention_us": 90_000_000},
            }),
        ),
        (
            "grace (6 of 30 s)",
            json!({"rule": "grace", "inputs": {"waited_us": 6_000_000, "grace_us": 30_000_000}}),
        ),
        (
            "pressure, which only raises, with 6 asked for",
            json!({"rule": "pressure", "inputs": {"replicas": 6}}),
        ),
        ("another writer, who set it to 0", json!({"rule": "keep", "inputs": "zero"})),
        ("another writer, who set it to 5", json!({"rule": "keep", "inputs": {"set-by-other": 5}})),
        ("rollout of 4 under way", json!({"rule": "keep", "inputs": {"rollout": 4}})),
        ("paused", json!({"rule": "paused", "inputs": {"replicas": 2}})),
    ];
    let mut rule = after(None);
    for (line, json) in &said {
        check(rule.unwrap(), line, json);
        rule = after(rule);
    }
    assert_eq!(rule, None, "it has no line above");
}
