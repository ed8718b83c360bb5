//! What exactly a replica is run with: its environment, and `$(NAME)` replaced in its words.

use std::collections::BTreeMap;

use dormouse_policy::function::PodPort;

use super::identity::Identity;
use super::nanny::Order;
use crate::cluster::manifest::{Command, LocalFunction};

/// Runs a line of `dormouse.dev/local-command`.
const SHELL: &str = "/bin/sh";

/// The order for one replica.
pub(super) fn order(function: &LocalFunction, identity: &Identity) -> Order {
    let launch = &function.launch;
    let env = environment(function, identity);
    let (program, args) = match &launch.command {
        Command::Exec { program, args } => {
            let args = args.iter().map(|word| expand(word, &env));
            (program.clone(), args.collect())
        }
        // `$(…)` is the shell's own here.
        Command::Shell(line) => (SHELL.into(), vec!["-c".to_owned(), line.clone()]),
    };
    Order { program, args, env: env.into_iter().collect(), working_dir: launch.working_dir.clone() }
}

/// The name of the variable that holds the port at this index of the function's pod ports.
pub(super) fn port_variable(pod_ports: &[PodPort], index: usize) -> String {
    match pod_ports.get(index) {
        Some(port) if index > 0 => named_port_variable(port),
        _ => "PORT".to_owned(),
    }
}

/// `PORT_<NAME>`, or by number for a port without a name.
fn named_port_variable(port: &PodPort) -> String {
    if port.name.is_empty() {
        return format!("PORT_{}", port.number);
    }
    format!("PORT_{}", port.name.to_ascii_uppercase().replace('-', "_"))
}

/// The variables a replica gets beyond the inherited ones. The ports come first, for a manifest's
/// values to refer to, and cannot be overridden: they are where the replica will be looked for.
fn environment(function: &LocalFunction, identity: &Identity) -> BTreeMap<String, String> {
    let mut ports = BTreeMap::new();
    for (index, (pod_port, port)) in
        (function.function.pod_ports.iter().zip(&identity.ports)).enumerate()
    {
        if index == 0 {
            ports.insert("PORT".to_owned(), port.to_string());
        }
        ports.insert(named_port_variable(pod_port), port.to_string());
    }
    let mut env = ports.clone();
    env.insert("HOSTNAME".to_owned(), identity.hostname.clone());
    for (name, value) in &function.launch.env {
        if !ports.contains_key(name) {
            let value = expand(value, &env);
            env.insert(name.clone(), value);
        }
    }
    env
}

/// Replaces `$(NAME)` by the variable's value as Kubernetes does: one that is not set stays as it
/// is written, and `$$` stands for one `$`.
fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let reference = after
            .strip_prefix('(')
            .and_then(|inner| inner.split_once(')'))
            .and_then(|(name, after)| Some((env.get(name)?, after)));
        if let Some((value, after)) = reference {
            expanded.push_str(value);
            rest = after;
        } else {
            expanded.push('$');
            rest = after.strip_prefix('$').unwrap_or(after);
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_as_kubernetes_does() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        for (text, expected) in [
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$(B)", "$(B)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$(A", "$(A"),
            ("$A $", "$A $"),
            ("$(B)$(A)", "$(B)1"),
        ] {
            assert_eq!(expand(text, &env), expected, "{text}");
        }
    }

    #[test]
    fn a_port_is_named_by_its_name_or_else_by_its_number() {
        let port = |name: &str, number| PodPort { name: name.to_owned(), number };
        let ports = [port("http", 80), port("grpc-web", 81), port("", 82)];
        let names: Vec<_> = (0..3).map(|index| port_variable(&ports, index)).collect();
        assert_eq!(names, ["PORT", "PORT_GRPC_WEB", "PORT_82"]);
    }
}
