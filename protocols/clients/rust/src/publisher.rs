use crate::link::{
    grow, random, Link, ANSWERED, EACH, NOTHING, PATIENCE, REACH,
};
use crate::v1::chunk::{Kind, Protection};
use crate::v1::ingest::{Open, Opened, Progress};
use crate::v1::message::{Message, Message_oneof_body as Body};
use crate::{Error, Result};
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

const PIECE_MOST: usize = 1 << 20;
/// Then the session is opened anew.
const SILENCE: Duration = Duration::from_secs(2);
/// Of a source that says nothing.
const LEASE: Duration = Duration::from_secs(10);

/// What is published. The default is a recorded stream whose protection and
/// chunks rill chooses.
#[derive(Clone, Debug, Default)]
pub struct Source {
    pub live: bool,
    /// k data chunks, m of parity. (1, 0): none.
    pub protect: Option<(u32, u32)>,
    /// 0: rill chooses.
    pub chunk_bytes: u32,
    /// Of an earlier publisher, to go on; 0: a new source.
    pub token: u64,
}

struct Kept {
    offset: u64,
    bytes: Vec<u8>,
}

impl Kept {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// Writes one stream. It keeps what is not stored yet, opens again with its
/// token after any trouble and goes on: nothing twice, nothing missing. It keeps
/// no more than the forwarder's credit.
pub struct Publisher {
    at: String,
    open: Open,
    link: Option<Link>, // None: to be connected at open_at
    kept: VecDeque<Kept>,
    stream: u64,
    begin: u64,
    next: u64,
    sent: u64,
    stored: u64,
    settled: u64,
    credit: u64,
    session: u64, // 0: not open
    opened: bool,
    sealed: bool,
    finishing: bool,
    finish_said: bool,
    keep_request: u64,
    keep_sent: u64,
    open_at: Instant,
    said_at: Instant,
    kept_at: Instant,
    heard_at: Instant,
    moved: Instant,
    turned: Instant, // When the owner last let it work
    asked_at: Option<Instant>, // None: all is answered
    pause: Duration,
    last: Error, // Why nothing moves
}

impl Publisher {
    pub(crate) fn open(
        at: &str,
        name: &str,
        source: &Source,
    ) -> Result<Publisher> {
        let mut open = Open::new();
        open.set_name(name.into());
        open.kind = if source.live {
            Kind::KIND_LIVE
        } else {
            Kind::KIND_RECORDED
        };
        open.token = if source.token != 0 {
            source.token
        } else {
            random()
        };
        open.chunk_bytes = source.chunk_bytes;
        if let Some((k, m)) = source.protect {
            open.set_protection(Protection {
                k,
                m,
                ..Protection::new()
            });
        }
        let now = Instant::now();
        let mut it = Publisher {
            at: at.into(),
            open,
            link: None,
            kept: VecDeque::new(),
            stream: 0,
            begin: 0,
            next: 0,
            sent: 0,
            stored: 0,
            settled: 0,
            credit: 0,
            session: 0,
            opened: false,
            sealed: false,
            finishing: false,
            finish_said: false,
            keep_request: 0,
            keep_sent: 0,
            open_at: now,
            said_at: now,
            kept_at: now,
            heard_at: now,
            moved: now,
            turned: now,
            asked_at: None,
            pause: NOTHING,
            last: Error::new(
                "unreachable",
                format!("nobody answers at {}", at),
            ),
        };
        while !it.opened {
            it.turn(EACH)?;
        }
        Ok(it)
    }

    /// The stream's id.
    pub fn stream(&self) -> u64 {
        self.stream
    }

    /// With it another process can go on.
    pub fn token(&self) -> u64 {
        self.open.token
    }

    /// Of this source's first byte.
    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// Of the next byte written.
    pub fn offset(&self) -> u64 {
        self.next
    }

    /// All below is on disk, safe from the loss of any one worker.
    pub fn stored(&self) -> u64 {
        self.stored
    }

