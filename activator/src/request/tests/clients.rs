//! What clients send and read, and how: none of it reaches a pod as something else, and nobody who
//! reads nothing holds on to anything for ever.

use super::*;

/// The next connection to a pod.
async fn accept(world: &World) -> mpsc::UnboundedReceiver<DuplexStream> {
    let (sender, connections) = mpsc::unbounded_channel();
    *world.network.pod.borrow_mut() = Some(sender);
    connections
}

/// What a pod reads until that comes.
async fn read_until(stream: &mut DuplexStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        read.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(read).unwrap().to_ascii_lowercase()
}

#[tokio::test(start_paused = true)]
async fn a_chunked_body_reaches_the_pod_whatever_the_method() {
    LocalSet::new()
        .run_until(async {
            for method in ["GET", "HEAD", "DELETE", "POST"] {
                let world = World::new(&entry(vec![ready_pod()]));
                let mut pods = accept(&world).await;
                let mut client = world.connect();
                let request = format!(
                    "{method} / HTTP/1.1\r\nhost: hello.test\r\ntransfer-encoding: chunked\r\n\r\n\
                     5\r\nquery\r\n0\r\n\r\n"
                );
                client.write_all(request.as_bytes()).await.unwrap();
                let mut pod = pods.recv().await.unwrap();
                let came = read_until(&mut pod, "0\r\n\r\n").await;
                assert!(came.contains("\r\ntransfer-encoding: chunked\r\n"), "{came}");
                assert!(came.contains("\r\n5\r\nquery\r\n"), "{came}");
                assert_eq!(came.matches("transfer-encoding").count(), 1, "{came}");
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_two_lengths_is_as_long_as_its_chunks() {
    LocalSet::new()
        .run_until(async {
            let world = World::new(&entry(vec![ready_pod()]));
            world.pod(
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n\
                 b\r\nhello world\r\n0\r\n\r\n",
            );
            let mut client = world.connect();
            client.write_all(GET).await.unwrap();
            let answer = read_until(&mut client, "0\r\n\r\n").await;
            assert!(answer.contains("b\r\nhello world\r\n"), "{answer}");
            assert!(!answer.contains("content-length"), "{answer}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_cut_at_the_request_timeout() {
    LocalSet::new()
        .run_until(async {
            let world = World::new(&entry(vec![ready_pod()]));
            let mut pods = accept(&world).await;
            let mut client = world.connect();
            client.write_all(GET).await.unwrap();
            let mut pod = pods.recv().await.unwrap();
            read_head(&mut pod).await.unwrap();
            let began = Instant::now();
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 4000000\r\n\r\n";
            pod.write_all(head.as_bytes()).await.unwrap();
            // More than all buffers on the way hold.
            let body = vec![b'x'; 4_000_000];
            let cut = tokio::time::timeout(Duration::from_secs(3_600), pod.write_all(&body)).await;
            assert!(cut.expect("it does not wait for ever").is_err());
            assert_eq!(began.elapsed().as_secs(), 30);
            assert_eq!(world.counted().in_flight, 0);
            let mut came = Vec::new();
            client.read_to_end(&mut came).await.unwrap();
            assert!(came.len() < 4_000_000, "{}", came.len());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_gets_all_before_the_request_timeout() {
    LocalSet::new()
        .run_until(async {
            let world = World::new(&entry(vec![ready_pod()]));
            let mut pods = accept(&world).await;
            let mut client = world.connect();
            for _ in 0..2 {
                client.write_all(GET).await.unwrap();
                let mut pod = match pods.try_recv() {
                    Ok(pod) => pod,
                    Err(_) => pods.recv().await.unwrap(),
                };
                read_head(&mut pod).await.unwrap();
                tokio::task::spawn_local(async move {
                    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\
                                content-length: 1000000\r\n\r\n";
                    pod.write_all(head.as_bytes()).await.unwrap();
                    pod.write_all(&vec![b'x'; 1_000_000]).await.unwrap();
                });
                head_of_answer(&mut client).await;
                // Twenty seconds for each: past the first one's deadline all in all.
                let mut part = vec![0; 100_000];
                for _ in 0..10 {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    client.read_exact(&mut part).await.unwrap();
                }
            }
            assert_eq!(world.counted().in_flight, 0);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_came_before_the_end_is_answered_and_a_quiet_connection_closed() {
    LocalSet::new()
        .run_until(async {
            let world = World::new(&entry(vec![ready_pod()]));
            world.pod(OK);
            world.workers[0].close();
            let mut unread = world.connect_by(0, Entrance::Gateway, Look::Unread);
            unread.write_all(GET).await.unwrap();
            let mut answer = String::new();
            unread.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(answer.contains("connection: close") && answer.ends_with("ok"), "{answer}");
            let mut quiet = world.connect();
            assert_eq!(quiet.read(&mut [0]).await.unwrap(), 0);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn who_names_no_host_is_given_that_of_the_service() {
    LocalSet::new()
        .run_until(async {
            let world = World::new(&entry(vec![ready_pod()]));
            let mut pods = accept(&world).await;
            let own = Entrance::Endpoint("default/hello:80".into());
            let mut client = world.connect_by(0, own, Look::Quiet);
            client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
            let mut pod = pods.recv().await.unwrap();
            let came = read_until(&mut pod, "\r\n\r\n").await;
            assert!(came.starts_with("get / http/1.1\r\n"), "{came}");
            assert!(came.contains("\r\nhost: hello.default\r\n"), "{came}");
            assert!(!came.contains("x-forwarded-host"), "{came}");
        })
        .await;
}
