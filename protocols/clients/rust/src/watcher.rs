use crate::error::word;
use crate::link::{grow, random, Heard, Link, EACH, NOTHING, PATIENCE, REACH};
use crate::reader::{Chunk, Piece};
use crate::v1::edge::{Flow, Over, Watch, Watched};
use crate::v1::message::{Message, Message_oneof_body as Body};
use crate::{Client, Error, Result};
use std::time::{Duration, Instant, SystemTime};

/// A node is left for the next one when it cannot be reached so long,
const CONNECT: Duration = Duration::from_secs(1);
/// or is silent so long.
const ANSWER: Duration = Duration::from_secs(3);
/// A node that began anew knows by then.
const SETTLED: Duration = Duration::from_secs(5);

/// Where to begin to watch.
#[derive(Clone, Debug)]
pub enum From {
    /// The newest place where a player can start.
    Live,
    /// The oldest byte there is.
    Start,
    Offset(u64),
    /// So long before the newest chunk.
    Back(Duration),
    /// The last chunk that was made by then.
    Time(SystemTime),
}

type Begun = Box<dyn FnMut(&str, u64)>;

/// How to watch.
pub struct View {
    pub from: From,
    /// Bytes that may be on their way.
    pub window: u64,
    /// HOST:PORT in order; none: as the director says.
    pub places: Vec<String>,
    /// A node begins to send, from an offset.
    pub begun: Begun,
}

impl View {
    pub fn new(from: From) -> View {
        View {
            from,
            window: 4 << 20,
            places: Vec::new(),
            begun: Box::new(|_, _| ()),
        }
    }
}

#[derive(Clone)]
struct Place {
    node: String,
    at: String,
}

/// Gets a stream as it grows, from one cache after the other. Dropped, it tells
/// the node.
pub struct Watcher {
    director: String,
    name: String,
    view: View,
    places: Vec<Place>,
    nth: usize,
    failed: Vec<String>, // Of no use since the last offer
    link: Option<Link>,
    request: u64,
    taken: u64, // In this session
    credit: u64,
    stream: u64,
    next: u64,
    opened: bool,
    begun: bool,
    over: bool,
    open_at: Instant,
    keep_at: Instant,
    moved: Instant,
    asked_at: Option<Instant>,
    pause: Duration,
    last: Error,
}

impl Watcher {
    pub(crate) fn open(
        director: &str,
        name: &str,
        view: View,
    ) -> Result<Watcher> {
        let now = Instant::now();
        let places = view.places.iter().map(|at| Place {
            node: at.clone(),
            at: at.clone(),
        });
        let mut it = Watcher {
            director: director.into(),
            name: name.into(),
            places: places.collect(),
            view,
            nth: 0,
            failed: Vec::new(),
            link: None,
            request: 0,
            taken: 0,
            credit: 0,
            stream: 0,
            next: 0,
            opened: false,
            begun: false,
            over: false,
            open_at: now,
            keep_at: now,
            moved: now,
            asked_at: None,
            pause: NOTHING,
            last: Error::new("late", "nothing came"),
        };
        if it.places.is_empty() {
            it.ask_director(REACH)?;
        }
        if it.places.is_empty() {
            return Err(Error::new("busy", "no node offers the stream"));
        }
        Ok(it)
    }

    /// Where to go; without an offer the list there is stays.
    fn ask_director(&mut self, within: Duration) -> Result<()> {
        let mut question = Message::new();
        question.mut_field_where().set_name(self.name.clone());
        question.mut_field_where().watch = true;
        question
            .mut_field_where()
            .set_not(self.failed.clone().into());
        let body = Client::connect(&self.director)?.ask(question, within)?;
        if let Body::offer(offer) = body {
            if !offer.places.is_empty() {
                let place = |one: &crate::v1::director::Place| Place {
                    node: one.node.clone(),
                    at: one.at.clone(),
                };
                self.places = offer.places.iter().map(place).collect();
            }
        }
        Ok(())
    }

    fn hang_up(&mut self) {
        if self.link.is_some() {
            let mut message = Message::new();
            message.mut_stop();
            let _ = self.say(message, NOTHING);
        }
        if let Some(link) = self.link.take() {
            link.linger(Duration::from_millis(200));
        }
        self.opened = false;
    }

