//! Dials every autoscaler there is, again and again; turns each connection into frames.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use dormouse_link::Connection;
use dormouse_link::frame::{Down, FRAME_BYTES_MAX, Up};
use futures_util::stream::FuturesUnordered;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use tokio_util::either::Either;
use tracing::{debug, info, warn};

use crate::config::Token;
use crate::link_tls::secure;

/// Longest wait for a connection to an autoscaler, and for a name to be looked up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest silence accepted while writing: a peer that reads nothing for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// First and longest pause between two dials; it doubles in between. Short, because an autoscaler
/// that was restarted has activators with held requests waiting for it.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How often names are looked up: a new autoscaler is to be heard before it leads.
const LOOK_UP_INTERVAL: Duration = Duration::from_secs(2);

/// Most autoscalers dialled: more than anybody runs, so that a name cannot make us dial the world.
const AUTOSCALERS_MAX: usize = 16;

/// Frames queued towards an autoscaler. Some hundred are the most that a second brings; a peer
/// that leaves more unread is cut.
pub(crate) const FRAMES_QUEUED_MAX: usize = 4_096;

/// What happens on the link.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A connection stands, and this is to be shown there; frames sent here go out. Dropping the
    /// sender closes it.
    Connected(Connection, String, mpsc::Sender<Up>),
    /// A frame came.
    Frame(Connection, Down),
    /// The connection is gone.
    Disconnected(Connection),
}

/// Keeps connections to every autoscaler.
pub(crate) struct LinkClient {
    /// Where autoscalers listen, `host:port`.
    pub(crate) places: Vec<String>,
    /// The file of the authorities whose certificates they show; none = they show none.
    pub(crate) authorities: Option<PathBuf>,
    /// What they are shown.
    pub(crate) token: Token,
    /// Where events go.
    pub(crate) events: mpsc::Sender<LinkEvent>,
    /// Spreads the pauses.
    pub(crate) rng: fastrand::Rng,
}

/// A connection, secured or not.
type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// Nobody takes events any more.
struct Unheard;

/// One autoscaler's address.
struct Dialler {
    address: SocketAddr,
    /// The name that led there.
    host: String,
    authorities: Option<PathBuf>,
    token: Token,
    events: mpsc::Sender<LinkEvent>,
    rng: fastrand::Rng,
    /// Whether it is to be dialled again, should its connection end.
    is_listed: Rc<Cell<bool>>,
    /// Numbers connections, of all diallers.
    connections: Rc<Cell<u64>>,
}

impl LinkClient {
    /// Runs for as long as it is polled and someone takes the events.
    pub(crate) async fn run(mut self) {
        let connections = Rc::new(Cell::new(0));
        let mut diallers = FuturesUnordered::new();
        let mut dialled: BTreeMap<SocketAddr, Rc<Cell<bool>>> = BTreeMap::new();
        let mut said = Said::default();
        loop {
            let listed = look_up(&self.places).await;
            if let Err(reason) = &listed
                && said.is_new(reason)
            {
                warn!(reason, "no autoscaler is found");
            }
            if let Ok(listed) = listed {
                said = Said::default();
                for (address, is_listed) in &dialled {
                    is_listed.set(listed.contains_key(address));
                }
                for (address, host) in listed {
                    if dialled.contains_key(&address) || dialled.len() >= AUTOSCALERS_MAX {
                        continue;
                    }
                    let is_listed = Rc::new(Cell::new(true));
                    dialled.insert(address, Rc::clone(&is_listed));
                    let dialler = Dialler {
                        address,
                        host,
                        authorities: self.authorities.clone(),
                        token: self.token.clone(),
                        events: self.events.clone(),
                        rng: self.rng.fork(),
                        is_listed,
                        connections: Rc::clone(&connections),
                    };
                    diallers.push(dialler.run());
                }
            }
            let mut again = Box::pin(sleep(LOOK_UP_INTERVAL));
            loop {
                tokio::select! {
                    () = &mut again => break,
                    Some(ended) = diallers.next() => match ended {
                        Ok(address) => drop(dialled.remove(&address)),
                        Err(Unheard) => return,
                    },
                }
            }
        }
    }
}

