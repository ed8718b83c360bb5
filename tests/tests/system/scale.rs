//! Load makes a function scale out, never past its bound.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use dormouse_tests::manifest::Function;
use dormouse_tests::up::{Start, pods};

const MAX_SCALE: u64 = 3;

#[test]
fn a_burst_scales_out_and_max_scale_is_held() {
    let busy = Function::demo("busy", &["--work", "100ms"])
        .annotated("autoscaling.knative.dev/target", "1")
        .annotated("autoscaling.knative.dev/max-scale", &MAX_SCALE.to_string());
    let up = Start::new().functions(&[&busy]).up();
    let enough = AtomicBool::new(false);
    let answered_by = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    let answer = up.get("busy", "/");
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    // "Hello from REPLICA, request N"
                    let replica = answer.text().split(',').next().unwrap().to_owned();
                    answered_by.lock().unwrap().insert(replica);
                }
            });
        }
        // Twelve in flight ask for twelve replicas; three is all they get.
        let full = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            up.wait("busy", "at max-scale, each replica in use", |now| {
                now["ready"] == MAX_SCALE && answered_by.lock().unwrap().len() == 3
            });
        }));
        enough.store(true, Ordering::Relaxed);
        full.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    for change in up.account("busy") {
        let desired = change["desired"].as_u64().unwrap_or_default();
        assert!(desired <= MAX_SCALE, "{change}");
        assert!(pods(&change) <= 3, "{change}");
    }
    up.wait_asleep("busy");
}

#[test]
fn min_scale_keeps_an_idle_function_awake() {
    let kept = Function::demo("kept", &[]).annotated("autoscaling.knative.dev/min-scale", "1");
    let idle = Function::demo("idle", &[]);
    let up = Start::new().functions(&[&kept, &idle]).up();
    assert_eq!(up.get("idle", "/").status, 200);
    up.wait("kept", "ready", |now| now["ready"] == 1);
    // The neighbour of the same age goes to sleep meanwhile.
    up.wait_asleep_again("idle");
    up.wait("kept", "ready", |now| now["ready"] == 1);
}
