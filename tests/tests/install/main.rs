//! What is installed: the chart, what it renders to, the plain manifests made from it, the image.

#![allow(clippy::unwrap_used, reason = "every line of this program is a test")]

use std::process::ExitCode;

use dormouse_tests::helm;
use libtest_mimic::{Arguments, Completion, Trial};

mod chart;
mod image;
mod values;

/// A test, and whether it needs Helm.
type Test = (&'static str, Needs, fn());

#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Helm,
    Nothing,
}

const TESTS: &[Test] = &[
    ("the_chart_has_no_fault", Needs::Helm, chart::the_chart_has_no_fault),
    ("each_case_renders_as_before", Needs::Helm, chart::each_case_renders_as_before),
    ("the_plain_manifests_are_the_charts", Needs::Helm, chart::the_plain_manifests_are_the_charts),
    ("alerts_look_at_what_there_is", Needs::Helm, chart::alerts_look_at_what_there_is),
    ("a_bad_value_is_named", Needs::Helm, chart::a_bad_value_is_named),
    (
        "a_release_that_no_service_can_be_named_after_is_refused",
        Needs::Helm,
        chart::a_release_that_no_service_can_be_named_after_is_refused,
    ),
    (
        "the_binary_takes_what_pods_are_told",
        Needs::Helm,
        chart::the_binary_takes_what_pods_are_told,
    ),
    (
        "users_and_groups_are_left_to_a_cluster_that_gives_them",
        Needs::Helm,
        chart::users_and_groups_are_left_to_a_cluster_that_gives_them,
    ),
    ("requests_need_no_range_of_ports", Needs::Helm, chart::requests_need_no_range_of_ports),
    ("nothing_has_more_rights_than_it_needs", Needs::Helm, chart::pods_are_confined),
    (
        "an_image_has_the_name_that_it_is_given",
        Needs::Nothing,
        image::it_has_the_name_that_it_is_given,
    ),
    ("every_value_has_a_rule", Needs::Nothing, values::every_value_has_a_rule),
    ("every_value_is_documented", Needs::Nothing, values::every_value_is_documented),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let threads = std::env::var("RUST_TEST_THREADS").ok().and_then(|it| it.parse().ok());
    arguments.test_threads = arguments.test_threads.or(threads);
    let trials = TESTS.iter().map(|&(name, needs, test)| {
        Trial::ignorable_test(name, move || {
            if needs == Needs::Helm
                && let Some(objection) = helm::objection()
            {
                return Ok(Completion::ignored_with(objection));
            }
            test();
            Ok(Completion::Completed)
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
