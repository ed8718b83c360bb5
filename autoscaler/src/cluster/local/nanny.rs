//! The nanny: the parent of one replica's processes, which sees to it that none outlives it.
//!
//! It is this binary executed again, so that the promise holds even when the process that wanted
//! the replica is killed outright: the nanny's standard input is a pipe from there, and the kernel
//! ends a pipe however its writer died. As a subreaper the nanny inherits every descendant whose
//! own parent is gone (double forks, `setsid`, a shell's background jobs), so "no child left" means
//! that nothing of the replica is left.
//!
//! On the pipe: the [`Order`], JSON behind a four-byte big-endian length; then single bytes,
//! [`TERMINATE`] and [`KILL`]. On standard output: the [`Ending`], JSON. The replica's own output,
//! both streams, goes to standard error.
//!
//! One thread and no runtime: signals blocked here are blocked everywhere, and the reaper of the
//! children is the only one that could lose them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use serde::{Deserialize, Serialize};

/// Asks for SIGTERM to the replica's process group.
pub(super) const TERMINATE: u8 = b't';

/// Asks for SIGKILL to every descendant.
pub(super) const KILL: u8 = b'k';

/// Longest order, in bytes: the kernel takes 2 MiB of arguments and environment by default, and
/// JSON escapes few of them.
const ORDER_BYTES_MAX: u32 = 4 * 1024 * 1024;

/// Pauses between rounds of SIGKILL, in milliseconds. The first is what a killed process takes to
/// hand its children on; the last is for processes that cannot die (disk waits, another user's).
const KILL_PAUSE_MS_MIN: u16 = 10;
const KILL_PAUSE_MS_MAX: u16 = 1000;

/// What to run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    /// Set on top of the inherited environment.
    pub(super) env: Vec<(String, String)>,
    pub(super) working_dir: PathBuf,
}

/// How a replica ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Ending {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// It never ran.
    NotStarted(String),
    /// The nanny itself was killed or failed.
    Lost(String),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exited with status {status}"),
            Self::Killed(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "was killed by {signal}"),
                Err(_) => write!(f, "was killed by signal {number}"),
            },
            Self::NotStarted(error) => write!(f, "could not be started: {error}"),
            Self::Lost(error) => write!(f, "was lost: {error}"),
        }
    }
}

/// Runs the nanny to its end: reads the order, runs it, leaves no descendant. To be called on the
/// main thread of a process that has no other.
#[must_use]
pub fn run() -> ExitCode {
    let ending = match open_pipe() {
        // Whoever wanted the replica is gone before saying which.
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some((order, pipe))) => {
            mind(order, pipe).unwrap_or_else(|error| Ending::Lost(error.to_string()))
        }
        Err(error) => Ending::NotStarted(format!("bad order: {error}")),
    };
    match report(&ending) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody is left to be told.
        Err(_) => ExitCode::FAILURE,
    }
}

fn report(ending: &Ending) -> io::Result<()> {
    io::stdout().write_all(&serde_json::to_vec(ending)?)
}

