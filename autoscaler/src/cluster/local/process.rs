//! One replica's processes as seen from here: its nanny, what it says, how it ends.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::nanny::{self, Ending, Order};

/// Longest line of output handed on in one piece, in bytes; a longer one comes in several. It
/// bounds what a program that never ends a line makes us keep.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Longest wait for the rest of the output once the nanny is gone: none of its descendants is
/// left, but a replica may have passed its output on to a stranger.
const OUTPUT_REST_WAIT: Duration = Duration::from_secs(1);

/// Longest account a nanny gives of an ending, in bytes; it holds one error message.
const ENDING_BYTES_MAX: u64 = 64 * 1024;

/// Takes the replicas' output: the replica's name and one line without its end.
pub type Output = Arc<dyn Fn(&str, &[u8]) + Send + Sync>;

/// How the nanny is called: the program, and the arguments that lead to [`nanny::run`].
#[derive(Clone, Debug)]
pub struct NannyCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments; the replica's name follows them, for people who list processes.
    pub args: Vec<OsString>,
}

impl Default for NannyCommand {
    /// This binary's own subcommand `nanny`, by a name that outlives a new build of the file.
    fn default() -> Self {
        Self { program: "/proc/self/exe".into(), args: vec!["nanny".into()] }
    }
}

/// What is asked of a running replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// Runs a replica until all its processes are gone. Dropped before, it takes them with it.
pub(super) async fn run(
    name: String,
    nanny: NannyCommand,
    order: Order,
    mut stops: mpsc::Receiver<Stop>,
    output: Output,
) -> (String, Ending) {
    let ending = match start(&name, &nanny, &order).await {
        Ok((child, pipe)) => mind(&name, child, pipe, &mut stops, &output)
            .await
            .unwrap_or_else(|error| Ending::Lost(error.to_string())),
        Err(error) => Ending::NotStarted(error.to_string()),
    };
    (name, ending)
}

async fn start(name: &str, nanny: &NannyCommand, order: &Order) -> io::Result<(Child, ChildStdin)> {
    let mut child = Command::new(&nanny.program)
        // What people see who list processes.
        .arg0("dormouse")
        .args(&nanny.args)
        .arg(name)
        // A group of its own keeps a terminal's SIGINT, which is meant for us, away from it.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut pipe = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let json = serde_json::to_vec(order)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    pipe.write_all(&length.to_be_bytes()).await?;
    pipe.write_all(&json).await?;
    Ok((child, pipe))
}

async fn mind(
    name: &str,
    mut child: Child,
    mut pipe: ChildStdin,
    stops: &mut mpsc::Receiver<Stop>,
    output: &Output,
) -> io::Result<Ending> {
    let account = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut lines = Lines::new(child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?);
    let mut has_output = true;
    let status = loop {
        tokio::select! {
            line = lines.next(), if has_output => match line {
                Some(line) => output(name, &line),
                None => has_output = false,
            },
            Some(stop) = stops.recv() => {
                let word = match stop {
                    Stop::Terminate => nanny::TERMINATE,
                    Stop::Kill => nanny::KILL,
                };
                // A nanny that no longer reads has nothing left to stop.
                pipe.write_all(&[word]).await.ok();
            }
            status = child.wait() => break status?,
        }
    };
    let rest = async {
        while let Some(line) = lines.next().await {
            output(name, &line);
        }
    };
    // An output that stays open is a stranger's by now.
    timeout(OUTPUT_REST_WAIT, rest).await.ok();
    Ok(read_ending(account)
        .await
        .unwrap_or_else(|_| Ending::Lost(format!("its nanny ended with {status}"))))
}

async fn read_ending(account: ChildStdout) -> io::Result<Ending> {
    let mut json = Vec::new();
    account.take(ENDING_BYTES_MAX).read_to_end(&mut json).await?;
    Ok(serde_json::from_slice(&json)?)
}

/// Splits a stream into lines of bounded length.
struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(stream: R) -> Self {
        Self { reader: BufReader::new(stream), line: Vec::new() }
    }

    /// The next line without its end; none when the stream has ended or failed. Cancel safe: what
    /// was read of a line is kept.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let room = LINE_BYTES_MAX - self.line.len();
            let chunk = self.reader.fill_buf().await.unwrap_or_default();
            if chunk.is_empty() {
                return (!self.line.is_empty()).then(|| std::mem::take(&mut self.line));
            }
            let chunk = &chunk[..chunk.len().min(room)];
            let end = chunk.iter().position(|&byte| byte == b'\n');
            let length = end.unwrap_or(chunk.len());
            self.line.extend_from_slice(&chunk[..length]);
            self.reader.consume(end.map_or(length, |end| end + 1));
            if end.is_some() || self.line.len() == LINE_BYTES_MAX {
                return Some(std::mem::take(&mut self.line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_comes_by_lines_of_bounded_length() {
        let long = "x".repeat(LINE_BYTES_MAX + 3);
        let text = format!("one\n\n{long}\nlast");
        let mut lines = Lines::new(text.as_bytes());
        let mut lengths = Vec::new();
        while let Some(line) = lines.next().await {
            lengths.push(line.len());
        }
        assert_eq!(lengths, [3, 0, LINE_BYTES_MAX, 3, 4]);
    }
}
