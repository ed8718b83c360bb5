//! Bounds, fairness and concurrency limits, as clients and pods see them.

use dormouse_policy::admission::Amount;

use super::*;
use crate::control::table::Waits;

/// A pod that the test answers for, request by request.
struct Desk(mpsc::UnboundedReceiver<(String, DuplexStream)>);

impl Desk {
    /// Takes every request that pods of `world` get from now on.
    fn open(world: &World) -> Self {
        let (sender, mut connections) = mpsc::unbounded_channel::<DuplexStream>();
        let (requests, desk) = mpsc::unbounded_channel();
        *world.network.pod.borrow_mut() = Some(sender);
        tokio::task::spawn_local(async move {
            while let Some(mut stream) = connections.recv().await {
                let requests = requests.clone();
                tokio::task::spawn_local(async move {
                    if let Some(head) = read_head(&mut stream).await {
                        let target = head.split(' ').nth(1).unwrap().to_owned();
                        requests.send((target, stream)).unwrap();
                    }
                });
            }
        });
        Self(desk)
    }

    /// The next request that a pod gets.
    async fn next(&mut self) -> (String, DuplexStream) {
        let next = tokio::time::timeout(Duration::from_secs(3_600), self.0.recv()).await;
        next.expect("a pod gets a request").unwrap()
    }

    /// Lets everything happen that can, and demands that no pod got a request by it.
    async fn stays_quiet(&mut self) {
        settle().await;
        assert!(self.0.try_recv().is_err(), "a request beyond the limit");
    }
}

/// Lets everything happen that can without time passing.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn answer(stream: &mut DuplexStream) {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    stream.write_all(head.as_bytes()).await.unwrap();
}

fn limited(container_concurrency: u32, pods: Vec<Pod>) -> Entry {
    Entry { container_concurrency, ..entry(pods) }
}

fn pod(name: &str) -> Pod {
    Pod { name: name.into(), ..ready_pod() }
}

