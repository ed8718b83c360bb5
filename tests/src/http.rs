//! An HTTP/1.1 client that sends exactly the bytes it is given and hides nothing of the answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;

use crate::wait::DEADLINE;

/// One answer, its body whole.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, chunked coding taken off.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(present, _)| present == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// If nobody listens there.
    #[must_use]
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address)
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        stream
            .set_read_timeout(Some(DEADLINE))
            .and_then(|()| stream.set_write_timeout(Some(DEADLINE)))
            .and_then(|()| stream.set_nodelay(true))
            .expect("a fresh socket takes options");
        Self { stream: BufReader::new(stream) }
    }

    /// The socket, to write from another thread.
    ///
    /// # Panics
    /// If the process has no descriptor left.
    #[must_use]
    pub fn socket(&self) -> TcpStream {
        let socket = self.stream.get_ref();
        socket.try_clone().expect("a socket can be duplicated")
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    /// Sends a GET and reads the answer; the connection stays.
    ///
    /// # Errors
    /// The connection is closed, or what comes is not HTTP/1.1.
    pub fn get(&mut self, host: &str, path: &str) -> io::Result<Response> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))?;
        self.response()
    }

    /// Reads one whole answer; an interim one (1xx but 101) is an answer of its own.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn response(&mut self) -> io::Result<Response> {
        let mut response = self.head()?;
        let bodiless = response.status < 200 || matches!(response.status, 204 | 304);
        let chunked = response.header("transfer-encoding") == Some("chunked");
        let length = response.header("content-length").map(str::parse::<usize>);
        if bodiless {
        } else if chunked {
            while let Some(chunk) = self.chunk()? {
                response.body.extend(chunk);
            }
        } else if let Some(length) = length {
            response.body = self.exactly(length.map_err(io::Error::other)?)?;
        } else {
            self.stream.read_to_end(&mut response.body)?;
        }
        Ok(response)
    }

    /// Reads the head of an answer, its body still to come.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn head(&mut self) -> io::Result<Response> {
        let status_line = self.line()?;
        let status = status_line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(|| io::Error::other(format!("not a status line: {status_line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| io::Error::other(format!("not a header: {line:?}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Response { status, headers, body: Vec::new() })
    }

    /// Reads one chunk of a chunked body; none after the last, its trailers skipped.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let size = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
        if size == 0 {
            while !self.line()?.is_empty() {}
            return Ok(None);
        }
        let chunk = self.exactly(size)?;
        self.exactly(2)?;
        Ok(Some(chunk))
    }

    /// Reads so many bytes.
    ///
    /// # Errors
    /// The connection ends before.
    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a line without its end.
    ///
    /// # Errors
    /// The connection ends before one is whole.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
            None => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{:?} and no more", String::from_utf8_lossy(&line)),
            )),
        }
    }

    /// Whether the peer has closed: waits for its end of stream, or for a byte that proves the
    /// contrary.
    ///
    /// # Errors
    /// Neither comes by the deadline.
    pub fn closed(&mut self) -> io::Result<Closed> {
        match self.stream.fill_buf() {
            Ok([]) => Ok(Closed::Yes),
            Ok(bytes) => Ok(Closed::No(bytes.to_vec())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Closed::Yes),
            Err(error) => Err(error),
        }
    }
}

/// What came instead of more.
#[derive(Debug, PartialEq, Eq)]
pub enum Closed {
    /// The end of the stream.
    Yes,
    /// These bytes.
    No(Vec<u8>),
}

/// Runs `count` clients at once, each on a thread of its own, and returns what each got, in order.
///
/// # Panics
/// If one of them does.
pub fn together<T: Send>(count: usize, client: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(count);
    let (start, client) = (&start, &client);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..count)
            .map(|number| {
                scope.spawn(move || {
                    start.wait();
                    client(number)
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}
