//! One activator's connection: frames in, frames out, and every way of misbehaving an error.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dormouse_link::Connection;
use dormouse_link::frame::{Down, FRAME_BYTES_MAX, Up};
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::codec::{Encoder, FramedRead, LengthDelimitedCodec};

use super::gate::{Gate, NotAdmitted};
use super::tls::{Certificate, TlsError};
use crate::core::Event;

/// Longest wait for Hello: it is the first thing a real activator sends.
const HELLO_MAX: Duration = Duration::from_secs(5);

/// Longest Hello accepted, in bytes: until then the peer is a stranger. A cluster's tokens have
/// between one and two thousand.
const HELLO_BYTES_MAX: usize = 8 * 1024;

/// Longest silence: activators report each second.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Longest wait for the peer to take in what is written to it.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// Frames read within a second: each of ten thousand functions may be prepared and woken in one.
const FRAMES_PER_SECOND_MAX: u32 = 40_000;

/// Frames written at once: as many as a few system calls can carry.
const BATCH_FRAMES_MAX: usize = 64;

/// Why a connection was cut.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    #[error("no Hello within {HELLO_MAX:?}")]
    HelloLate,
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("not admitted: {0}")]
    NotAdmitted(#[from] NotAdmitted),
    #[error("nothing heard for {SILENCE_MAX:?}")]
    Silent,
    #[error("more than {FRAMES_PER_SECOND_MAX} frames in a second")]
    Flood,
    #[error("not a frame: {0}")]
    Garbage(#[from] serde_json::Error),
    #[error("a frame longer than {0} bytes")]
    Long(usize),
    #[error("took in nothing for {WRITE_MAX:?}")]
    Stalled,
    #[error("left {0} frames unread")]
    Unread(usize),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads frames into `events` and writes those of `queue`, until the peer closes, misbehaves or the
/// queue's other end is dropped.
pub(super) async fn converse(
    stream: TcpStream,
    certificate: Option<&Certificate>,
    connection: Connection,
    gate: &Gate,
    queue: mpsc::Receiver<Down>,
    events: &mpsc::Sender<Event>,
) -> Result<(), PeerError> {
    stream.set_nodelay(true)?;
    let Some(certificate) = certificate else {
        let (reader, writer) = stream.into_split();
        return exchange(reader, writer, connection, gate, queue, events).await;
    };
    let secured = timeout(HELLO_MAX, certificate.accept(stream)).await;
    let (reader, writer) = split(secured.map_err(|_| PeerError::HelloLate)??);
    exchange(reader, writer, connection, gate, queue, events).await
}

async fn exchange(
    reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    connection: Connection,
    gate: &Gate,
    queue: mpsc::Receiver<Down>,
    events: &mpsc::Sender<Event>,
) -> Result<(), PeerError> {
    let end = tokio::select! {
        end = read(reader, connection, gate, events) => end,
        end = write(&mut writer, queue) => end,
    };
    if let Err(PeerError::NotAdmitted(fault)) = &end {
        // Nothing else was written to it, for it was not known yet.
        let (refusals, refusal) = mpsc::channel(1);
        let reason = fault.to_string();
        refusals.try_send(Down::Refused { reason }).unwrap_or_default();
        drop(refusals);
        write(writer, refusal).await?;
    }
    end
}

async fn read(
    reader: impl AsyncRead + Unpin,
    connection: Connection,
    gate: &Gate,
    events: &mpsc::Sender<Event>,
) -> Result<(), PeerError> {
    let mut frames = FramedRead::new(reader, codec(HELLO_BYTES_MAX));
    let mut bytes_max = HELLO_BYTES_MAX;
    let (mut wait_max, mut late) = (HELLO_MAX, PeerError::HelloLate);
    let mut second = Instant::now();
    let mut frames_in_second = 0;
    loop {
        let Ok(next) = timeout(wait_max, frames.next()).await else {
            return Err(late);
        };
        let frame = match next {
            None => return Ok(()),
            Some(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(PeerError::Long(bytes_max));
            }
            Some(frame) => serde_json::from_slice::<Up>(&frame?)?,
        };
        if second.elapsed() >= Duration::from_secs(1) {
            second = Instant::now();
            frames_in_second = 0;
        }
        frames_in_second += 1;
        if frames_in_second > FRAMES_PER_SECOND_MAX {
            return Err(PeerError::Flood);
        }
        // A second one is turned away by who remembers the first.
        if let Up::Hello { token, reporter, .. } = &frame
            && bytes_max == HELLO_BYTES_MAX
        {
            gate.check(token, reporter).await?;
            bytes_max = FRAME_BYTES_MAX;
            frames.decoder_mut().set_max_frame_length(bytes_max);
            (wait_max, late) = (SILENCE_MAX, PeerError::Silent);
        }
        let heard = events.send(Event::Frame(connection, frame)).await;
        if heard.is_err() {
            return Ok(());
        }
    }
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Down>,
) -> Result<(), PeerError> {
    let mut codec = codec(FRAME_BYTES_MAX);
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, BATCH_FRAMES_MAX).await > 0 {
        // Not kept for the next batch: the first is the whole table, megabytes that nobody needs
        // again.
        let mut bytes = BytesMut::new();
        for frame in batch.drain(..) {
            let frame = serde_json::to_vec(&frame)?;
            if frame.len() > FRAME_BYTES_MAX {
                return Err(PeerError::Long(FRAME_BYTES_MAX));
            }
            codec.encode(Bytes::from(frame), &mut bytes)?;
        }
        let written = timeout(WRITE_MAX, writer.write_all(&bytes)).await;
        written.map_err(|_| PeerError::Stalled)??;
    }
    writer.shutdown().await?;
    Ok(())
}

fn codec(bytes_max: usize) -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(bytes_max).new_codec()
}

