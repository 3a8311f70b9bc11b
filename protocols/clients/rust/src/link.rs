//! One connection to a node's front.

use crate::error::word;
use crate::v1::message::{Message, Message_oneof_body as Body};
use crate::{Error, Result};
use protobuf::Message as _;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::ops::Deref;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const VERSION: u32 = 1;
pub const HEAD_MOST: usize = 64 << 10;
const PAYLOAD_MOST: i64 = (4 << 20) + (4 << 10);
pub const NOTHING: Duration = Duration::from_secs(0);
pub const REACH: Duration = Duration::from_secs(3);
pub const ANSWERED: Duration = Duration::from_secs(15);
pub const EACH: Duration = Duration::from_secs(1);
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One for all sockets of the process, while there are any, and how many there
/// are: what was said last leaves before it ends.
static CONTEXT: Mutex<(usize, Option<zmq::Context>)> = Mutex::new((0, None));

/// A socket, counted.
pub struct Socket(zmq::Socket);

impl Deref for Socket {
    type Target = zmq::Socket;

    fn deref(&self) -> &zmq::Socket {
        &self.0
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut context =
            CONTEXT.lock().unwrap_or_else(|broken| broken.into_inner());
        context.0 -= 1;
        if context.0 == 0 {
            context.1 = None; // The socket has the last share.
        }
    }
}

/// The standard library's own chance, which it seeds from the system.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish() >> 1 | 1
}

pub fn grow(pause: Duration, first: u64, most: u64) -> Duration {
    if pause == NOTHING {
        Duration::from_millis(first)
    } else {
        (2 * pause).min(Duration::from_millis(most))
    }
}

pub fn open(kind: zmq::SocketType, queue: i32) -> Result<Socket> {
    let mut context =
        CONTEXT.lock().unwrap_or_else(|broken| broken.into_inner());
    let socket = Socket(
        context
            .1
            .get_or_insert_with(zmq::Context::new)
            .socket(kind)?,
    );
    context.0 += 1;
    drop(context);
    socket.set_linger(0)?;
    socket.set_sndhwm(64)?;
    socket.set_rcvhwm(queue)?;
    // Nothing is sent to who is not there.
    socket.set_immediate(true)?;
    socket.set_reconnect_ivl(50)?;
    socket.set_reconnect_ivl_max(1000)?;
    socket.set_ipv6(true)?;
    socket.set_maxmsgsize(PAYLOAD_MOST)?;
    Ok(socket)
}

pub fn join(socket: &zmq::Socket, endpoint: &str) -> Result<()> {
    loop {
        match socket.connect(endpoint) {
            Err(zmq::Error::EINTR) => continue,
            other => {
                return other.map_err(|why| {
                    Error::new("address", format!("{}: {}", endpoint, why))
                })
            }
        }
    }
}

/// The frames of a message that comes until then; of more than three the first
/// four, the rest is let go.
pub fn frames(
    socket: &zmq::Socket,
    until: Instant,
) -> Result<Option<Vec<zmq::Message>>> {
    loop {
        let wait = until.saturating_duration_since(Instant::now());
        let ms = (wait.as_micros() as i64 + 999) / 1000;
        match socket.poll(zmq::POLLIN, ms) {
            Ok(0) if Instant::now() >= until => return Ok(None),
            Ok(0) | Err(zmq::Error::EINTR) => continue,
            Ok(_) => break,
            Err(why) => return Err(why.into()),
        }
    }
    let mut parts = Vec::new();
    loop {
        let frame = match socket.recv_msg(zmq::DONTWAIT) {
            Err(zmq::Error::EINTR) => continue,
            Err(zmq::Error::EAGAIN) => return Ok(None),
            other => other?,
        };
        let more = frame.get_more();
        if parts.len() < 4 {
            parts.push(frame);
        }
        if !more {
            return Ok(Some(parts));
        }
    }
}

