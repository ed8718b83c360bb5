//! At zero: requests are held, wake the function, are answered, each once.

use std::fs;
use std::path::Path;

use dormouse_tests::http::together;
use dormouse_tests::manifest::Function;
use dormouse_tests::up::Start;

const CLIENTS: usize = 60;
const ROUNDS: usize = 3;

#[test]
fn sixty_at_zero_are_answered_once_each_and_zero_comes_back_three_times() {
    let start = Start::new();
    let received = start.folder().join("received");
    let hello = Function::demo(
        "hello",
        &["--start-delay", "500ms", "--record", &received.to_string_lossy()],
    );
    let up = start.functions(&[&hello]).up();
    up.wait_asleep("hello");
    for round in 0..ROUNDS {
        let answers = together(CLIENTS, |client| up.get("hello", &format!("/id/{round}-{client}")));
        for answer in &answers {
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let expected = (0..=round)
            .flat_map(|round| (0..CLIENTS).map(move |client| format!("{round}-{client}")));
        assert_eq!(sorted_lines(&received), sorted(expected));
        up.wait_asleep_again("hello");
    }
}

#[test]
fn nothing_is_forwarded_before_the_readiness_probe_succeeds() {
    let start = Start::new();
    let willing = start.folder().join("willing");
    let moody =
        Function::fixture("moody", &["moody", &willing.to_string_lossy()]).ready_at("/ready");
    let up = start.functions(&[&moody]).up();
    let answer = std::thread::scope(|scope| {
        let held = scope.spawn(|| up.get("moody", "/"));
        // The fixture answers 503 until the file is there; had one request been forwarded before,
        // its client would see that.
        up.wait("moody", "starting with one held", |now| {
            now["held"] == 1 && dormouse_tests::up::pods(now) == 1
        });
        fs::write(&willing, "").unwrap();
        held.join().unwrap()
    });
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

fn sorted_lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    sorted(text.lines().map(str::to_owned))
}
