use crate::link::{grow, random, Link, EACH, NOTHING, PATIENCE, REACH};
use crate::v1::chunk::ChunkHeader;
use crate::v1::edge::Described;
use crate::v1::message::{Message, Message_oneof_body as Body};
use crate::{Error, Result};
use std::time::{Duration, Instant};

const ASKS_MOST: usize = 8;
/// Of one ask.
const BUDGET: Duration = Duration::from_secs(2);
const LENGTH: u64 = 256 << 10;

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut sum = i as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 {
                sum >> 1 ^ 0x82f6_3b78
            } else {
                sum >> 1
            };
            bit += 1;
        }
        table[i] = sum;
        i += 1;
    }
    table
}

static CRC: [u32; 256] = crc_table();

/// CRC32C, as in RFC 3720, a byte at a time.
fn crc32c(bytes: &[u8]) -> u32 {
    let (mut sum, mut i) = (!0, 0);
    while i < bytes.len() {
        // An iterator is slow where it is not optimized away.
        sum = sum >> 8 ^ CRC[(sum as u8 ^ bytes[i]) as usize];
        i += 1;
    }
    !sum
}

/// A chunk that is what its header says.
pub(crate) struct Chunk {
    pub header: ChunkHeader,
    pub payload: zmq::Message,
}

impl Chunk {
    pub fn checked(
        header: ChunkHeader,
        payload: zmq::Message,
        stream: u64,
    ) -> Result<Chunk> {
        let right = header.stream == stream
            && header.slot < header.k
            && header.length as usize == payload.len()
            && header.offset.checked_add(header.length as u64).is_some()
            && crc32c(&payload) == header.payload_crc;
        if right {
            Ok(Chunk { header, payload })
        } else {
            Err(Error::new(
                "corrupt",
                "a chunk came that is not what was written",
            ))
        }
    }

    pub fn end(&self) -> u64 {
        self.header.offset + self.payload.len() as u64
    }

    fn covers(&self, offset: u64) -> bool {
        self.header.offset <= offset && offset < self.end()
    }

    pub fn piece(self, offset: u64, to: u64) -> Piece {
        Piece {
            offset,
            to,
            chunk: Some(self.header),
            payload: self.payload,
        }
    }
}

/// Bytes at an offset and the header of the chunk that they came in; or a hole:
/// the stream has no bytes up to `to`.
#[derive(Debug)]
pub struct Piece {
    pub offset: u64,
    pub to: u64,
    pub chunk: Option<ChunkHeader>,
    payload: zmq::Message,
}

impl Piece {
    pub(crate) fn hole(offset: u64, to: u64) -> Piece {
        Piece {
            offset,
            to,
            chunk: None,
            payload: zmq::Message::new(),
        }
    }

    pub fn is_hole(&self) -> bool {
        self.chunk.is_none()
    }

    pub fn bytes(&self) -> &[u8] {
        match &self.chunk {
            Some(chunk) => {
                let from = (self.offset - chunk.offset) as usize;
                &self.payload[from..from + (self.to - self.offset) as usize]
            }
            None => &[],
        }
    }
}

struct Question {
    offset: u64,
    request: u64, // 0: to be asked at `at`; else it was, then
    at: Instant,
    pause: Duration,
}

/// Has several asks open, where it expects chunks to begin, and gives their
/// bytes in order.
pub struct Reader {
    link: Link,
    stream: u64,
    next: u64,
    to: u64,
    expected: u64, // Where the next ask goes
    length: u64,   // That chunks have
    asks: Vec<Question>,
    held: Vec<Chunk>, // That came before their turn
    moved: Instant,
    lost_at: Option<Instant>, // Since when the node is out of reach
    last: Error,
}

impl Reader {
    pub(crate) fn open(
        at: &str,
        is: &Described,
        from: u64,
        to: u64,
    ) -> Result<Reader> {
        if from > to {
            return Err(Error::new(
                "argument",
                "a range ends before it begins",
            ));
        }
        let link = Link::connect(at)?;
        Ok(Reader {
            last: link.silent(),
            link,
            stream: is.stream,
            next: from,
            to,
            expected: from,
            length: if is.chunk_bytes == 0 {
                LENGTH
            } else {
                is.chunk_bytes as u64
            },
            asks: Vec::new(),
            held: Vec::new(),
            moved: Instant::now(),
            lost_at: None,
        })
    }

    fn step(&mut self) -> Result<Option<Piece>> {
        while self.next < self.to {
            if let Some(piece) = self.due() {
                return Ok(Some(piece));
            }
            self.ask()?;
            if let Some(hole) = self.hear()? {
                return Ok(Some(hole));
            }
        }
        Ok(None)
    }

    /// What is next, if its chunk is held.
    fn due(&mut self) -> Option<Piece> {
        let from = self.next;
        let nth = self.held.iter().position(|chunk| chunk.covers(from))?;
        let chunk = self.held.swap_remove(nth);
        self.next = chunk.end().min(self.to);
        let next = self.next;
        self.held.retain(|chunk| chunk.end() > next);
        Some(chunk.piece(from, next))
    }

