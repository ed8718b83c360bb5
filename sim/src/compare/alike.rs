//! Whether two scenarios differ in nothing but their policies.

use serde_json::Value;

use crate::lines::shown;
use crate::plan::Plan;
use crate::scenario::{FileName, Traffic};

/// In what two scenarios differ besides their names, policies, assertions and tolerances, as a
/// sentence that names both files; none if in nothing. Of several things the first by name.
#[must_use]
pub fn difference(first: (&str, &Plan), second: (&str, &Plan)) -> Option<String> {
    let ((one, first), (other, second)) = (first, second);
    if first.seeds != second.seeds {
        let [own, others] = [first, second].map(|plan| plan.seeds.len());
        return Some(format!("seeds: {one} has {own}, {other} has {others}"));
    }
    let [own, others] = [first, second].map(world);
    if let Some((path, own, others)) = unlike("", &own, &others) {
        return Some(format!("{path}: {one} has {own}, {other} has {others}"));
    }
    let files = first.scenario.functions.iter().filter_map(|function| match &function.traffic {
        Traffic::Trace(trace) => Some([Some(&trace.counts), trace.durations.as_ref()]),
        Traffic::Arrivals(trace) => Some([Some(&trace.file), None]),
        Traffic::Load(_) => None,
    });
    let mut files = files.flatten().flatten();
    let hash = |plan: &Plan, file: &FileName| {
        let input = plan.inputs.iter().find(|input| input.name == file.name);
        input.map(|input| input.sha256.clone())
    };
    let file = files.find(|file| hash(first, file) != hash(second, file))?;
    Some(format!("{}: is not the same file to {one} and to {other}", file.name))
}

/// A scenario without what may differ.
fn world(plan: &Plan) -> Value {
    let mut world = serde_json::to_value(&plan.scenario).expect("a scenario can be JSON");
    let mut leave_out = |section: Option<&str>, keys: &[&str]| {
        let section = match section {
            Some(name) => world.get_mut(name),
            None => Some(&mut world),
        };
        if let Some(section) = section.and_then(Value::as_object_mut) {
            section.retain(|key, _| !keys.contains(&key.as_str()));
        }
    };
    leave_out(None, &["name", "seeds", "policy"]);
    leave_out(Some("score"), &["assert", "tolerance"]);
    world
}

/// The first thing in which two values differ: where it is, and what it is in each.
fn unlike(path: &str, one: &Value, other: &Value) -> Option<(String, String, String)> {
    if one == other {
        return None;
    }
    let (Some(own), Some(others)) = (one.as_object(), other.as_object()) else {
        return Some((path.to_owned(), told(one), told(other)));
    };
    let mut keys: Vec<_> = own.keys().chain(others.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().find_map(|key| {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let value = |values: &serde_json::Map<String, Value>| {
            values.get(key).cloned().unwrap_or(Value::Null)
        };
        unlike(&path, &value(own), &value(others))
    })
}

fn told(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        value => shown(&value.to_string()).into_owned(),
    }
}
