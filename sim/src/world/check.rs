//! What holds after every event, counted anew from what is there.

use super::activator::Presence;
use super::engine::{Place, Sim};
use super::pod::Phase;
use super::setup::{Nodes, Policy};

/// The first rule that does not hold, in words.
pub(super) fn check(sim: &Sim<'_>) -> Result<(), String> {
    let counted = count(sim);
    sent(sim)?;
    for (at, counted) in counted.iter().enumerate() {
        if sim.functions[at].spec.policy != Policy::Floor {
            requests(sim, at, counted)?;
            pods(sim, at, counted)?;
            wakes(sim, at)?;
        }
    }
    match sim.setup.world.nodes {
        Some(nodes) => node_room(sim, nodes),
        None => Ok(()),
    }
}

/// What there is of a function.
#[derive(Clone, Copy, Default)]
struct Counted {
    inside: u32,
    held: u32,
    pods: u32,
    ready: u32,
}

/// Counts what there is, in one pass: worlds in trouble have thousands of requests.
fn count(sim: &Sim<'_>) -> Vec<Counted> {
    let mut counted = vec![Counted::default(); sim.functions.len()];
    for request in &sim.requests {
        let of = &mut counted[request.function as usize];
        of.inside += u32::from(request.place != Place::Free);
        of.held += u32::from(matches!(request.place, Place::Held(_)));
    }
    for pod in sim.pods.iter().filter(|pod| pod.phase != Phase::Gone) {
        let of = &mut counted[pod.function as usize];
        of.pods += u32::from(pod.phase != Phase::Pending);
        of.ready += u32::from(pod.ready);
    }
    counted
}

/// Nobody is lost or counted twice, and nobody is held beyond a bound.
fn requests(sim: &Sim<'_>, at: usize, counted: &Counted) -> Result<(), String> {
    let function = &sim.functions[at];
    let name = &function.spec.name;
    let (arrived, accounted) = function.ledger.balance();
    equal(name, "requests arrived and known of", arrived, accounted)?;
    equal(name, "requests inside", function.ledger.inside(), counted.inside)?;
    equal(name, "requests held", function.ledger.held(), counted.held)?;
    let mut admitted = 0;
    for activator in &sim.activators {
        let view = &activator.views[at];
        let held = activator.held(at) as u64;
        equal(name, "places taken", view.bound.taken().requests, held)?;
        let depth = u64::from(function.spec.settings.admission.queue_depth);
        at_most(name, "held", held, depth)?;
        admitted += held;
    }
    equal(name, "requests in all queues", admitted, u64::from(counted.held))
}

/// Pods are as the account has them.
fn pods(sim: &Sim<'_>, at: usize, counted: &Counted) -> Result<(), String> {
    let function = &sim.functions[at];
    let name = &function.spec.name;
    equal(name, "pods", function.ledger.pods(), counted.pods)?;
    equal(name, "ready pods", function.ledger.ready(), counted.ready)?;
    at_most(name, "pods that stay", function.pods.len(), function.replicas as usize)
}

/// What activators have sent to pods is there, within the slots, and goes to pods that listen.
fn sent(sim: &Sim<'_>) -> Result<(), String> {
    let mut sent = vec![0; sim.pods.len()];
    for activator in &sim.activators {
        for (view, function) in activator.views.iter().zip(&sim.functions) {
            let name = &function.spec.name;
            for known in &view.pods {
                sent[known.pod.at as usize] += known.requests;
                if view.limit > 0 {
                    at_most(name, "slots", known.slots.taken(), view.limit)?;
                }
                let phase = sim.pods[known.pod.at as usize].phase;
                let is_used = known.takes_requests() && activator.presence == Presence::There;
                if is_used && phase != Phase::Listening {
                    return Err(format!("{name}: requests are sent to a pod that is {phase:?}"));
                }
            }
        }
    }
    let pods = sim.pods.iter().zip(sent).filter(|(pod, _)| pod.phase != Phase::Gone);
    for (pod, sent) in pods {
        let name = &sim.functions[pod.function as usize].spec.name;
        at_most(name, "requests sent to a pod", sent, pod.requests)?;
    }
    Ok(())
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
        if !needs {
            continue;
        }
        let is_led = sim.leader.is_some() && activator.connection.is_some();
        let is_under_way = sim.frames.iter().next().is_some() || sim.is_pursued(at);
        if is_led && !is_under_way {
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
