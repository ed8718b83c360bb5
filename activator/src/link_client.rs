//! Dials the autoscaler, again and again; turns the connection into frames.

use std::time::Duration;

use bytes::Bytes;
use dormouse_link::frame::{Down, FRAME_BYTES_MAX, Up};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use tracing::{debug, info, warn};

/// Longest wait for a connection to the autoscaler.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest silence accepted while writing: a peer that reads nothing for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// First and longest pause between two dials; it doubles in between. Short, because an autoscaler
/// that was restarted has activators with held requests waiting for it.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Frames queued towards the autoscaler. Some hundred are the most that a second brings; a peer
/// that leaves more unread is cut.
pub(crate) const FRAMES_QUEUED_MAX: usize = 4_096;

/// What happens on the link.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A connection stands; frames sent here go out. Dropping the sender closes it.
    Connected(mpsc::Sender<Up>),
    /// A frame came.
    Frame(Down),
    /// The connection is gone.
    Disconnected,
}

/// Keeps a connection to `address` for as long as it is polled and someone takes the events.
pub(crate) async fn run(address: String, events: mpsc::Sender<LinkEvent>, mut rng: fastrand::Rng) {
    let mut pause = PAUSE_MIN;
    loop {
        match connect(&address).await {
            Ok(stream) => {
                info!(%address, "link connected");
                let (frames, outgoing) = mpsc::channel(FRAMES_QUEUED_MAX);
                if events.send(LinkEvent::Connected(frames)).await.is_err() {
                    return;
                }
                let heard = converse(stream, outgoing, &events).await;
                if heard.frames > 0 {
                    pause = PAUSE_MIN;
                }
                warn!(%address, reason = %heard.end, "link lost; serving by the last table");
                if events.send(LinkEvent::Disconnected).await.is_err() {
                    return;
                }
            }
            Err(error) => debug!(%address, %error, "link not connected"),
        }
        sleep(pause.mul_f64(0.5 + rng.f64())).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn connect(address: &str) -> std::io::Result<TcpStream> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// How a connection went.
struct Heard {
    frames: u64,
    end: String,
}

async fn converse(
    stream: TcpStream,
    mut outgoing: mpsc::Receiver<Up>,
    events: &mpsc::Sender<LinkEvent>,
) -> Heard {
    let codec = LengthDelimitedCodec::builder().max_frame_length(FRAME_BYTES_MAX).new_codec();
    let (mut sink, mut source) = Framed::new(stream, codec).split();
    let mut frames = 0;
    let write = async {
        while let Some(frame) = outgoing.recv().await {
            let bytes = serde_json::to_vec(&frame).map_err(|error| error.to_string())?;
            match timeout(WRITE_TIMEOUT, sink.send(Bytes::from(bytes))).await {
                Ok(sent) => sent.map_err(|error| error.to_string())?,
                Err(_) => return Err("the peer reads nothing".to_owned()),
            }
        }
        Ok("closed by this side".to_owned())
    };
    let read = async {
        while let Some(bytes) = source.next().await {
            let bytes = bytes.map_err(|error| error.to_string())?;
            let frame = serde_json::from_slice(&bytes)
                .map_err(|error| format!("a frame that is none: {error}"))?;
            frames += 1;
            if events.send(LinkEvent::Frame(frame)).await.is_err() {
                break;
            }
        }
        Ok("closed by the peer".to_owned())
    };
    let end: Result<String, String> = tokio::select! {
        end = write => end,
        end = read => end,
    };
    Heard { frames, end: end.unwrap_or_else(|error| error) }
}
