//! What is proven on a real Kubernetes cluster.

#![allow(clippy::unwrap_used, reason = "every line of this program is a test")]

use std::path::Path;
use std::process::ExitCode;

use dormouse_tests::cluster::suite::{self, Company, Test};

mod functions;
mod harness;
mod crash;
mod whole;
mod slices;
mod people;
mod changes;
mod mishaps;
mod tls;
mod installing;
mod faults;

const TESTS: &[(&str, Company, Test)] = &[
    ("a_pod_answers_by_its_address", Company::Welcome, harness::a_pod_answers_by_its_address),
    ("a_service_leads_to_its_pods", Company::Welcome, harness::a_service_leads_to_its_pods),
    (
        "a_deployment_scales_from_zero_and_back",
        Company::Welcome,
        harness::a_deployment_scales_from_zero_and_back,
    ),
    (
        "kubectl_speaks_for_the_administrator",
        Company::Welcome,
        harness::kubectl_speaks_for_the_administrator,
    ),
    (
        "the_api_proxy_delays_fails_and_cuts",
        Company::Welcome,
        harness::the_api_proxy_delays_fails_and_cuts,
    ),
    (
        "the_api_server_keeps_the_contract_of_the_fake",
        Company::Alone,
        harness::the_api_server_keeps_the_contract_of_the_fake,
    ),
    (
        "the_api_server_forgets_nothing_when_killed",
        Company::Alone,
        harness::the_api_server_forgets_nothing_when_killed,
    ),
    ("frozen_controllers_make_no_pods", Company::Alone, harness::frozen_controllers_make_no_pods),
    (
        "pods_outlive_containerd_and_kubelet",
        Company::Alone,
        harness::pods_outlive_containerd_and_kubelet,
    ),
    ("a_second_node_comes_and_dies", Company::Alone, harness::a_second_node_comes_and_dies),
    ("a_killed_run_leaves_nothing", Company::Alone, crash::a_killed_run_leaves_nothing),
    ("the_next_run_sweeps_what_is_left", Company::Alone, crash::the_next_run_sweeps_what_is_left),
    (
        "a_test_that_hangs_ends_the_run_by_its_name",
        Company::Alone,
        crash::a_test_that_hangs_ends_the_run_by_its_name,
    ),
    ("a_request_at_zero_wakes_a_pod", Company::Welcome, whole::a_request_at_zero_wakes_a_pod),
    (
        "a_pod_of_two_containers_is_used_once_the_kubelet_calls_it_ready",
        Company::Welcome,
        whole::a_pod_of_two_containers_is_used_once_the_kubelet_calls_it_ready,
    ),
    (
        "a_service_that_names_its_target_wakes_it",
        Company::Welcome,
        slices::a_service_that_names_its_target_wakes_it,
    ),
    (
        "twenty_functions_come_and_go_ten_times",
        Company::Alone,
        whole::twenty_functions_come_and_go_ten_times,
    ),
    (
        "a_burst_scales_out_and_in_under_load",
        Company::Welcome,
        whole::a_burst_scales_out_and_in_under_load,
    ),
    (
        "a_rolling_update_under_load_loses_nothing",
        Company::Welcome,
        whole::a_rolling_update_under_load_loses_nothing,
    ),
    (
        "a_persons_zero_stays_until_kubectl_scales_up",
        Company::Welcome,
        people::a_persons_zero_stays_until_kubectl_scales_up,
    ),
    (
        "what_an_autoscaler_of_kubernetes_scales_is_left_alone",
        Company::Welcome,
        people::what_an_autoscaler_of_kubernetes_scales_is_left_alone,
    ),
    (
        "the_admission_policy_lets_the_autoscaler_do_its_own_work_only",
        Company::Welcome,
        people::the_admission_policy_lets_the_autoscaler_do_its_own_work_only,
    ),
    (
        "people_ask_the_cluster_by_the_binary",
        Company::Alone,
        people::people_ask_the_cluster_by_the_binary,
    ),
    (
        "a_manifest_that_is_applied_again_puts_nobody_out",
        Company::Welcome,
        people::a_manifest_that_is_applied_again_puts_nobody_out,
    ),
    (
        "who_applies_replicas_on_the_server_is_refused_and_without_them_is_not",
        Company::Welcome,
        people::who_applies_replicas_on_the_server_is_refused_and_without_them_is_not,
    ),
    (
        "a_paused_deployment_wakes_by_the_template_that_holds",
        Company::Welcome,
        changes::a_paused_deployment_wakes_by_the_template_that_holds,
    ),
    (
        "a_rollout_that_hangs_leaves_the_old_pods_serving",
        Company::Welcome,
        changes::a_rollout_that_hangs_leaves_the_old_pods_serving,
    ),
    (
        "who_waits_for_what_is_deleted_is_told_at_once",
        Company::Welcome,
        changes::who_waits_for_what_is_deleted_is_told_at_once,
    ),
    (
        "functions_that_cannot_start_are_refused_by_the_reason",
        Company::Welcome,
        mishaps::functions_that_cannot_start_are_refused_by_the_reason,
    ),
    (
        "pods_deleted_and_evicted_under_load_lose_nothing",
        Company::Welcome,
        mishaps::pods_deleted_and_evicted_under_load_lose_nothing,
    ),
    (
        "a_frozen_pod_fails_its_own_requests_alone_and_in_time",
        Company::Welcome,
        mishaps::a_frozen_pod_fails_its_own_requests_alone_and_in_time,
    ),
    (
        "a_node_that_dies_takes_only_what_was_under_way_there",
        Company::Alone,
        mishaps::a_node_that_dies_takes_only_what_was_under_way_there,
    ),
    (
        "a_service_of_its_own_follows_the_activators_under_load",
        Company::Alone,
        slices::a_service_of_its_own_follows_the_activators_under_load,
    ),
    (
        "the_link_is_under_tls_given_a_certificate",
        Company::Alone,
        tls::the_link_is_under_tls_given_a_certificate,
    ),
    (
        "helm_upgrades_under_load_and_takes_everything_away",
        Company::Alone,
        people::helm_upgrades_under_load_and_takes_everything_away,
    ),
    (
        "the_plain_manifests_install_it_and_take_it_away",
        Company::Alone,
        installing::the_plain_manifests_install_it_and_take_it_away,
    ),
    (
        "named_namespaces_take_no_right_in_any_other",
        Company::Alone,
        installing::named_namespaces_take_no_right_in_any_other,
    ),
    (
        "requests_outlive_the_autoscaler_and_every_part_of_kubernetes",
        Company::Alone,
        faults::requests_outlive_the_autoscaler_and_every_part_of_kubernetes,
    ),
    (
        "a_killed_activator_takes_only_its_own_connections",
        Company::Alone,
        faults::a_killed_activator_takes_only_its_own_connections,
    ),
    (
        "requests_outlive_an_api_server_that_is_away",
        Company::Alone,
        faults::requests_outlive_an_api_server_that_is_away,
    ),
];

fn main() -> ExitCode {
    let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster-logs");
    if std::env::var_os(crash::DOOMED).is_some() {
        return crash::run_doomed(&logs.with_file_name("cluster-logs-doomed"));
    }
    if std::env::var_os(crash::HANGING).is_some() {
        return crash::run_hanging(&logs.with_file_name("cluster-logs-hanging"));
    }
    suite::run(&logs, TESTS)
}
