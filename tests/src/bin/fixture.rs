//! A function as it should not be, or as a proxy likes to get it wrong: one program, a way of
//! behaving per sub-command, on the port in `$PORT`, on loopback unless `$ADDRESS`
//! says otherwise.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

const WAYS: &str = "\
exit FILE        append a line to FILE and exit with status 3
silent           run and never listen
elsewhere        listen, on another port
swallow          take requests and never answer
reset            answer GET /ok; close the connection under any other request
once FILE        promise keep-alive, close after each answer, append a line to FILE when closed
mirror           answer each request with its own bytes, unchunked; GET /seen: all request lines
echo             stream each request's body back while it comes
tunnel           101 to every upgrade, then every byte back
narrow FILE      append each request's line to FILE; answer with the most there ever were at once
name             answer each request with the host's name
moody FILE       503 to every request until FILE exists";

/// How long `narrow` works on a request: long enough for another to come meanwhile.
const WORK: Duration = Duration::from_millis(5);

fn main() -> ExitCode {
    if std::process::id() == 1 {
        end_on_sigterm();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["exit", file] => append(file, "started").map(|()| ExitCode::from(3)),
        ["silent"] => wait_forever(),
        ["elsewhere"] => TcpListener::bind("127.0.0.1:0").and_then(|_listener| wait_forever()),
        ["swallow"] => serve(|request, _| {
            drop(request);
            wait_forever()
        }),
        ["reset"] => serve(reset),
        ["once", file] => once(file),
        ["mirror"] => mirror(),
        ["echo"] => serve(echo),
        ["tunnel"] => serve(tunnel),
        ["narrow", file] => narrow(file),
        ["name"] => serve(|_, stream| {
            answer(stream, "200 OK", &std::fs::read("/proc/sys/kernel/hostname")?)
        }),
        ["moody", file] => serve(|_, stream| {
            let status = if std::fs::exists(file)? { "200 OK" } else { "503 Not Yet" };
            answer(stream, status, b"")
        }),
        _ => Err(io::Error::other(WAYS)),
    };
    outcome.unwrap_or_else(|error| complain(&error))
}

/// The first process of a container has no default actions: what it does not handle is ignored, and
/// its pod would take the whole grace period to end.
fn end_on_sigterm() {
    let mut sigterm = SigSet::empty();
    sigterm.add(Signal::SIGTERM);
    // Before any other thread is there, so that none of them takes it.
    if sigterm.thread_block().is_ok() {
        std::thread::spawn(move || {
            #[allow(clippy::disallowed_methods, reason = "the main thread waits for requests")]
            if sigterm.wait().is_ok() {
                std::process::exit(0);
            }
        });
    }
}

/// A request as it came: the head with its final empty line, the body still unread.
struct Request {
    head: Vec<u8>,
    text: String,
}