    fn is_open(&self, offset: u64) -> bool {
        self.asks.iter().any(|ask| ask.offset == offset)
    }

    fn want(&mut self, offset: u64) {
        if !self.is_open(offset) {
            self.asks.push(Question {
                offset,
                request: 0,
                at: self.moved,
                pause: NOTHING,
            });
        }
    }

    /// Where the next chunks should begin.
    fn predict(&mut self) {
        self.expected = self.expected.max(self.next);
        self.want(self.next);
        while self.asks.len() + self.held.len() < ASKS_MOST
            && self.expected < self.to
        {
            let place = self.expected;
            match self.held.iter().find(|chunk| chunk.covers(place)) {
                Some(known) => self.expected = known.end(),
                None => {
                    self.want(place);
                    self.expected = place.saturating_add(self.length);
                }
            }
        }
    }

    /// For the next byte and ahead of it, and again what is due again.
    fn ask(&mut self) -> Result<()> {
        let now = Instant::now();
        if now - self.moved > PATIENCE {
            return Err(self.last.clone());
        }
        if self.lost_at.map_or(false, |lost| now - lost > REACH) {
            return Err(self.link.gone());
        }
        self.predict();
        for ask in &mut self.asks {
            if ask.request != 0 && now - ask.at > BUDGET + EACH / 2 {
                ask.request = 0;
                ask.at = now;
            }
            if ask.request != 0 || now < ask.at {
                continue;
            }
            let mut message = Message {
                request: random(),
                ..Message::new()
            };
            message.mut_ask().stream = self.stream;
            message.mut_ask().set_offset(ask.offset);
            message.mut_ask().budget_ms = BUDGET.as_millis() as u32;
            if !self.link.send(&mut message, None, EACH / 10)? {
                self.lost_at.get_or_insert(now);
                return Ok(());
            }
            self.lost_at = None;
            ask.request = message.request;
            ask.at = now;
        }
        Ok(())
    }

    /// One answer, or until something is to be asked again; maybe a hole.
    fn hear(&mut self) -> Result<Option<Piece>> {
        let waiting = self
            .asks
            .iter()
            .filter(|ask| ask.request == 0)
            .map(|ask| ask.at);
        let until = waiting.fold(Instant::now() + EACH, Instant::min);
        let heard = match self.link.receive(until) {
            Ok(Some(heard)) => heard,
            Ok(None) => return Ok(None),
            Err(wrong)
                if self.asks.iter().any(|ask| wrong.concerns(ask.request)) =>
            {
                return Err(wrong);
            }
            Err(_) => return Ok(None),
        };
        let nth = match self
            .asks
            .iter()
            .position(|ask| ask.request == heard.request)
        {
            Some(nth) => nth,
            None => return Ok(None),
        };
        let offset = self.asks[nth].offset;
        let came = match heard.body {
            Body::refused(refused) => Err(Error::refused(&refused)),
            Body::answer(mut answer) => {
                Chunk::checked(answer.take_chunk(), heard.payload, self.stream)
            }
            _ => {
                return Err(Error::new(
                    "kind",
                    "the node answered another question",
                ))
            }
        };
        match came {
            Ok(chunk) if chunk.covers(offset) => {
                self.asks.swap_remove(nth);
                self.moved = Instant::now();
                self.length = chunk.payload.len() as u64;
                if chunk.end() > self.next {
                    self.held.push(chunk);
                }
                Ok(None)
            }
            Ok(_) => {
                self.refused(nth, Error::new("corrupt", "another chunk came"))
            }
            Err(why) => self.refused(nth, why),
        }
    }

    fn refused(&mut self, nth: usize, why: Error) -> Result<Option<Piece>> {
        let ask = &mut self.asks[nth];
        let ahead = ask.offset != self.next;
        let hole = why.is("range") && why.offset > ask.offset;
        if !hole && !why.is_final() && !why.is("future") {
            ask.pause = grow(ask.pause, 50, 800);
            ask.request = 0;
            ask.at = Instant::now() + ask.pause;
            self.last = why;
            return Ok(None);
        }
        if !hole && !ahead {
            return Err(why);
        }
        // What lies ahead, if it is true, is met again when it is its turn.
        self.asks.swap_remove(nth);
        if hole {
            self.expected = self.expected.max(why.offset);
        }
        if ahead {
            return Ok(None);
        }
        let found = Piece::hole(self.next, why.offset.min(self.to));
        self.next = found.to;
        self.moved = Instant::now();
        Ok(Some(found))
    }
}

impl Iterator for Reader {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Result<Piece>> {
        self.moved = Instant::now(); // The owner was silent, not the node.
        self.lost_at = None;
        let step = self.step().transpose();
        if let Some(Err(_)) = step {
            self.next = self.to;
        }
        step
    }
}
