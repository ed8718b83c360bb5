//! The link between activator and autoscaler fails; the data path does not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dormouse_tests::link_proxy::LinkProxy;
use dormouse_tests::manifest::Function;
use dormouse_tests::up::Start;

/// Longer than the window: were a second without a report counted as zero, the function would go.
const OUTAGE: Duration = Duration::from_secs(10);

#[test]
fn a_link_cut_for_ten_seconds_under_load_stops_nothing() {
    outage(LinkProxy::cut);
}

#[test]
fn a_link_that_swallows_everything_for_ten_seconds_under_load_stops_nothing() {
    outage(LinkProxy::freeze);
}

fn outage(begin: impl Fn(&LinkProxy)) {
    let proxy = LinkProxy::new();
    let warm = Function::demo("warm", &["--work", "50ms"])
        .annotated("autoscaling.knative.dev/target", "2")
        .annotated("autoscaling.knative.dev/target-utilization-percentage", "100");
    let cold = Function::demo("cold", &[]);
    let up = Start::new().functions(&[&warm, &cold]).through(&proxy).up();
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Whatever fails below, the load ends with it.
        let _end_of_load = SetOnDrop(&enough);
        let (up, enough) = (&up, &enough);
        for _ in 0..4 {
            scope.spawn(move || {
                while !enough.load(Ordering::Relaxed) {
                    let answer = up.get("warm", "/");
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            });
        }
        up.wait("warm", "scaled out", |now| now["ready"] == 2);
        begin(&proxy);
        let cut = Instant::now();
        let held = scope.spawn(move || up.get("cold", "/"));
        while cut.elapsed() < OUTAGE {
            assert_eq!(up.get("warm", "/").status, 200);
        }
        let now = up.now("warm").unwrap();
        assert!(now["ready"].as_u64() >= Some(2), "scaled down blindly: {now}");
        assert!(now["desired"].as_u64() >= Some(2), "scaled down blindly: {now}");
        assert_eq!(up.now("cold").unwrap()["ready"], 0, "woken without a link");
        proxy.heal();
        assert_eq!(held.join().unwrap().status, 200);
        up.wait("warm", "known to be busy again", |now| now["in_flight"].as_u64() > Some(0));
    });
    let mut scaled_out = false;
    for change in up.account("warm") {
        let desired = change["desired"].as_u64();
        scaled_out |= desired >= Some(2);
        assert!(!scaled_out || desired >= Some(2), "scaled down: {change}");
    }
    up.wait_asleep("warm");
    up.wait_asleep("cold");
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
