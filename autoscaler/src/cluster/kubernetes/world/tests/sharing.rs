//! Descriptions are kept once, for the world and whoever is told.

use dormouse_policy::function::Function;

use super::*;

fn kept(told: &Told) -> &Arc<Function> {
    told.world.slots[&name()].function.as_ref().unwrap()
}

#[test]
fn a_description_with_ports_of_its_own_is_shared_and_told_once() {
    let mut told = Told::with(0);
    told.facts();
    told.is(Listing::Services, targeting("cart", json!({})));
    let facts = told.facts();
    let [Fact::Function(function), ..] = &facts[..] else {
        panic!("{facts:?}");
    };
    assert!(function.endpoints[1].own_port.is_some());
    assert!(Arc::ptr_eq(function, kept(&told)));
    // A workload made anew is judged anew, and is as it was.
    let mut again = workload(6, 0);
    again["metadata"]["uid"] = json!("v");
    told.is(Listing::Deployments, again);
    assert!(Arc::ptr_eq(function, kept(&told)));
    let is_function = |fact: &Fact| matches!(fact, Fact::Function(_));
    assert!(!told.facts().iter().any(is_function));
}