/// What was said last of something that is tried again and again.
#[derive(Default)]
struct Said(Option<String>);

impl Said {
    /// Whether that is something else.
    fn is_new(&mut self, reason: &str) -> bool {
        let is_new = self.0.as_deref() != Some(reason);
        self.0 = Some(reason.to_owned());
        is_new
    }
}

/// The addresses of all places, and the host that led to each; or why one could not be looked up,
/// for what is missing may exist. Of a name with addresses of both families only those of the first
/// one count: an autoscaler has one of each, and is to be dialled once.
async fn look_up(places: &[String]) -> Result<BTreeMap<SocketAddr, String>, String> {
    let mut all = BTreeMap::new();
    for place in places {
        let found = match timeout(CONNECT_TIMEOUT, lookup_host(place)).await {
            Ok(Ok(found)) => found.collect::<Vec<_>>(),
            Ok(Err(error)) => return Err(format!("{place}: {error}")),
            Err(_) => return Err(format!("{place}: no answer")),
        };
        let family = found.first().map(SocketAddr::is_ipv4);
        let host = place.rsplit_once(':').map_or(place.as_str(), |(host, _)| host);
        let host = host.trim_matches(['[', ']']);
        let found = found.into_iter().filter(|address| Some(address.is_ipv4()) == family);
        all.extend(found.map(|address| (address, host.to_owned())));
    }
    Ok(all)
}

impl Dialler {
    /// Keeps a connection to the address until it is listed no longer, and returns it.
    async fn run(mut self) -> Result<SocketAddr, Unheard> {
        let address = self.address;
        let mut pause = PAUSE_MIN;
        let mut said = Said::default();
        while self.is_listed.get() {
            match self.dial().await {
                Ok((stream, token)) => {
                    said = Said::default();
                    self.connections.set(self.connections.get() + 1);
                    let connection = Connection(self.connections.get());
                    info!(%address, connection = connection.0, "link connected");
                    let (frames, outgoing) = mpsc::channel(FRAMES_QUEUED_MAX);
                    self.tell(LinkEvent::Connected(connection, token, frames)).await?;
                    let heard = converse(stream, connection, outgoing, &self.events).await;
                    if heard.was_admitted {
                        pause = PAUSE_MIN;
                    }
                    let number = connection.0;
                    match heard.lost {
                        Some(why) => {
                            warn!(%address, connection = number, reason = why, "link lost")
                        }
                        None => info!(%address, connection = number, "link closed"),
                    }
                    self.tell(LinkEvent::Disconnected(connection)).await?;
                }
                Err(reason) if said.is_new(&reason) => {
                    warn!(%address, reason, "link not connected");
                }
                Err(reason) => debug!(%address, reason, "link not connected"),
            }
            sleep(pause.mul_f64(0.5 + self.rng.f64())).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(address)
    }

    /// A connection, and what is to be shown there: read anew, for it changes while we run.
    async fn dial(&self) -> Result<(Stream, String), String> {
        let token = self.token.read()?;
        let dialled = timeout(CONNECT_TIMEOUT, TcpStream::connect(self.address)).await;
        let dialled = dialled.map_err(|_| "no answer".to_owned())?;
        let stream = dialled.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let Some(authorities) = &self.authorities else {
            return Ok((Either::Left(stream), token));
        };
        let secured = timeout(CONNECT_TIMEOUT, secure(stream, &self.host, authorities)).await;
        let stream = secured.map_err(|_| "no answer".to_owned())??;
        Ok((Either::Right(stream), token))
    }

    async fn tell(&self, event: LinkEvent) -> Result<(), Unheard> {
        self.events.send(event).await.map_err(|_| Unheard)
    }
}

/// How a connection went.
struct Heard {
    /// Whether the autoscaler said anything but that it refuses us: then who dials again finds it
    /// well, and need not wait.
    was_admitted: bool,
    /// Why it ended; none = this side closed it.
    lost: Option<String>,
}

async fn converse(
    stream: Stream,
    connection: Connection,
    mut outgoing: mpsc::Receiver<Up>,
    events: &mpsc::Sender<LinkEvent>,
) -> Heard {
    let codec = LengthDelimitedCodec::builder().max_frame_length(FRAME_BYTES_MAX).new_codec();
    let (mut sink, mut source) = Framed::new(stream, codec).split();
    let mut was_admitted = false;
    let write = async {
        while let Some(frame) = outgoing.recv().await {
            let bytes = serde_json::to_vec(&frame).map_err(|error| error.to_string())?;
            match timeout(WRITE_TIMEOUT, sink.send(Bytes::from(bytes))).await {
                Ok(sent) => sent.map_err(|error| error.to_string())?,
                Err(_) => return Err("the peer reads nothing".to_owned()),
            }
        }
        Ok(None)
    };
    let read = async {
        while let Some(bytes) = source.next().await {
            let bytes = bytes.map_err(|error| error.to_string())?;
            let frame = serde_json::from_slice(&bytes)
                .map_err(|error| format!("a frame that is none: {error}"))?;
            was_admitted |= !matches!(frame, Down::Refused { .. });
            if events.send(LinkEvent::Frame(connection, frame)).await.is_err() {
                break;
            }
        }
        Ok(Some("closed by the peer".to_owned()))
    };
    let lost: Result<Option<String>, String> = tokio::select! {
        end = write => end,
        end = read => end,
    };
    Heard { was_admitted, lost: lost.unwrap_or_else(Some) }
}

#[cfg(test)]
mod tests {
    use dormouse_link::frame::VERSION;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn what_is_tried_again_and_again_is_said_when_its_reason_changes() {
        let mut said = Said::default();
        let reasons = ["refused", "refused", "no route", "refused"];
        assert_eq!(reasons.map(|reason| said.is_new(reason)), [true, false, true, true]);
    }