/// The order and the rest of the pipe; none if it ends before the order is whole. A file rather
/// than the standard handle, whose buffer would hide from `poll` what is still to be read.
fn open_pipe() -> io::Result<Option<(Order, File)>> {
    let mut pipe = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    match read_order(&mut pipe) {
        Ok(order) => Ok(Some((order, pipe))),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_order(pipe: &mut File) -> io::Result<Order> {
    let mut length = [0; 4];
    pipe.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > ORDER_BYTES_MAX {
        return Err(io::Error::other("too long"));
    }
    let mut json = vec![0; length as usize];
    pipe.read_exact(&mut json)?;
    // Not an `io::Error` of the parser's: it would call JSON that stops early an end of the pipe.
    serde_json::from_slice(&json).map_err(io::Error::other)
}

/// Starts the order's program and stays until it and all its descendants are gone.
fn mind(order: Order, pipe: File) -> io::Result<Ending> {
    prctl::set_child_subreaper(true)?;
    let output = io::stderr().as_fd().try_clone_to_owned()?;
    let started = Command::new(order.program)
        .args(order.args)
        .envs(order.env)
        .current_dir(order.working_dir)
        // Its own group, so that a shell's children get the SIGTERM too and the nanny does not.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output)
        .spawn();
    let child = match started {
        Ok(child) => Pid::from_raw(child.id().cast_signed()),
        Err(error) => return Ok(Ending::NotStarted(error.to_string())),
    };
    let ending = watch_signals().and_then(|signals| {
        let mut nanny = Nanny { signals, pipe, child, ending: None, stop: Stop::NotAsked };
        nanny.run()?;
        Ok(nanny.ending)
    });
    if ending.is_err() {
        // Nothing else works any more; the group is most of what there is.
        killpg(child, Signal::SIGKILL).ok();
    }
    Ok(ending?.unwrap_or_else(|| Ending::Lost("its status went to another reaper".to_owned())))
}

/// Blocks the signals that concern the nanny and makes them readable. Only once the child is
/// started, which would inherit the blocking and be deaf to SIGTERM; a SIGCHLD lost before is made
/// good by reaping before the first wait.
fn watch_signals() -> io::Result<SignalFd> {
    let mut watched = SigSet::empty();
    // The last three would end the nanny and leave the children: they ask for a stop instead.
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        watched.add(signal);
    }
    watched.thread_block()?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    Ok(SignalFd::with_flags(&watched, flags)?)
}

struct Nanny {
    signals: SignalFd,
    pipe: File,
    child: Pid,
    /// How the child ended, once it has.
    ending: Option<Ending>,
    stop: Stop,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    NotAsked,
    Terminating,
    Killing,
}

#[derive(PartialEq, Eq)]
enum Descendants {
    Some,
    None,
}

impl Nanny {
    fn run(&mut self) -> io::Result<()> {
        let mut pause_ms = KILL_PAUSE_MS_MIN;
        while self.reap()? == Descendants::Some {
            // A replica is its first process: what that leaves behind serves nobody.
            if self.ending.is_some() && self.stop == Stop::NotAsked {
                self.stop = Stop::Killing;
            }
            if self.stop == Stop::Killing {
                kill_children()?;
                self.wait(PollTimeout::from(pause_ms))?;
                pause_ms = (pause_ms * 2).min(KILL_PAUSE_MS_MAX);
            } else {
                self.wait(PollTimeout::NONE)?;
            }
        }
        Ok(())
    }

    /// Waits for a signal or, until killing has begun, for a word from the pipe.
    fn wait(&mut self, timeout: PollTimeout) -> io::Result<()> {
        let mut sources = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if self.stop != Stop::Killing {
            sources.push(PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut sources, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let has_word = sources.get(1).is_some_and(|pipe| pipe.any() == Some(true));
        while let Some(signal) = self.signals.read_signal()? {
            if signal.ssi_signo != Signal::SIGCHLD as u32 {
                self.terminate();
            }
        }
        if has_word {
            let mut word = [0];
            match self.pipe.read(&mut word)? {
                1 if word[0] == TERMINATE => self.terminate(),
                // KILL, or the end of the pipe.
                _ => self.stop = Stop::Killing,
            }
        }
        Ok(())
    }

    fn terminate(&mut self) {
        if self.stop != Stop::NotAsked || self.ending.is_some() {
            return;
        }
        self.stop = Stop::Terminating;
        // The child is not reaped, so its number is still its own. It may have ended meanwhile,
        // which the next reaping shows.
        killpg(self.child, Signal::SIGTERM).ok();
    }

    /// Takes in whoever has ended.
    fn reap(&mut self) -> io::Result<Descendants> {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, status)) if pid == self.child => {
                    self.ending = Some(Ending::Exited(status));
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.child => {
                    self.ending = Some(Ending::Killed(signal as i32));
                }
                Ok(WaitStatus::StillAlive) => return Ok(Descendants::Some),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => return Ok(Descendants::None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// SIGKILL to every child. Only to children: their numbers cannot pass to another process before
/// they are reaped here, and grandchildren become children as their parents die.
fn kill_children() -> io::Result<()> {
    let own = getpid();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if parent_of(pid) == Some(own) {
            // One that cannot be killed is tried again in the next round.
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
    }
    Ok(())
}

/// The parent of a process; none if it is gone.
fn parent_of(pid: i32) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold any character.
    let (_, rest) = stat.rsplit_once(')')?;
    let parent = rest.split_ascii_whitespace().nth(1)?;
    parent.parse().ok().map(Pid::from_raw)
}
