//! One GET to the admin port of a running `dormouse up`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A person waits for this answer; a healthy one comes within milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The kept decisions of all functions are bounded by 8 MiB in memory; JSON is a few times that.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the admin port answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Asks `admin` for `path`.
///
/// # Errors
/// Nobody answers there in time, or not in HTTP.
pub(crate) fn get(admin: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime
        .block_on(async { timeout(ANSWER_TIMEOUT, exchange(admin, path)).await })
        .unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", ANSWER_TIMEOUT.as_secs())))
        .with_context(|| format!("cannot ask http://{admin}{path}"))
}

async fn exchange(admin: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect(admin).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(header::HOST, admin.to_string())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let answered = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX);
        let body = body.collect().await.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        Ok(Answer { status, body })
    };
    // The connection only carries the exchange: what goes wrong with it shows there.
    let (answer, _connection_ended) = tokio::join!(answered, connection);
    answer
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn status_and_body_are_returned() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 1024];
            let length = stream.read(&mut head).unwrap();
            let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone";
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&head[..length]).into_owned()
        });
        let answer = get(admin, "/api/v1/functions").unwrap();
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.body, "none");
        let head = server.join().unwrap();
        assert!(head.starts_with("GET /api/v1/functions HTTP/1.1\r\n"), "{head}");
    }

    #[test]
    fn a_closed_port_is_an_error_that_names_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = listener.local_addr().unwrap();
        drop(listener);
        let error = get(admin, "/livez").unwrap_err();
        assert!(error.to_string().contains(&admin.to_string()), "{error:#}");
    }
}