/// What came: a body, and its payload where it has one.
pub struct Heard {
    pub request: u64,
    pub body: Body,
    pub payload: zmq::Message,
}

pub struct Link {
    socket: Socket,
    at: String,
}

impl Link {
    pub fn connect(at: &str) -> Result<Link> {
        if !at.contains(':') {
            return Err(Error::new(
                "address",
                format!("{} is not HOST:PORT", at),
            ));
        }
        let socket = open(zmq::DEALER, 1000)?;
        join(&socket, &format!("tcp://{}", at))?;
        Ok(Link {
            socket,
            at: at.into(),
        })
    }

    /// It is closed when dropped; what was said is still sent within so long.
    pub fn linger(&self, time: Duration) {
        let _ = self.socket.set_linger(time.as_millis() as i32);
    }

    pub fn gone(&self) -> Error {
        Error::new("unreachable", format!("nobody answers at {}", self.at))
    }

    pub fn silent(&self) -> Error {
        Error::new("late", format!("no answer from {}", self.at))
    }

    /// False: nobody is there to take it within so long.
    pub fn send(
        &self,
        message: &mut Message,
        payload: Option<&[u8]>,
        within: Duration,
    ) -> Result<bool> {
        message.version = VERSION;
        message.trace = random();
        let head = message.write_to_bytes().unwrap_or_default();
        if head.len() > HEAD_MOST {
            return Err(Error::new(
                "too_large",
                "a head over 64 KiB is not sent",
            ));
        }
        self.socket.set_sndtimeo(within.as_millis() as i32)?;
        let more = if payload.is_some() { zmq::SNDMORE } else { 0 };
        Ok(self.frame(&[], zmq::SNDMORE)?
            && self.frame(&head, more)?
            && payload.map_or(Ok(true), |bytes| self.frame(bytes, 0))?)
    }

    fn frame(&self, bytes: &[u8], flags: i32) -> Result<bool> {
        loop {
            match self.socket.send(bytes, flags) {
                Err(zmq::Error::EINTR) => continue,
                Err(zmq::Error::EAGAIN) => return Ok(false),
                other => return Ok(other.map(|_| true)?),
            }
        }
    }

    /// None: nothing came until then. What is no message of this version is an
    /// error, with its request where that can be read.
    pub fn receive(&self, until: Instant) -> Result<Option<Heard>> {
        let mut parts = match frames(&self.socket, until)? {
            Some(parts) => parts,
            None => return Ok(None),
        };
        if parts.len() < 2 || !parts[0].is_empty() {
            return Err(Error::new(
                "malformed",
                "a message of other parts came",
            ));
        }
        if parts[1].len() > HEAD_MOST {
            return Err(Error::new("too_large", "a head over 64 KiB came"));
        }
        let message = Message::parse_from_bytes(&parts[1]).map_err(|_| {
            Error::new("malformed", "a head came that is no message")
        })?;
        let request = message.request;
        let wrong = |status, text| Err(Error::wrong(status, text, request));
        if message.version != VERSION {
            return wrong("version", "the node speaks another version");
        }
        let body = match message.body {
            Some(body) => body,
            None => {
                return wrong("kind", "the node said what is not known here")
            }
        };
        if parts.len() != if has_payload(&body) { 3 } else { 2 } {
            return wrong("malformed", "a payload is missing or too much");
        }
        if let Body::refused(refused) = &body {
            if word(refused.status, refused, 1) == "ok" {
                return wrong("malformed", "the node refused with OK");
            }
        }
        let payload = if parts.len() == 3 {
            parts.remove(2)
        } else {
            zmq::Message::new()
        };
        Ok(Some(Heard {
            request,
            body,
            payload,
        }))
    }
}

fn has_payload(body: &Body) -> bool {
    matches!(
        body,
        Body::piece(_)
            | Body::answer(_)
            | Body::store(_)
            | Body::fetched(_)
            | Body::flow(_)
    )
}