async fn send(world: &World, worker: usize, target: &str) -> DuplexStream {
    let mut client = world.connect_to(worker);
    let request = format!("GET {target} HTTP/1.1\r\nhost: hello.test\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    settle().await;
    client
}

#[tokio::test(start_paused = true)]
async fn a_limit_holds_across_workers_and_slots_go_to_the_oldest() {
    LocalSet::new()
        .run_until(async {
            let world = World::with_workers(2, &limited(2, vec![pod("a"), pod("b")]));
            let mut desk = Desk::open(&world);
            let mut clients = Vec::new();
            for number in 0..9 {
                clients.push(send(&world, number % 2, &format!("/{number}")).await);
            }
            let mut open = Vec::new();
            for number in 0..4 {
                let (target, stream) = desk.next().await;
                assert_eq!(target, format!("/{number}"));
                open.push(stream);
            }
            desk.stays_quiet().await;
            assert_eq!(world.counted().held, 5);
            for pod in &world.function().view.load().pods {
                assert_eq!(pod.slots.taken(), 2, "spread evenly");
            }
            for number in 4..9 {
                answer(&mut open.remove(1)).await;
                let (target, stream) = desk.next().await;
                assert_eq!(target, format!("/{number}"), "first in, first out, on both workers");
                desk.stays_quiet().await;
                open.push(stream);
            }
            for mut stream in open {
                answer(&mut stream).await;
            }
            for mut client in clients {
                let head = head_of_answer(&mut client).await;
                assert!(head.starts_with("http/1.1 200"), "{head}");
            }
            settle().await;
            assert!(world.function().view.load().pods.iter().all(|pod| pod.is_empty()));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_under_a_limit_frees_its_place_or_its_slot() {
    LocalSet::new()
        .run_until(async {
            let world = World::with_workers(2, &limited(1, vec![pod("a")]));
            let mut desk = Desk::open(&world);
            let sent = send(&world, 0, "/sent").await;
            let held = send(&world, 1, "/leaves").await;
            let _stays = send(&world, 0, "/stays").await;
            let (target, _stream) = desk.next().await;
            assert_eq!(target, "/sent");
            drop(held);
            settle().await;
            assert_eq!(world.counted().held, 1);
            drop(sent);
            assert_eq!(desk.next().await.0, "/stays", "the slot goes to whoever still waits");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_not_delivered_under_a_limit_returns_to_its_place() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::with_workers(2, &limited(1, vec![pod("a")]));
            // Nobody listens: the pod is in doubt at once.
            let _first = send(&world, 0, "/first").await;
            let _second = send(&world, 1, "/second").await;
            assert_eq!((world.counted().held, world.network.connects.get()), (2, 1));
            assert!(world.function().view.load().pods[0].is_empty());
            let mut desk = Desk::open(&world);
            world.change(&limited(1, vec![pod("a"), pod("b")]));
            let (target, _stream) = desk.next().await;
            assert_eq!(target, "/first");
            desk.stays_quiet().await;
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_not_delivered_goes_to_another_pod_at_once() {
    LocalSet::new()
        .run_until(async {
            for container_concurrency in [0, 1] {
                let pods = vec![pod("a"), pod("b")];
                let world = World::with_workers(1, &limited(container_concurrency, pods));
                let mut desk = Desk::open(&world);
                world.network.refusals.set(1);
                let began = Instant::now();
                let _client = send(&world, 0, "/").await;
                let (_, _stream) = desk.next().await;
                assert_eq!(began.elapsed(), Duration::ZERO);
                assert_eq!((world.counted().held, world.network.connects.get()), (0, 2));
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_while_others_wait_their_turn_is_told_how_long_that_takes() {
    LocalSet::new()
        .run_until(async {
            let full = Entry { queue_depth: 20, ..limited(1, vec![pod("a")]) };
            let world = World::with_workers(1, &full);
            let mut desk = Desk::open(&world);
            let mut clients = Vec::new();
            for _ in 0..21 {
                clients.push(send(&world, 0, "/").await);
            }
            let (mut told, mut stream) = (Vec::new(), desk.next().await.1);
            for second in 0..4 {
                // One answer a second, and one more request for the place.
                let tended = world.table.tended(&hello()).unwrap();
                tended.watch_releases(Waits::ForTheirTurn, second * 1_000_000);
                told.push(retry_after(send(&world, 0, "/").await).await);
                answer(&mut stream).await;
                stream = desk.next().await.1;
                clients.push(send(&world, 0, "/").await);
            }
            assert!((1..=2).contains(&told[0]), "nothing is known yet: {told:?}");
            assert!(told[1..].iter().all(|s| (20..=30).contains(s)), "20 at 1 a second: {told:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_during_a_wake_is_told_what_is_left_of_the_learnt_start_up_time() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::new(&Entry { queue_depth: 1, ..entry(vec![]) });
            let _held = send(&world, 0, "/").await;
            // 0 would mean that there is no wake.
            tokio::time::advance(Duration::from_millis(1)).await;
            world.function().wake_begins(world.clock.now_us());
            let unknown = retry_after(send(&world, 0, "/").await).await;
            assert!((1..=2).contains(&unknown), "{unknown}");
            let mut start_ups = StartUps::default();
            start_ups.record(8_000_000);
            world.change(&Entry { queue_depth: 1, start_ups, ..entry(vec![]) });
            for (later_s, left_s) in [(0, 8_u64), (4, 4), (4, 1), (1, 1)] {
                tokio::time::advance(Duration::from_secs(later_s)).await;
                let told = retry_after(send(&world, 0, "/").await).await;
                let with_jitter = left_s..=left_s + left_s.div_ceil(2);
                assert!(with_jitter.contains(&told), "{told} for {left_s} s");
            }
        })
        .await;
}

async fn retry_after(mut client: DuplexStream) -> u64 {
    let head = head_of_answer(&mut client).await;
    let (_, after) = head.split_once("retry-after: ").unwrap();
    after.lines().next().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_held_request_under_a_limit_ends_at_its_deadline() {
    LocalSet::new()
        .run_until(async {
            let world = World::with_workers(2, &limited(1, vec![pod("a")]));
            let _desk = Desk::open(&world);
            let _sent = send(&world, 0, "/sent").await;
            let began = Instant::now();
            let mut held = send(&world, 1, "/held").await;
            let head = head_of_answer(&mut held).await;
            assert!(head.starts_with("http/1.1 504"), "{head}");
            assert_eq!(began.elapsed().as_secs(), 10);
            assert_eq!(world.function().bound.taken(), Amount::default());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_lifted_or_set_forgets_nobody() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::with_workers(2, &limited(1, vec![pod("a")]));
            let mut desk = Desk::open(&world);
            let mut clients = Vec::new();
            for number in 0..4 {
                clients.push(send(&world, number % 2, "/limited").await);
            }
            let mut streams = vec![desk.next().await];
            desk.stays_quiet().await;
            world.change(&limited(0, vec![pod("a")]));
            for _ in 0..3 {
                streams.push(desk.next().await);
            }
            world.change(&limited(0, vec![]));
            for worker in 0..2 {
                clients.push(send(&world, worker, "/free").await);
            }
            world.change(&limited(1, vec![pod("b")]));
            let (target, mut stream) = desk.next().await;
            assert_eq!(target, "/free");
            desk.stays_quiet().await;
            answer(&mut stream).await;
            settle().await;
            // As each second while somebody is held.
            world.look();
            assert_eq!(desk.next().await.0, "/free");
        })
        .await;
}

/// A GET with so many bytes of head, about.
async fn send_large(world: &World, host: &str, bytes: usize) -> DuplexStream {
    let mut client = world.connect();
    let filler = "x".repeat(bytes);
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nx-filler: {filler}\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    settle().await;
    client
}

async fn refused(client: &mut DuplexStream, slug: &str) {
    let head = head_of_answer(client).await;
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert!(head.contains("retry-after: "), "{head}");
    let mut body = Vec::new();
    while body.last() != Some(&b'\n') {
        body.push(client.read_u8().await.unwrap());
    }
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let problem = problem["type"].as_str().unwrap();
    assert!(problem.ends_with(slug), "{problem}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_full_by_bytes_sheds_and_says_so_while_the_others_stay() {
    LocalSet::new()
        .run_until(async {
            // Half of 64 KiB for one function.
            let world = World::new(&entry(vec![]));
            let mut clients = Vec::new();
            for _ in 0..3 {
                clients.push(send_large(&world, "hello.test", 10_000).await);
            }
            let taken = world.function().bound.taken();
            assert_eq!(taken.requests, 3);
            assert!((30_000..31_000).contains(&taken.bytes), "{taken:?}");
            refused(&mut send_large(&world, "hello.test", 10_000).await, "/queue-bytes-full").await;
            clients.push(send_large(&world, "hello.test", 10).await);
            assert_eq!(world.counted().held, 4, "a small one still finds room");
            drop(clients);
            settle().await;
            assert_eq!(world.function().bound.taken(), Amount::default());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_held_upload_counts_what_was_read_of_it_and_a_sent_one_nothing() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::new(&entry(vec![ready_pod()]));
            let mut desk = Desk::open(&world);
            let mut client = world.connect();
            let head = |bytes: usize| {
                format!("POST / HTTP/1.1\r\nhost: hello.test\r\ncontent-length: {bytes}\r\n\r\n")
            };
            let body = |bytes: usize| "x".repeat(bytes);
            client.write_all(head(3_000).as_bytes()).await.unwrap();
            let (_, mut stream) = desk.next().await;
            client.write_all(body(3_000).as_bytes()).await.unwrap();
            settle().await;
            answer(&mut stream).await;
            head_of_answer(&mut client).await;
            client.read_exact(&mut [0; 2]).await.unwrap();
            world.change(&entry(vec![]));
            client.write_all((head(2_000) + &body(2_000)).as_bytes()).await.unwrap();
            settle().await;
            let taken = world.function().bound.taken();
            assert_eq!(taken.requests, 1);
            assert!((2_000..2_100).contains(&taken.bytes), "{taken:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn one_function_at_the_bound_for_all_leaves_another_its_share() {
    LocalSet::new()
        .run_until(async {
            let greedy = Entry { queue_depth: 1_000, ..entry(vec![]) };
            let mut world = World::new(&greedy);
            let mut other = Entry { function: FunctionName::new("default", "other"), ..greedy };
            other.endpoints[0].hosts = ["other.test".into()].into();
            other.endpoints[0].name = "default/other:80".into();
            world.table.update(&other, 0, &world.registry);
            assert!(world.table.publish_routes());
            let mut clients = Vec::new();
            for _ in 0..94 {
                clients.push(send_large(&world, "hello.test", 0).await);
            }
            assert_eq!(world.counted().held, 94, "of 100, 6 are the other's");
            refused(&mut send_large(&world, "hello.test", 0).await, "/activator-full").await;
            for _ in 0..6 {
                clients.push(send_large(&world, "other.test", 0).await);
            }
            let other = world.table.function(&other.function).unwrap();
            assert_eq!(other.bound.taken().requests, 6);
            refused(&mut send_large(&world, "other.test", 0).await, "/activator-full").await;
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn one_wake_is_asked_for_however_many_requests_wait_on_however_many_workers() {
    LocalSet::new()
        .run_until(async {
            for container_concurrency in [0, 1] {
                let mut world = World::with_workers(2, &limited(container_concurrency, vec![]));
                let mut clients = Vec::new();
                for number in 0..8 {
                    clients.push(send(&world, number % 2, "/").await);
                }
                assert_eq!(world.counted().held, 8);
                assert!(world.signals.try_recv().is_ok());
                assert!(world.signals.try_recv().is_err(), "told once until it is heard");
                // Heard; then the last one leaves, and one comes again.
                world.function().signalled.store(false, std::sync::atomic::Ordering::Release);
                clients.clear();
                settle().await;
                assert_eq!(world.counted().held, 0);
                assert!(world.signals.try_recv().is_ok(), "nobody waits any more");
                world.function().signalled.store(false, std::sync::atomic::Ordering::Release);
                let _again = send(&world, 1, "/").await;
                assert!(world.signals.try_recv().is_ok(), "and again");
            }
        })
        .await;
}
