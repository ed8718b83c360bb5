//! What is typed wrongly is said at once and starts nothing; what is asked is explained.

use std::process::{Command, Output};

use dormouse_tests::manifest::Function;
use dormouse_tests::program;
use dormouse_tests::up::Start;

fn dormouse(arguments: &[&str]) -> Output {
    Command::new(program::dormouse()).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_shows_examples() {
    for arguments in [&["--help"][..], &["up", "--help"], &["explain", "--help"]] {
        let output = dormouse(arguments);
        assert!(output.status.success());
        let help = text(&output.stdout);
        assert!(help.contains("Examples:\n  dormouse "), "{help}");
    }
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = dormouse(&["completions", shell]);
        assert!(output.status.success());
        assert!(text(&output.stdout).contains("dormouse"));
    }
}

#[test]
fn a_misspelt_flag_or_command_exits_2_and_names_the_right_one() {
    for (arguments, right) in [
        (&["up", "-f", "app.yaml", "--gatway", "127.0.0.1:0"][..], "--gateway"),
        (&["explian", "hello"], "explain"),
    ] {
        let output = dormouse(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(right), "{}", text(&output.stderr));
    }
}

#[test]
fn every_bad_value_is_named_in_one_run_that_exits_2() {
    let output = Start::new()
        .functions(&[&Function::fixture("hello", &["mirror"])])
        .argument("--workers", "one")
        .argument("--drain-timeout", "soon")
        .argument("--link-dial", "nowhere")
        .output();
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    for value in ["one", "soon", "nowhere"] {
        assert!(said.contains(value), "{value} is not named: {said}");
    }
}

#[test]
fn an_unknown_function_is_answered_with_the_nearest_name() {
    let up = Start::new().functions(&[&Function::fixture("hello", &["mirror"])]).up();
    let output = up.ask(&["explain", "helo"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("hello"), "{}", text(&output.stderr));
    let output = up.ask(&["explain", "default/hello"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn status_without_a_running_one_says_so() {
    let empty = program::Scratch::new();
    let output = Command::new(program::dormouse())
        .arg("status")
        .env("XDG_RUNTIME_DIR", empty.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("dormouse up"), "{}", text(&output.stderr));
}