    /// Waits while there is no credit. Who has nothing to write says it with no
    /// bytes every few seconds.
    pub fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        loop {
            while self.hear(self.moved)? {}
            self.turn(NOTHING)?;
            if self.sealed || self.finishing {
                return Err(Error::new("sealed", "the stream has ended"));
            }
            if bytes.is_empty() {
                return Ok(());
            }
            if self.session == 0 || self.credit <= self.next {
                self.turn(EACH)?;
                continue;
            }
            let room =
                (self.credit - self.next).min(PIECE_MOST as u64) as usize;
            let (piece, rest) = bytes.split_at(bytes.len().min(room));
            self.kept.push_back(Kept {
                offset: self.next,
                bytes: piece.to_vec(),
            });
            self.next += piece.len() as u64;
            bytes = rest;
        }
    }

    /// Seals the stream; returns when all of it is safe.
    pub fn finish(&mut self) -> Result<()> {
        self.finishing = true;
        while !self.sealed || self.settled < self.next {
            self.turn(EACH)?;
        }
        self.hang_up(NOTHING);
        Ok(())
    }

    /// It stays open for who comes with the same token.
    pub fn leave(&mut self) {
        if let (Some(link), true) = (&self.link, self.session != 0) {
            let mut message = question();
            message.mut_source_leave().session = self.session;
            let _ = link.send(&mut message, None, NOTHING);
        }
        self.finishing = true;
        self.hang_up(Duration::from_millis(500));
    }

    fn hang_up(&mut self, linger: Duration) {
        if let Some(link) = self.link.take() {
            link.linger(linger);
        }
        self.session = 0;
    }

    /// Waits at most so long for one thing to happen.
    fn turn(&mut self, wait: Duration) -> Result<()> {
        let now = Instant::now();
        if now - self.turned > LEASE {
            self.moved = now; // The owner was silent, not the node.
        }
        self.turned = now;
        if self.hear(now)? {
            return Ok(());
        }
        let limit = match self.last.status.as_str() {
            "unreachable" if !self.opened => REACH,
            "late" if !self.opened => ANSWERED,
            _ => PATIENCE,
        };
        if now - self.moved > limit {
            return Err(self.last.clone());
        }
        let silent_at = self.asked_at.map(|asked| asked + SILENCE);
        match &self.link {
            None if now < self.open_at => {
                std::thread::sleep(wait.min(self.open_at - now));
                return Ok(());
            }
            None => self.say_open(now)?,
            Some(link) if silent_at.map_or(false, |at| now > at) => {
                let why = link.silent();
                self.reopen(why, now);
                return Ok(());
            }
            Some(_) if self.session != 0 && now >= self.keep_due() => {
                self.say_keep(now)?
            }
            Some(_) => (),
        }
        self.pump()?;
        if wait > NOTHING {
            let mut until = now + wait;
            if let Some(asked) = self.asked_at {
                until = until.min(asked + SILENCE);
            }
            if self.session != 0 {
                until = until.min(self.keep_due());
            }
            self.hear(until)?;
        }
        Ok(())
    }

    /// A second after the silence of either side began.
    fn keep_due(&self) -> Instant {
        self.said_at.min(self.heard_at).max(self.kept_at) + EACH
    }

    /// With the same token, on a new connection: what was under way on the old
    /// one is nobody's any more.
    fn reopen(&mut self, why: Error, now: Instant) {
        self.hang_up(NOTHING);
        self.last = why;
        self.open_at = now + self.pause;
        self.pause = grow(self.pause, 50, 400);
        self.asked_at = None;
    }

    fn say_open(&mut self, now: Instant) -> Result<()> {
        let link = Link::connect(&self.at)?;
        let mut message = question();
        message.set_open(self.open.clone());
        if !link.send(&mut message, None, EACH)? {
            self.reopen(link.gone(), now);
            return Ok(());
        }
        self.link = Some(link);
        self.said_at = now;
        self.asked_at = Some(now);
        Ok(())
    }

    /// How far is it? What was sent before has come when this is answered, or
    /// it never will.
    fn say_keep(&mut self, now: Instant) -> Result<()> {
        let mut message = question();
        if self.finishing && self.sent == self.next {
            message.mut_finish().session = self.session;
            message.mut_finish().offset = self.next;
            self.finish_said = true;
        } else {
            message.mut_source_keep().session = self.session;
        }
        if let Some(link) = &self.link {
            link.send(&mut message, None, NOTHING)?; // Who is gone is silent.
        }
        self.keep_request = message.request;
        self.keep_sent = self.sent;
        self.said_at = now;
        self.kept_at = now;
        self.asked_at.get_or_insert(now);
        Ok(())
    }

