//! One try at whether a replica is ready: a connection, or a GET and its answer's status.

use std::net::SocketAddr;
use std::time::Duration;

use dormouse_policy::function::Probe;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Most bytes of an answer read to find its status, which stands in the first line.
const STATUS_LINE_BYTES_MAX: usize = 256;

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
        Probe::Http { pod_port, .. } | Probe::Tcp { pod_port, .. } => *pod_port,
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
    let Probe::Http {
        path,
        host,
        headers,
        ..
    } = probe
    else {
        return Ok(());
    };
    let host = host.clone().unwrap_or_else(|| address.to_string());
    let request = request(path, &host, headers);
    match timeout(longest, status(stream, &request)).await {
        Ok(Some(200..400)) => Ok(()),
        Ok(Some(status)) => Err(Refusal::Answer(format!("GET {path} answers {status}"))),
        Ok(None) => Err(Refusal::Answer(format!(
            "GET {path} has no HTTP/1.1 answer"
        ))),
        Err(_) => Err(Refusal::Answer(format!(
            "GET {path} is not answered in time"
        ))),
    }
}

fn request(path: &str, host: &str, headers: &[(String, String)]) -> String {
    let mut request = format!("GET {path} HTTP/1.1\r\n");
    let given = |name: &str| {
        headers
            .iter()
            .any(|(key, _)| key.eq_ignore_ascii_case(name))
    };
    let own = [
        ("Host", host),
        ("User-Agent", "kube-probe/dormouse"),
        ("Accept", "*/*"),
    ];
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
    let line = std::str::from_utf8(answer.split(|&byte| byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    words.next().filter(|word| word.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}
