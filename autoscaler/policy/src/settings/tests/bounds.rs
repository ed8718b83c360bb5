//! Every key of both tables, at the ends of its range, just inside and just outside. The values
//! come from the grammars, so that a key that is new is covered by being there.

use super::super::grammar::{ENDLESS, MS, NS, S};
use super::super::keys::Table;
use super::*;

/// Values of a grammar, and values that are none of it.
struct Samples {
    inside: Vec<String>,
    outside: Vec<String>,
}

fn samples(grammar: Grammar) -> Samples {
    let number = |number: f64| format!("{number:?}");
    let (mut inside, mut outside) = (Vec::new(), vec![String::new()]);
    match grammar {
        Grammar::Switch => {
            inside.extend(["true", "false"].map(str::to_owned));
            outside.extend(["True", "yes", "1", " true"].map(str::to_owned));
        }
        Grammar::Integer(from, to) => {
            inside.extend([from, from + 1, to - 1, to].map(|it| it.to_string()));
            inside.push(format!("+{to}"));
            outside.extend([i64::from(from) - 1, i64::from(to) + 1].map(|it| it.to_string()));
            let others = ["1.0", " 1", "1e3", "0x10", "x", "99999999999999999999"];
            outside.extend(others.map(str::to_owned));
        }
        Grammar::Number(from, to) => {
            inside.extend([from, from.next_up(), to.next_down(), to].map(number));
            outside.push(number(from.next_down()));
            outside.extend((to < f64::MAX).then(|| number(to.next_up())));
        }
        Grammar::Above(bound) => {
            inside.extend([bound.next_up(), f64::MAX].map(number));
            outside.extend([bound, bound.next_down()].map(number));
        }
        Grammar::Spare => {
            inside.extend([-1.0, 0.0, 0.0_f64.next_up(), f64::MAX].map(number));
            let around = [(-1.0_f64).next_down(), (-1.0_f64).next_up(), 0.0_f64.next_down()];
            outside.extend(around.map(number));
        }
        Grammar::Share => {
            inside.extend([0.0_f64.next_up(), 1.0, 1.0_f64.next_up(), 100.0].map(number));
            outside.extend([0.0, 0.0_f64.next_down(), 100.0_f64.next_up()].map(number));
        }
        Grammar::Duration(from, to, unit) => {
            let ns = |ns: i64| format!("{}ms{}ns", ns / MS, ns % MS);
            inside.extend([from, from + unit].map(ns));
            inside.extend((from == 0).then(|| "0".to_owned()));
            outside.push(if from > 0 { ns(from - NS) } else { "-1ns".to_owned() });
            if to == ENDLESS {
                inside.push("9223372036s".to_owned());
                outside.push("9223372037s".to_owned());
            } else {
                inside.extend([to - unit, to].map(ns));
                outside.extend([to + NS, to + unit].map(ns));
            }
            outside.extend((unit > NS).then(|| ns(from + unit + NS)));
            outside.extend((unit == S).then(|| ns(from + MS)));
            outside.extend(["10", "1 s", "1d", "-1s"].map(str::to_owned));
        }
        Grammar::Word(words) => {
            inside.extend(words.iter().map(|&word| word.to_owned()));
            outside.extend(words.iter().map(|word| format!("{word}x")));
            outside.extend(words.iter().map(|word| format!(" {word}")));
        }
        Grammar::Text => {
            inside.push("./run --fast".to_owned());
            outside.push(" \t".to_owned());
        }
        Grammar::Hosts => {
            inside.extend(["a.example", "A.example, b", "x-1.y"].map(str::to_owned));
            let others = ["a,,b", "a b", "-a", "a-", "a.", "*.a", "a:80", "10.0.0.1", "ä.b", "a_b"];
            outside.extend(others.map(str::to_owned));
        }
    }
    if matches!(grammar, Grammar::Number(..) | Grammar::Above(_) | Grammar::Spare | Grammar::Share)
    {
        let others = ["NaN", "inf", "+Inf", "-inf", "infinity", "1e999", "0x1p4", "70%", "1,5"];
        outside.extend(others.map(str::to_owned));
    }
    // An empty text is a fault almost everywhere.
    outside.retain(|value| !inside.contains(value));
    Samples { inside, outside }
}

/// Tries every key of a table in both spellings. `faults` are those that a value meets there.
fn check(table: Table, faults: impl Fn(&str, &str) -> Vec<Fault>) {
    for key in table.keys {
        let Samples { inside, outside } = samples(key.grammar);
        for name in [Some(key.name), key.legacy].into_iter().flatten() {
            for value in &inside {
                assert_eq!(faults(name, value), [], "{name}: {value:?}");
            }
            for value in &outside {
                let have = faults(name, value);
                let [fault] = have.as_slice() else {
                    panic!("{name}: {value:?}: {have:?}");
                };
                assert_eq!((fault.key.as_str(), &fault.value), (name, value));
                assert!(fault.rule.starts_with("must be "), "{fault}");
            }
        }
    }
}

#[test]
fn each_annotation_just_inside_and_just_outside_its_bounds() {
    let defaults = ClusterDefaults {
        zero_initial_scale: ZeroInitialScale::Allowed,
        ..ClusterDefaults::default()
    };
    check(ANNOTATIONS, |name, value| {
        let given = annotations(&[(name, value)]);
        let on_workload = parse(&given, &Annotations::new(), &defaults);
        let on_template = parse(&Annotations::new(), &given, &defaults);
        assert_eq!(on_workload, on_template);
        on_workload.err().unwrap_or_default()
    });
}

#[test]
fn each_cluster_default_just_inside_and_just_outside_its_bounds() {
    // What else must be there so that no other rule is broken.
    let beside = |name: &str| match name {
        "initial-scale" => Some(("allow-zero-initial-scale", "true")),
        "max-scale-limit" => Some(("max-scale", "1")),
        "min-scale" => Some(("max-scale", "0")),
        "container-concurrency-target-default" => None,
        "container-concurrency-target-percentage" => {
            Some(("container-concurrency-target-default", "1e308"))
        }
        _ => None,
    };
    check(CLUSTER, |name, value| {
        let mut given = annotations(&[(name, value)]);
        given.extend(beside(name).map(|(name, value)| (name.to_owned(), value.to_owned())));
        let faults = parse_defaults(&given).err().unwrap_or_default();
        // A product of two values is in order or not for itself.
        faults.into_iter().filter(|fault| !fault.rule.contains("multiplied")).collect()
    });
}
