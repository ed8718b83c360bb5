//! What the program itself got wrong, and how to see it again.

use std::env;

use super::{Exit, complain};

/// Says that what happened is this program's fault, and the command that makes it happen again.
pub(super) fn tell() -> Exit {
    // Nothing but what was typed has everything that led to it: settings, files, flags.
    let typed = typed(env::args().skip(1));
    complain(format_args!("this is a fault of dormouse; it happens again by: dormouse {typed}"));
    Exit::Broken
}

/// Arguments as a shell takes them.
fn typed(arguments: impl Iterator<Item = String>) -> String {
    let is_plain = |character: char| {
        character.is_alphanumeric() || matches!(character, '-' | '_' | '.' | '/' | '=' | ':' | ',')
    };
    let quoted = |argument: String| match !argument.is_empty() && argument.chars().all(is_plain) {
        true => argument,
        false => format!("'{}'", argument.replace('\'', r"'\''")),
    };
    arguments.map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};

    use dormouse_sim::run::Broken;

    use super::*;
    use crate::sim::{simulate, until_done};

    #[test]
    fn a_command_is_shown_as_a_shell_takes_it() {
        let typed = |arguments: &[&str]| typed(arguments.iter().map(|it| (*it).to_owned()));
        let plain = ["sim", "run", "a/b.toml", "--seed", "1..3", "--set=a.b/c=30s"];
        assert_eq!(typed(&plain), plain.join(" "));
        assert_eq!(typed(&["--assert", "wait.p99 <= 1s", ""]), "--assert 'wait.p99 <= 1s' ''");
        assert_eq!(typed(&["it's"]), r"'it'\''s'");
    }

    /// Says to a test that it is the process of its own that it began.
    const BEGUN: &str = "DORMOUSE_TEST_BEGUN";

    /// Has this program do some work as one of its commands, in a process of its own: the test of
    /// that name, begun once more.
    fn process(test: &str, work: fn() -> Exit) -> Output {
        if env::var_os(BEGUN).is_some() {
            let exit = until_done(work).unwrap();
            #[allow(clippy::disallowed_methods, reason = "a test has no other way to end so")]
            std::process::exit(exit as i32);
        }
        let this = env::current_exe().unwrap();
        let test = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
        let arguments = ["--exact", "--nocapture", &test];
        Command::new(this).args(arguments).env(BEGUN, "1").output().unwrap()
    }

    #[track_caller]
    fn is_told(output: &Output, what: &str) {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(70), "{stderr}");
        let again = "this is a fault of dormouse; it happens again by: dormouse --exact ";
        assert!(stderr.contains(what) && stderr.contains(again), "{stderr}");
    }

    #[test]
    fn a_broken_rule_ends_the_process_with_70_and_the_command_that_breaks_it_again() {
        let work = || {
            let what = "api: a wake is lost, at 3s".to_owned();
            simulate::is_broken(&Broken::Invariant { policy: "now".to_owned(), seed: 1, what })
        };
        let test = "a_broken_rule_ends_the_process_with_70_and_the_command_that_breaks_it_again";
        is_told(&process(test, work), "dormouse: policy now, seed 1: api: a wake is lost, at 3s");
    }

    #[test]
    fn a_panic_ends_the_process_with_70_and_the_command_that_panics_again() {
        let test = "a_panic_ends_the_process_with_70_and_the_command_that_panics_again";
        is_told(&process(test, || panic!("nobody expected it")), "nobody expected it");
    }
}