    fn say(&self, mut message: Message, within: Duration) -> Result<bool> {
        message.request = self.request;
        match &self.link {
            Some(link) => link.send(&mut message, None, within),
            None => Ok(false),
        }
    }

    fn step(&mut self) -> Result<Option<Piece>> {
        let now = Instant::now();
        if now - self.moved > PATIENCE {
            return Err(self.last.clone());
        }
        let silent_at = self.asked_at.map(|asked| asked + ANSWER);
        let until = silent_at.map_or(self.keep_at, |at| at.min(self.keep_at));
        let heard = match &self.link {
            Some(link) => link.receive(until),
            None => {
                std::thread::sleep(self.open_at.saturating_duration_since(now));
                self.begin(Instant::now())?;
                return Ok(None);
            }
        };
        let now = Instant::now();
        match heard {
            Ok(Some(heard)) if heard.request == self.request => {
                return self.hear(heard, now)
            }
            Err(wrong) if wrong.concerns(self.request) => {
                self.leave(wrong, now)?
            }
            Ok(None) if silent_at.map_or(false, |at| now >= at) => {
                let at = &self.places[self.nth].at;
                self.leave(
                    Error::new("late", format!("no answer from {}", at)),
                    now,
                )?;
            }
            Ok(None) if now >= self.keep_at => self.keep(now)?,
            _ => (),
        }
        Ok(None)
    }

    fn wanted(&self) -> Watch {
        let mut watch = Watch::new();
        match &self.view.from {
            _ if self.begun => watch.set_offset(self.next),
            From::Live => watch.set_live(true),
            From::Start => watch.set_start(true),
            From::Offset(offset) => watch.set_offset(*offset),
            From::Back(before) => watch.set_back_ms(before.as_millis() as u64),
            From::Time(then) => watch.set_time_us(
                match then.duration_since(SystemTime::UNIX_EPOCH) {
                    Ok(since) => since.as_micros() as i64,
                    Err(before) => -(before.duration().as_micros() as i64),
                },
            ),
        }
        match self.stream {
            0 => watch.set_name(self.name.clone()),
            stream => watch.set_stream(stream),
        }
        watch.credit = self.view.window;
        watch
    }

    /// A session at the place whose turn it is.
    fn begin(&mut self, now: Instant) -> Result<()> {
        let link = Link::connect(&self.places[self.nth].at)?;
        let gone = link.gone();
        self.link = Some(link);
        self.request = random();
        self.taken = 0;
        self.credit = self.view.window;
        let mut message = Message::new();
        message.set_watch(self.wanted());
        if !self.say(message, CONNECT)? {
            return self.leave(gone, Instant::now());
        }
        self.asked_at = Some(now);
        self.keep_at = now + EACH;
        Ok(())
    }

    fn keep(&mut self, now: Instant) -> Result<()> {
        self.credit = self.taken + self.view.window;
        let mut message = Message::new();
        message.mut_watch_keep().credit = self.credit;
        if !self.say(message, CONNECT)? {
            let at = &self.places[self.nth].at;
            let why =
                Error::new("unreachable", format!("nobody answers at {}", at));
            return self.leave(why, Instant::now());
        }
        self.keep_at = now + EACH;
        self.asked_at.get_or_insert(now);
        Ok(())
    }

    /// At the same node, after a pause that grows while nothing comes.
    fn again(&mut self, why: Error, now: Instant) {
        self.hang_up();
        self.last = why;
        self.open_at = now + self.pause;
        self.pause = grow(self.pause, 100, 1000);
        self.asked_at = None;
    }

    fn lost(&mut self, now: Instant) {
        self.again(Error::new("late", "a chunk was lost on its way"), now);
    }

    /// For the next place; behind the last one the director is asked anew.
    fn leave(&mut self, why: Error, now: Instant) -> Result<()> {
        self.again(why.clone(), now);
        self.failed.push(self.places[self.nth].node.clone());
        self.nth += 1;
        if self.nth < self.places.len() {
            return Ok(());
        }
        self.nth = 0;
        if !self.begun && why.is("unreachable") && now - self.moved > REACH {
            return Err(why);
        }
        if self.view.places.is_empty() {
            let _ = self.ask_director(CONNECT); // Else the list there is will do.
        }
        self.failed.clear();
        Ok(())
    }

