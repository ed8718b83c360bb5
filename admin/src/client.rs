//! Asking an admin port.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{CONNECTION, HOST};
use axum::http::{HeaderMap, HeaderName, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The kept decisions of all functions are bounded by 8 MiB in memory; JSON is a few times that.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Marks a question that was passed on by another replica, which is not to be passed on again.
pub const PASSED: HeaderName = HeaderName::from_static("dormouse-passed");

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status of HTTP.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there, or not for us.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// It is no path of HTTP.
    #[error("it cannot be asked for that")]
    Path(#[source] axum::http::Error),
    /// Whoever listens there ends before it has answered, or does not speak HTTP.
    #[error("no whole answer")]
    Answer(#[source] hyper::Error),
    /// The body breaks off or is too long.
    #[error("no whole answer")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Not within the time that was given.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Late(Duration),
}

/// How the question is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// It is the asker's own.
    First,
    /// Another replica passes it on.
    Passed,
}

/// Asks the admin port at that address for a path, and waits `longest` for the answer.
///
/// # Errors
/// [`AskError`]; a refusal is an answer.
pub async fn get(
    admin: SocketAddr,
    path: &str,
    asked: Question,
    longest: Duration,
) -> Result<Answer, AskError> {
    let answer = timeout(longest, exchange(admin, path, asked)).await;
    answer.unwrap_or(Err(AskError::Late(longest)))
}

async fn exchange(admin: SocketAddr, path: &str, asked: Question) -> Result<Answer, AskError> {
    let mut request =
        Request::get(path).header(HOST, admin.to_string()).header(CONNECTION, "close");
    if asked == Question::Passed {
        request = request.header(PASSED, "1");
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(AskError::Path)?;
    let stream = TcpStream::connect(admin).await.map_err(AskError::Connect)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(AskError::Answer)?;
    let answered = async move {
        let response = sender.send_request(request).await.map_err(AskError::Answer)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(AskError::Body)?;
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
    };
    // The connection only carries the exchange: what goes wrong with it shows there.
    let (answer, _connection_ended) = tokio::join!(answered, connection);
    answer
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(5);

    /// Answers one connection with that, and returns what came.
    async fn answer(listener: TcpListener, answer: &str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(asked).unwrap()
    }

    #[tokio::test]
    async fn status_and_body_are_returned_and_what_is_passed_on_says_so() {
        for (asked, is_marked) in [(Question::First, false), (Question::Passed, true)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let admin = listener.local_addr().unwrap();
            let text = "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone";
            let asking = get(admin, "/api/v1/functions?x=1", asked, LONGEST);
            let (head, answer) = tokio::join!(answer(listener, text), asking);
            let answer = answer.unwrap();
            assert_eq!((answer.status, &*answer.body), (StatusCode::NOT_FOUND, &b"none"[..]));
            assert!(head.starts_with("GET /api/v1/functions?x=1 HTTP/1.1\r\n"), "{head}");
            assert_eq!(head.contains("dormouse-passed: 1\r\n"), is_marked, "{head}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_asked_is_an_error() {
        let listen = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = listen().await;
        let admin = listener.local_addr().unwrap();
        let short = Duration::from_millis(20);
        let silent = get(admin, "/livez", Question::First, short).await.unwrap_err();
        assert!(matches!(silent, AskError::Late(_)), "{silent:?}");
        drop(listener);
        let closed = get(admin, "/livez", Question::First, LONGEST).await.unwrap_err();
        assert!(matches!(closed, AskError::Connect(_)), "{closed:?}");
        let listener = listen().await;
        let admin = listener.local_addr().unwrap();
        let asking = get(admin, "/livez", Question::First, LONGEST);
        let (_, rude) = tokio::join!(answer(listener, "SSH-2.0-OpenSSH_9\r\n"), asking);
        assert!(matches!(rude, Err(AskError::Answer(_))), "{rude:?}");
    }
}
