//! What holds after every event, counted anew from what is there.

use super::activator::Presence;
use super::engine::{Place, Sim};
use super::pod::Phase;
use super::setup::{Nodes, Policy};

/// The first rule that does not hold, in words.
pub(super) fn check(sim: &Sim<'_>) -> Result<(), String> {
    for at in 0..sim.functions.len() {
        if sim.functions[at].spec.policy != Policy::Floor {
            requests(sim, at)?;
            pods(sim, at)?;
            wakes(sim, at)?;
        }
    }
    match sim.setup.world.nodes {
        Some(nodes) => node_room(sim, nodes),
        None => Ok(()),
    }
}

/// Nobody is lost or counted twice, and nobody is held beyond a bound.
fn requests(sim: &Sim<'_>, at: usize) -> Result<(), String> {
    let function = &sim.functions[at];
    let name = &function.spec.name;
    let (arrived, accounted) = function.ledger.balance();
    equal(name, "requests arrived and known of", arrived, accounted)?;
    let open = sim
        .requests
        .iter()
        .filter(|request| request.place != Place::Free && request.function as usize == at);
    let (mut inside, mut held) = (0, 0);
    for request in open {
        inside += 1;
        held += u32::from(matches!(request.place, Place::Held(_)));
    }
    equal(name, "requests inside", function.ledger.inside(), inside)?;
    equal(name, "requests held", function.ledger.held(), held)?;
    let mut admitted = 0;
    for activator in &sim.activators {
        let view = &activator.views[at];
        let held = activator.held(at) as u64;
        equal(name, "places taken", view.bound.taken().requests, held)?;
        let depth = u64::from(function.spec.settings.admission.queue_depth);
        at_most(name, "held", held, depth)?;
        admitted += held;
    }
    equal(name, "requests in all queues", admitted, u64::from(held))
}

/// Pods and their slots are as the account and the activators have them.
fn pods(sim: &Sim<'_>, at: usize) -> Result<(), String> {
    let function = &sim.functions[at];
    let name = &function.spec.name;
    let (mut there, mut ready) = (0, 0);
    for (place, pod) in sim.pods.iter().enumerate() {
        if pod.function as usize != at || pod.phase == Phase::Gone {
            continue;
        }
        there += u32::from(pod.phase != Phase::Pending);
        ready += u32::from(pod.ready);
        let mut sent = 0;
        for activator in &sim.activators {
            let pods = &activator.views[at].pods;
            if let Some(known) = pods.iter().find(|known| known.pod.at as usize == place) {
                sent += known.requests;
                let limit = activator.views[at].limit;
                if limit > 0 {
                    at_most(name, "slots", known.slots.taken(), limit)?;
                }
                let is_used = known.takes_requests() && activator.presence == Presence::There;
                if is_used && pod.phase != Phase::Listening {
                    return Err(format!(
                        "{name}: requests are sent to a pod that is {:?}",
                        pod.phase
                    ));
                }
            }
        }
        at_most(name, "requests sent to a pod", sent, pod.requests)?;
    }
    equal(name, "pods", function.ledger.pods(), there)?;
    equal(name, "ready pods", function.ledger.ready(), ready)?;
    at_most(name, "pods that stay", function.pods.len(), function.replicas as usize)
}

/// Where requests are held and no pod takes them, something is on its way to change that.
fn wakes(sim: &Sim<'_>, at: usize) -> Result<(), String> {
    for activator in &sim.activators {
        let view = &activator.views[at];
        let needs = activator.held(at) > 0 && view.usable == 0;
        if needs != view.wanted {
            return Err(format!(
                "{}: {} keeps a wake to itself",
                sim.functions[at].spec.name, activator.name
            ));
        }
        let is_led = sim.leader.is_some() && activator.connection.is_some();
        let is_under_way = sim.frames.iter().next().is_some() || sim.is_pursued(at);
        if needs && is_led && !is_under_way {
            return Err(format!("{}: a wake is lost", sim.functions[at].spec.name));
        }
    }
    Ok(())
}

fn node_room(sim: &Sim<'_>, nodes: Nodes) -> Result<(), String> {
    for (number, (_, pods)) in sim.cluster.nodes.iter().enumerate() {
        let placed = |node: Option<u32>| node == Some(number as u32);
        let there = sim.pods.iter().filter(|pod| placed(pod.node)).count();
        equal("node", "pods", *pods as usize, there)?;
        at_most("node", "pods", *pods, nodes.pods.get())?;
    }
    Ok(())
}

fn equal<T: PartialEq + std::fmt::Display>(
    whose: impl std::fmt::Display,
    what: &str,
    kept: T,
    counted: T,
) -> Result<(), String> {
    match kept == counted {
        true => Ok(()),
        false => Err(format!("{whose}: {what}: {kept} by the account, {counted} there")),
    }
}

fn at_most<T: PartialOrd + std::fmt::Display>(
    whose: impl std::fmt::Display,
    what: &str,
    count: T,
    bound: T,
) -> Result<(), String> {
    match count <= bound {
        true => Ok(()),
        false => Err(format!("{whose}: {what}: {count}, at most {bound}")),
    }
}