    fn hear(&mut self, heard: Heard, now: Instant) -> Result<Option<Piece>> {
        self.asked_at = None;
        match heard.body {
            Body::watched(watched) => return self.on_watched(&watched, now),
            Body::flow(flow) => return self.on_flow(flow, heard.payload, now),
            Body::skip(skip) if skip.from <= self.next => {
                return Ok(self.skip(skip.to, now))
            }
            Body::skip(_) => self.lost(now),
            Body::watching(watching) => {
                self.moved = now;
                // What it sent came before this word, or is lost.
                if self.opened && watching.at > self.next {
                    self.lost(now);
                }
            }
            Body::over(over) => self.on_over(&over, now)?,
            Body::refused(refused) => {
                self.on_refused(Error::refused(&refused), now)?
            }
            _ => (),
        }
        Ok(None)
    }

    fn on_over(&mut self, over: &Over, now: Instant) -> Result<()> {
        let status = word(over.status, over, 2);
        if status != "ok" {
            return self
                .leave(Error::new(&status, "the node cannot go on"), now);
        }
        if over.at > self.next {
            self.lost(now);
        } else {
            self.over = true;
        }
        Ok(())
    }

    fn skip(&mut self, to: u64, now: Instant) -> Option<Piece> {
        if to <= self.next {
            return None;
        }
        let hole = Piece::hole(self.next, to);
        self.advance(to, now);
        Some(hole)
    }

    fn advance(&mut self, to: u64, now: Instant) {
        self.next = to;
        self.moved = now;
        self.pause = NOTHING;
    }

    fn on_watched(
        &mut self,
        watched: &Watched,
        now: Instant,
    ) -> Result<Option<Piece>> {
        if self.opened {
            return Ok(None);
        }
        if watched.stream == 0
            || self.stream != 0 && watched.stream != self.stream
        {
            self.leave(Error::new("malformed", "another stream began"), now)?;
            return Ok(None);
        }
        self.opened = true;
        self.stream = watched.stream;
        self.moved = now;
        if !self.begun {
            self.next = watched.from;
        }
        self.begun = true;
        (self.view.begun)(&self.places[self.nth].node, watched.from);
        Ok(self.skip(watched.from, now))
    }

    fn on_flow(
        &mut self,
        mut flow: Flow,
        payload: zmq::Message,
        now: Instant,
    ) -> Result<Option<Piece>> {
        if !self.opened {
            return Ok(None);
        }
        let chunk =
            match Chunk::checked(flow.take_chunk(), payload, self.stream) {
                Ok(chunk) => chunk,
                Err(why) => return self.leave(why, now).map(|_| None),
            };
        if chunk.header.offset > self.next {
            self.lost(now);
            return Ok(None);
        }
        self.taken += chunk.payload.len() as u64;
        let (from, end) = (self.next, chunk.end());
        let piece = if end > from {
            self.advance(end, now);
            Some(chunk.piece(from, end))
        } else {
            None
        };
        let window = self.view.window;
        if self.taken + window - self.credit >= window / 4
            || now >= self.keep_at
        {
            self.keep(now)?;
        }
        Ok(piece)
    }

    fn on_refused(&mut self, why: Error, now: Instant) -> Result<()> {
        if self.begun && why.is("range") && self.next >= why.offset {
            self.over = true; // It ended meanwhile.
            return Ok(());
        }
        if why.is("session") {
            self.again(why, now);
            return Ok(());
        }
        // A node that is behind says FUTURE, one that has just begun may not
        // know the stream yet.
        let young = why.is("unknown") && now - self.moved < SETTLED;
        let waits = self.begun && (why.is("future") || young);
        if !waits && (why.is_final() || why.is("future")) {
            return Err(why);
        }
        self.leave(why, now)
    }
}

impl Iterator for Watcher {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Result<Piece>> {
        self.moved = Instant::now(); // The owner was silent, not the node.
        self.asked_at = self.asked_at.map(|_| self.moved);
        while !self.over {
            if let Some(step) = self.step().transpose() {
                self.over = step.is_err();
                return Some(step);
            }
        }
        self.hang_up();
        None
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.hang_up();
    }
}