#[cfg(test)]
mod tests {
    use dormouse_link::frame::VERSION;
    use tokio::io::duplex;

    use super::*;

    fn gate() -> Gate {
        Gate::Secret(String::new())
    }

    fn frames(frames: &[Up]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for frame in frames {
            let frame = serde_json::to_vec(frame).unwrap();
            bytes.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
            bytes.extend(frame);
        }
        bytes
    }

    /// How reading these bytes ends, and how many frames were passed on.
    async fn read_all(bytes: Vec<u8>) -> (Result<(), PeerError>, usize) {
        let (events, mut passed) = mpsc::channel(16);
        let (mut theirs, ours) = duplex(64 * 1024);
        let count = async {
            let mut count = 0;
            while passed.recv().await.is_some() {
                count += 1;
            }
            count
        };
        let write = async {
            // The reader may have gone away; what it said counts.
            theirs.write_all(&bytes).await.ok();
            theirs
        };
        let read = async move { read(ours, Connection(1), &gate(), &events).await };
        let (end, count, _theirs) = tokio::join!(read, count, write);
        (end, count)
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_hello_and_a_long_silence_are_told_apart() {
        let (end, _) = read_all(Vec::new()).await;
        assert!(matches!(end, Err(PeerError::HelloLate)), "{end:?}");
        let hello =
            Up::Hello { version: 1, token: String::new(), reporter: String::new(), boot: 1 };
        let (end, passed) = read_all(frames(&[hello])).await;
        assert!(matches!(end, Err(PeerError::Silent)), "{end:?}");
        assert_eq!(passed, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_stopped() {
        let wakes = Up::Wakes { functions: vec![] };
        let many = usize::try_from(FRAMES_PER_SECOND_MAX).unwrap() + 10;
        let (end, passed) = read_all(frames(&vec![wakes; many])).await;
        assert!(matches!(end, Err(PeerError::Flood)), "{end:?}");
        assert_eq!(passed, many - 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_may_not_be_long_winded() {
        let length = u32::try_from(HELLO_BYTES_MAX).unwrap() + 1;
        let (end, _) = read_all(length.to_be_bytes().to_vec()).await;
        assert!(matches!(end, Err(PeerError::Long(HELLO_BYTES_MAX))), "{end:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_in_nothing_is_given_up() {
        let (_theirs, ours) = duplex(16);
        let (frames, queue) = mpsc::channel(4);
        frames.send(Down::Welcome { version: VERSION, leads: None }).await.unwrap();
        let end = write(ours, queue).await;
        assert!(matches!(end, Err(PeerError::Stalled)), "{end:?}");
    }

    #[tokio::test]
    async fn what_is_queued_is_written_before_the_end() {
        let (theirs, ours) = duplex(1024);
        let (sender, queue) = mpsc::channel(4);
        sender.send(Down::Welcome { version: VERSION, leads: None }).await.unwrap();
        drop(sender);
        write(ours, queue).await.unwrap();
        let mut frames = FramedRead::new(theirs, codec(1024));
        let frame = frames.next().await.unwrap().unwrap();
        let frame: Down = serde_json::from_slice(&frame).unwrap();
        assert_eq!(frame, Down::Welcome { version: VERSION, leads: None });
        assert!(frames.next().await.is_none());
    }
}
