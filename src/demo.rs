//! `dormouse demo`: a small web server whose start, speed and failures are chosen, for the example
//! and for tests.

use std::convert::Infallible;
use std::env;
use std::fs::{File, OpenOptions};
use std::future::{Future, pending};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Full};
use humantime::parse_duration;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const EXAMPLES: &str = "\
Examples:
  dormouse demo --port 8080                     answers at once, on every address
  dormouse demo --start-delay 3s --work 50ms    slow to start, then 50 ms a request
  curl 'http://127.0.0.1:8080/?work=1s'         one request that takes longer";

/// What `dormouse demo` can be told.
///
/// A request may choose for itself: `?work=1s` and `?status=418` replace the flags, `/crash` ends
/// the process with every open request, `/hang` never answers.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// Port to listen on
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,

    /// Address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    address: IpAddr,

    /// Time before it listens, as a slow program takes to start
    #[arg(long, value_parser = parse_duration, default_value = "0s")]
    start_delay: Duration,

    /// Time each request takes
    #[arg(long, value_parser = parse_duration, default_value = "0s")]
    work: Duration,

    /// Share of requests answered 500, from 0 to 1
    #[arg(long, value_parser = share, default_value_t = 0.0)]
    fail_rate: f64,

    /// Status of the other answers
    #[arg(long, value_parser = status, default_value = "200")]
    status: StatusCode,

    /// How long it goes on after SIGTERM, saying `Connection: close`, before it stops accepting:
    /// what routers need to look elsewhere
    #[arg(long, value_parser = parse_duration, default_value = "0s")]
    linger: Duration,

    /// File to which the `X` of each request for `/id/X` is appended, a line each, on arrival
    #[arg(long)]
    record: Option<PathBuf>,
}

/// What every request sees.
struct Demo {
    replica: String,
    work: Duration,
    fail_rate: f64,
    status: StatusCode,
    record: Option<File>,
    /// Cancelled by the signal to end.
    leaving: CancellationToken,
    /// Requests begun; only a number to tell answers apart and to spread failures.
    requests: AtomicU64,
    crash: CancellationToken,
}

/// Serves until SIGTERM or SIGINT, then answers the open requests and returns.
///
/// # Errors
/// The record file or the port cannot be had, or a request asked for a crash.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let mut stop = pin!(stop_signal()?);
    let record = args.record.as_ref().map(open).transpose()?;
    let demo = Arc::new(Demo {
        replica: env::var("HOSTNAME").unwrap_or_else(|_| "dormouse-demo".to_owned()),
        work: args.work,
        fail_rate: args.fail_rate,
        status: args.status,
        record,
        leaving: CancellationToken::new(),
        requests: AtomicU64::new(0),
        crash: CancellationToken::new(),
    });
    tokio::select! {
        () = sleep(args.start_delay) => {}
        () = &mut stop => return Ok(()),
    }
    let address = SocketAddr::from((args.address, args.port));
    let listener = (TcpListener::bind(address).await)
        .with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr().context("a bound socket has no address")?;
    tracing::info!(%address, replica = demo.replica, "demo listens");
    let ending = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut end = pin!(async {
        stop.await;
        demo.leaving.cancel();
        sleep(args.linger).await;
    });
    loop {
        tokio::select! {
            // First, so that whoever connected before the end is answered.
            biased;
            accepted = listener.accept() => {
                let (stream, _) = accepted.context("cannot accept connections")?;
                connections.spawn(serve(stream, demo.clone(), ending.clone()));
            }
            Some(served) = connections.join_next() => served?,
            () = demo.crash.cancelled() => bail!("crashed, as a request asked"),
            () = &mut end => break,
        }
    }
    drop(listener);
    ending.cancel();
    while let Some(served) = connections.join_next().await {
        served?;
    }
    Ok(())
}

fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn open(path: &PathBuf) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    (options.create(true).append(true).open(path))
        .with_context(|| format!("cannot open {}", path.display()))
}

async fn serve(stream: TcpStream, demo: Arc<Demo>, ending: CancellationToken) {
    let service = service_fn(|request| demo.answer(request));
    let mut connection =
        pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        result = &mut connection => result,
        () = ending.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}

impl Demo {
    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        // Relaxed: the count orders nothing else.
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let mut status = self.usual_status(number);
        if let Some(id) = path.strip_prefix("/id/")
            && let Err(error) = self.record(id)
        {
            tracing::warn!(%error, "cannot record");
            status = StatusCode::INTERNAL_SERVER_ERROR;
        }
        match path.as_str() {
            "/crash" => {
                self.crash.cancel();
                pending().await
            }
            "/hang" => pending().await,
            _ => {}
        }
        let mut work = self.work;
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "work" => work = parse_duration(value).unwrap_or(work),
                "status" => status = self::status(value).unwrap_or(status),
                _ => {}
            }
        }
        // Read to its end, so that the connection can be used again.
        let mut body = request.into_body();
        while let Some(Ok(_)) = body.frame().await {}
        sleep(work).await;
        let text = format!("Hello from {}, request {number}\n", self.replica);
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        if self.leaving.is_cancelled() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    /// Spreads the failures evenly: of any run of requests, the share fails that was asked for.
    fn usual_status(&self, number: u64) -> StatusCode {
        #[allow(clippy::cast_precision_loss, reason = "a count of requests stays far below 2^52")]
        let failures = |requests: u64| (requests as f64 * self.fail_rate).floor();
        if failures(number) > failures(number - 1) {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            self.status
        }
    }

    /// One write, so that the lines of several replicas do not mix.
    fn record(&self, id: &str) -> std::io::Result<()> {
        match &self.record {
            Some(file) => (&mut &*file).write_all(format!("{id}\n").as_bytes()),
            None => Ok(()),
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

fn status(text: &str) -> Result<StatusCode, String> {
    let status = text.parse().ok().filter(|status| *status >= StatusCode::OK);
    status.ok_or_else(|| "must be an HTTP status from 200 to 999".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_spread_over_the_requests() {
        for (fail_rate, expected) in [(0.0, "...."), (1.0, "xxxx"), (0.5, ".x.x")] {
            let demo = Demo {
                replica: String::new(),
                work: Duration::ZERO,
                fail_rate,
                status: StatusCode::OK,
                record: None,
                leaving: CancellationToken::new(),
                requests: AtomicU64::new(0),
                crash: CancellationToken::new(),
            };
            let mark = |number| match demo.usual_status(number) {
                StatusCode::OK => '.',
                _ => 'x',
            };
            assert_eq!((1..=4).map(mark).collect::<String>(), expected);
        }
    }
}