    #[tokio::test]
    async fn who_is_refused_was_not_admitted_and_dials_ever_more_seldom() {
        let refused = Down::Refused { reason: "no".to_owned() };
        let welcome = Down::Welcome { version: VERSION, leads: None };
        for (said, was_admitted) in [(refused, false), (welcome, true)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (autoscaler, _) = listener.accept().await.unwrap();
            let mut autoscaler = Framed::new(autoscaler, LengthDelimitedCodec::new());
            autoscaler.send(Bytes::from(serde_json::to_vec(&said).unwrap())).await.unwrap();
            drop(autoscaler);
            let (events, mut told) = mpsc::channel(1);
            let (_outgoing, frames) = mpsc::channel(1);
            let heard = converse(Either::Left(stream), Connection(1), frames, &events).await;
            assert!(matches!(told.recv().await, Some(LinkEvent::Frame(..))));
            assert_eq!(heard.was_admitted, was_admitted);
        }
    }

    #[tokio::test]
    async fn each_place_is_dialled_once_and_one_unknown_hides_none() {
        let places = |places: &[&str]| places.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        let twice = places(&["127.0.0.1:9", "127.0.0.1:8", "127.0.0.1:9"]);
        let found = look_up(&twice).await.unwrap();
        let expected: [SocketAddr; 2] = [([127, 0, 0, 1], 8).into(), ([127, 0, 0, 1], 9).into()];
        assert!(found.keys().eq(&expected) && found.values().all(|host| host == "127.0.0.1"));
        let six = look_up(&places(&["[::1]:7"])).await.unwrap();
        assert_eq!(six.values().next().unwrap(), "::1");
        let unknown = look_up(&places(&["127.0.0.1:9", "no such name:1"])).await.unwrap_err();
        assert!(unknown.starts_with("no such name:1: "), "{unknown}");
    }
}
