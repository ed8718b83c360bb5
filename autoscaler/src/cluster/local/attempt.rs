//! One try at whether a replica is ready: a connection, or a GET and its answer's status.

use std::net::SocketAddr;
use std::time::Duration;

use dormouse_policy::function::{HttpGet, Probe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Most bytes of an answer read to find its status, which stands in the first line.
const STATUS_LINE_BYTES_MAX: usize = 256;

/// Most of an answer's rest read before the connection is closed, in bytes and in time. Closing on
/// unread bytes would reset the connection, and many a server prints a page about that.
const REST_BYTES_MAX: u64 = 10 * 1024;
const REST_WAIT: Duration = Duration::from_millis(100);

/// Why a replica is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No connection to the pod port at this index.
    NotListening(usize),
    /// It listens, and this is what came of the GET.
    Answer(String),
}

/// Tries once. `addresses` are the replica's, one per pod port.
pub(super) async fn attempt(
    probe: &Probe,
    addresses: &[SocketAddr],
    longest: Duration,
) -> Result<(), Refusal> {
    let pod_port = match probe {
        Probe::Http(get) => get.pod_port,
        Probe::Tcp { pod_port, .. } => *pod_port,
        // What cannot be tried from outside is taken to be ready when its first port is open.
        Probe::Connect | Probe::Reported => 0,
    };
    let refusal = Refusal::NotListening(pod_port);
    let Some(&address) = addresses.get(pod_port) else {
        return Err(refusal);
    };
    let Ok(Ok(stream)) = timeout(longest, TcpStream::connect(address)).await else {
        return Err(refusal);
    };
    let Probe::Http(get) = probe else {
        return Ok(());
    };
    let HttpGet { path, host, headers, .. } = &**get;
    let host = host.clone().unwrap_or_else(|| address.to_string());
    let request = request(path, &host, headers);
    match timeout(longest, status(stream, &request)).await {
        Ok(Some(200..400)) => Ok(()),
        Ok(Some(status)) => Err(Refusal::Answer(format!("GET {path} answers {status}"))),
        Ok(None) => Err(Refusal::Answer(format!("GET {path} has no HTTP/1.1 answer"))),
        Err(_) => Err(Refusal::Answer(format!("GET {path} is not answered in time"))),
    }
}

fn request(path: &str, host: &str, headers: &[(String, String)]) -> String {
    let mut request = format!("GET {path} HTTP/1.1\r\n");
    let given = |name: &str| headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
    let own = [("Host", host), ("User-Agent", "kube-probe/dormouse"), ("Accept", "*/*")];
    for (name, value) in own {
        if !given(name) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("Connection: close\r\n\r\n");
    request
}

/// The status of the answer; none if it is not HTTP/1.
async fn status(mut stream: TcpStream, request: &str) -> Option<u16> {
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    while !answer.contains(&b'\n') && answer.len() < STATUS_LINE_BYTES_MAX {
        if stream.read_buf(&mut answer).await.ok()? == 0 {
            break;
        }
    }
    let mut rest = stream.take(REST_BYTES_MAX);
    // The status stands, whatever becomes of the rest.
    (timeout(REST_WAIT, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await).ok();
    let line = std::str::from_utf8(answer.split(|&byte| byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    words.next().filter(|word| word.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// What comes of a GET answered so, and the request that was sent.
    async fn check(answer: &str) -> (Result<(), Refusal>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let get = HttpGet {
            pod_port: 1,
            path: "/ready".to_owned(),
            host: None,
            headers: vec![("user-agent".to_owned(), "me".to_owned())],
            timeout_ms: 1,
        };
        let probe = Probe::Http(get.into());
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await.unwrap();
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            // Read to the end: a reset instead of it would be an error here.
            stream.shutdown().await.unwrap();
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            String::from_utf8(request).unwrap()
        };
        let addresses = [address, address];
        tokio::join!(attempt(&probe, &addresses, Duration::from_secs(30)), server)
    }

    #[tokio::test]
    async fn a_status_from_200_to_399_is_readiness() {
        for (answer, refusal) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", None),
            ("HTTP/1.0 302 Found\r\n\r\n", None),
            ("HTTP/1.1 503 No\r\n\r\nnot yet", Some("GET /ready answers 503")),
            ("SSH-2.0-x\r\n", Some("GET /ready has no HTTP/1.1 answer")),
            ("", Some("GET /ready has no HTTP/1.1 answer")),
        ] {
            let expected = match refusal {
                Some(refusal) => Err(Refusal::Answer(refusal.to_owned())),
                None => Ok(()),
            };
            assert_eq!(check(answer).await.0, expected, "{answer}");
        }
    }

    #[tokio::test]
    async fn a_given_header_replaces_our_own() {
        let (_, request) = check("HTTP/1.1 200 OK\r\n\r\n").await;
        let agents = request.to_lowercase().matches("user-agent").count();
        assert_eq!(agents, 1, "{request}");
        assert!(request.starts_with("GET /ready HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
    }

    #[tokio::test]
    async fn a_closed_port_is_named_by_its_index() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let refused = attempt(&Probe::Connect, &[address], Duration::from_secs(30)).await;
        assert_eq!(refused, Err(Refusal::NotListening(0)));
    }
}