impl Request {
    fn line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.text.lines().skip(1).find_map(|line| {
            let (present, value) = line.split_once(':')?;
            present.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

type Stream = BufReader<TcpStream>;

/// A thread per connection, `handle` per request, until it fails or the peer has enough.
fn serve(
    handle: impl Fn(Request, &mut Stream) -> io::Result<ExitCode> + Sync,
) -> io::Result<ExitCode> {
    let handle = &handle;
    let listener = listen()?;
    std::thread::scope(|scope| {
        loop {
            let mut stream = BufReader::new(listener.accept()?.0);
            scope.spawn(move || {
                while let Ok(Some(request)) = read_head(&mut stream) {
                    if handle(request, &mut stream).is_err() {
                        break;
                    }
                }
            });
        }
    })
}

fn reset(request: Request, stream: &mut Stream) -> io::Result<ExitCode> {
    if request.line().starts_with("GET /ok ") {
        return answer(stream, "200 OK", b"ok");
    }
    // Closing is what fails; the caller drops the socket.
    Err(io::ErrorKind::ConnectionReset.into())
}

fn once(file: &str) -> io::Result<ExitCode> {
    let listener = listen()?;
    loop {
        let mut stream = BufReader::new(listener.accept()?.0);
        // A readiness check connects and says nothing.
        if read_head(&mut stream)?.is_some() {
            answer(&mut stream, "200 OK", b"once")?;
            drop(stream);
            append(file, "closed")?;
        }
    }
}

fn mirror() -> io::Result<ExitCode> {
    let seen = Mutex::new(Vec::new());
    serve(|request, stream| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if request.line().starts_with("GET /seen ") {
            return answer(stream, "200 OK", seen.join("\n").as_bytes());
        }
        seen.push(request.line().to_owned());
        drop(seen);
        let mut bytes = request.head.clone();
        let mut body = Vec::new();
        let trailers = read_body(&request, stream, |part| {
            body.extend_from_slice(part);
            Ok(())
        })?;
        bytes.extend(body);
        bytes.extend(trailers.into_bytes());
        answer(stream, "200 OK", &bytes)
    })
}

fn narrow(file: &str) -> io::Result<ExitCode> {
    let (now, most) = (AtomicU32::new(0), AtomicU32::new(0));
    serve(|request, stream| {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        append(file, request.line())?;
        std::thread::park_timeout(WORK);
        now.fetch_sub(1, Ordering::SeqCst);
        answer(stream, "200 OK", most.load(Ordering::SeqCst).to_string().as_bytes())
    })
}

fn echo(request: Request, stream: &mut Stream) -> io::Result<ExitCode> {
    let mut out = stream.get_ref().try_clone()?;
    out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    read_body(&request, stream, |part| {
        write!(out, "{:x}\r\n", part.len())?;
        out.write_all(part)?;
        out.write_all(b"\r\n")
    })?;
    out.write_all(b"0\r\n\r\n")?;
    Ok(ExitCode::SUCCESS)
}

fn tunnel(request: Request, stream: &mut Stream) -> io::Result<ExitCode> {
    if request.header("upgrade").is_none() {
        return answer(stream, "426 Upgrade Required", b"");
    }
    let mut out = stream.get_ref().try_clone()?;
    // The greeting leaves in one write with the head: bytes a proxy has read too far must not be
    // lost.
    out.write_all(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
          Upgrade: websocket\r\n\r\nhello",
    )?;
    io::copy(stream, &mut out)?;
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn listen() -> io::Result<TcpListener> {
    let port = std::env::var("PORT").map_err(io::Error::other)?;
    let address = std::env::var("ADDRESS").unwrap_or_else(|_| "127.0.0.1".to_owned());
    TcpListener::bind((address, port.parse().map_err(io::Error::other)?))
}

/// None when the peer closed between two requests.
fn read_head(stream: &mut Stream) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut head)? == 0 {
            return Ok(None);
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    Ok(Some(Request { head, text }))
}

/// Gives the body to `part` as it comes, chunked coding taken off; returns the trailers.
fn read_body(
    request: &Request,
    stream: &mut Stream,
    mut part: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<String> {
    let mut pass = |stream: &mut Stream, mut left: usize| -> io::Result<()> {
        while left > 0 {
            let bytes = stream.fill_buf()?;
            let length = bytes.len().min(left);
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            part(&bytes[..length])?;
            stream.consume(length);
            left -= length;
        }
        Ok(())
    };
    if request.header("transfer-encoding").is_some() {
        loop {
            let mut size = String::new();
            stream.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim_end(), 16).map_err(io::Error::other)?;
            if size == 0 {
                return read_trailers(stream);
            }
            pass(stream, size)?;
            stream.read_exact(&mut [0; 2])?;
        }
    }
    let length = request.header("content-length").unwrap_or("0");
    pass(stream, length.parse().map_err(io::Error::other)?)?;
    Ok(String::new())
}

fn read_trailers(stream: &mut Stream) -> io::Result<String> {
    let mut trailers = String::new();
    while stream.read_line(&mut trailers)? > 2 {}
    Ok(trailers)
}

fn answer(stream: &mut Stream, status: &str, body: &[u8]) -> io::Result<ExitCode> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
    Ok(ExitCode::SUCCESS)
}

fn append(file: &str, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    writeln!(file, "{line}")
}

fn wait_forever() -> io::Result<ExitCode> {
    loop {
        std::thread::park_timeout(Duration::MAX);
    }
}

#[allow(
    clippy::print_stderr,
    reason = "a program of its own; stderr is where it says what went wrong"
)]
fn complain(error: &dyn Error) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}