    /// Sends what is kept, up to the credit.
    fn pump(&mut self) -> Result<()> {
        let link = match &self.link {
            Some(link) if self.session != 0 => link,
            _ => return Ok(()),
        };
        for piece in &self.kept {
            let end = piece.end().min(self.credit);
            if self.sent < piece.offset || self.sent >= end {
                continue;
            }
            let mut message = question();
            message.mut_piece().session = self.session;
            message.mut_piece().offset = self.sent;
            let part = (self.sent - piece.offset) as usize
                ..(end - piece.offset) as usize;
            if !link.send(&mut message, Some(&piece.bytes[part]), EACH)? {
                return Ok(());
            }
            self.sent = end;
            self.said_at = Instant::now();
        }
        if self.finishing && !self.finish_said && self.sent == self.next {
            self.say_keep(Instant::now())?;
        }
        Ok(())
    }

    /// One message, if one comes until then.
    fn hear(&mut self, until: Instant) -> Result<bool> {
        let heard = match &self.link {
            Some(link) => link.receive(until)?,
            None => None,
        };
        let heard = match heard {
            Some(heard) => heard,
            None => return Ok(false),
        };
        let now = Instant::now();
        match heard.body {
            Body::opened(opened) => self.on_opened(&opened, now)?,
            Body::progress(progress) => {
                self.on_progress(heard.request, &progress, now)
            }
            Body::refused(refused) => {
                self.on_refused(Error::refused(&refused), now)?
            }
            _ => (),
        }
        Ok(true)
    }

    fn on_opened(&mut self, opened: &Opened, now: Instant) -> Result<()> {
        if self.session != 0 {
            return Ok(());
        }
        if !self.opened {
            self.stream = opened.stream;
            self.begin = opened.begin;
            self.next = opened.offset;
        } else if opened.begin != self.begin || opened.offset < self.stored {
            return Err(Error::new(
                "offset",
                "another source has written since",
            ));
        }
        if self.finishing && opened.offset > self.next {
            return Err(Error::new(
                "offset",
                "another source with our token has written",
            ));
        }
        self.opened = true;
        self.session = opened.session;
        self.sent = opened.offset;
        self.credit = opened.credit;
        self.heard_at = now;
        self.kept_at = now;
        self.moved = now;
        self.asked_at = None;
        self.finish_said = false;
        self.let_go(opened.offset);
        if opened.sealed {
            self.sealed = true;
            self.settled = opened.offset;
        }
        Ok(())
    }

    fn let_go(&mut self, stored: u64) {
        if stored > self.stored {
            self.stored = stored;
            self.pause = NOTHING;
        }
        while self
            .kept
            .front()
            .map_or(false, |kept| kept.end() <= self.stored)
        {
            self.kept.pop_front();
        }
        self.sent = self.sent.max(self.stored);
    }

    fn on_progress(&mut self, request: u64, progress: &Progress, now: Instant) {
        if self.session == 0 || progress.session != self.session {
            return;
        }
        self.heard_at = now;
        self.moved = now;
        self.asked_at = None;
        self.credit = self.credit.max(progress.credit);
        self.settled = self.settled.max(progress.settled);
        self.let_go(progress.stored);
        self.sealed |= progress.sealed;
        let lost =
            request == self.keep_request && progress.received < self.keep_sent;
        if lost && !self.sealed {
            self.reopen(
                Error::new("offset", "bytes were lost on their way"),
                now,
            );
        }
    }

    fn on_refused(&mut self, why: Error, now: Instant) -> Result<()> {
        // Of one that is fenced the successor answers here soon.
        if why.is_final() && !why.is("fenced") {
            return Err(why);
        }
        if why.retry != "reopen" {
            self.pause = grow(self.pause, 50, 400);
        }
        self.reopen(why, now);
        Ok(())
    }
}

impl io::Write for Publisher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes)
            .map_err(|why| io::Error::new(io::ErrorKind::Other, why))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn question() -> Message {
    Message {
        request: random(),
        ..Message::new()
    }
}
