//! Publishes, reads and watches streams of a rill cluster.
//!
//! Nothing runs in the background: what keeps a session alive is said within
//! `write` and `next`.

mod error;
mod link;
mod publisher;
mod reader;
mod tap;
mod watcher;

/// The messages, made from protocols/rill/v1.
pub use rill_messages as v1;

pub use error::{Error, Result};
pub use publisher::{Publisher, Source};
pub use reader::{Piece, Reader};
pub use tap::{Tap, Told};
pub use watcher::{From, View, Watcher};

use link::{random, Link, ANSWERED, REACH};
use std::ops::{Bound, RangeBounds};
use std::time::{Duration, Instant};
use v1::edge::{Described, Report};
use v1::message::{Message, Message_oneof_body as Body};

/// Asks one node: the forwarder, a cache or the director.
pub struct Client {
    at: String,
    link: Link,
}

impl Client {
    /// To the front at HOST:PORT. Whether it is there shows with the first
    /// question.
    pub fn connect(at: &str) -> Result<Client> {
        let link = Link::connect(at)?;
        Ok(Client {
            at: at.into(),
            link,
        })
    }

    pub fn describe(&self, name: &str) -> Result<Described> {
        let mut question = Message::new();
        question.mut_describe().set_name(name.into());
        match self.ask(question, REACH)? {
            Body::described(is) => Ok(is),
            _ => Err(other()),
        }
    }

    /// All streams, by name.
    pub fn list(&self) -> Result<Vec<Described>> {
        let mut all: Vec<Described> = Vec::new();
        loop {
            let mut question = Message::new();
            let after = all.last().map_or("", |is| is.get_name());
            question.mut_list().set_after(after.into());
            let mut page = match self.ask(question, REACH)? {
                Body::listing(page) => page,
                _ => return Err(other()),
            };
            let more = page.more && !page.streams.is_empty();
            all.extend(page.take_streams());
            if !more {
                return Ok(all);
            }
        }
    }

    /// Opens a stream for writing.
    pub fn publish(&self, name: &str, source: &Source) -> Result<Publisher> {
        Publisher::open(&self.at, name, source)
    }

    /// The bytes of a range; `..`: all that is stored now.
    pub fn read(
        &self,
        name: &str,
        range: impl RangeBounds<u64>,
    ) -> Result<Reader> {
        let is = self.describe(name)?;
        let from = match range.start_bound() {
            Bound::Included(&at) => at,
            Bound::Excluded(&at) => at.saturating_add(1),
            Bound::Unbounded => is.first,
        };
        let to = match range.end_bound() {
            Bound::Included(&at) => at.saturating_add(1),
            Bound::Excluded(&at) => at,
            Bound::Unbounded if from <= is.stored => is.stored,
            // The node says what is wrong with it.
            Bound::Unbounded => from.saturating_add(1),
        };
        Reader::open(&self.at, &is, from, to)
    }

    /// Watches a stream as it grows.
    pub fn watch(&self, name: &str, view: View) -> Result<Watcher> {
        Watcher::open(&self.at, name, view)
    }

    /// Events of this node and all that it names, the director the whole tree.
    /// Kinds are those of `v1::event::Event`, and "sample"; none: all events.
    pub fn tap(&self, kinds: &[&str]) -> Result<Tap> {
        Tap::open(&self.at, kinds)
    }

    fn report(&self, within: Duration) -> Result<Report> {
        let mut question = Message::new();
        question.mut_status_ask();
        match self.ask(question, within)? {
            Body::report(report) => Ok(report),
            _ => Err(other()),
        }
    }

    /// Any question. What may have been lost with a connection is asked again,
    /// who is busy too; other refusals are errors.
    fn ask(&self, mut question: Message, within: Duration) -> Result<Body> {
        question.request = random();
        let until = Instant::now() + ANSWERED;
        let mut last =
            Error::new("late", format!("no answer from {}", self.at));
        while Instant::now() < until {
            if !self.link.send(&mut question, None, within)? {
                return Err(self.link.gone());
            }
            let again = Instant::now() + Duration::from_secs(2);
            match self.answer(question.request, again)? {
                Some(Body::refused(refused)) => {
                    last = Error::refused(&refused);
                    if last.status != "busy" {
                        return Err(last);
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
                Some(body) => return Ok(body),
                None => (),
            }
        }
        Err(last)
    }

    fn answer(&self, request: u64, until: Instant) -> Result<Option<Body>> {
        loop {
            match self.link.receive(until) {
                Ok(None) => return Ok(None),
                Ok(Some(heard)) if heard.request == request => {
                    return Ok(Some(heard.body));
                }
                Err(wrong) if wrong.concerns(request) => return Err(wrong),
                _ => (),
            }
        }
    }
}

fn other() -> Error {
    Error::new("kind", "the node answered another question")
}
