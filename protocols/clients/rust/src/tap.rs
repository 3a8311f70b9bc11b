use crate::link::{frames, join, open, Socket, EACH, HEAD_MOST, REACH};
use crate::v1::edge::Report;
use crate::v1::event::{Event, Event_oneof_what as What, Sample};
use crate::{Client, Error, Result};
use protobuf::Message;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

/// Events that wait; more are lost, and counted.
const QUEUE: i32 = 10000;

/// What a node told, and how many events were lost since the last one of it.
pub enum Told {
    Event {
        kind: &'static str,
        event: Event,
        lost: u64,
    },
    Sample {
        sample: Sample,
        lost: u64,
    },
}

/// Listens to the events of all nodes that the one asked names.
pub struct Tap {
    socket: Socket,
    seen: HashMap<(String, String), u64>, // By node and kind
    /// Nodes that it listens to,
    pub nodes: Vec<String>,
    /// and addresses where nobody answered.
    pub silent: Vec<String>,
}

impl Tap {
    pub(crate) fn open(at: &str, kinds: &[&str]) -> Result<Tap> {
        let socket = open(zmq::SUB, QUEUE)?;
        if kinds.is_empty() {
            socket.set_subscribe(b"ev.v1.")?;
        }
        let mut tap = Tap {
            socket,
            seen: HashMap::new(),
            nodes: Vec::new(),
            silent: Vec::new(),
        };
        let mut known = HashSet::from([at.to_string(), String::new()]);
        let mut reports = VecDeque::from([Client::connect(at)?.report(REACH)?]);
        while let Some(report) = reports.pop_front() {
            tap.join(&report, kinds)?;
            let nodes = report.nodes.iter().map(|node| &node.at);
            for at in
                nodes.chain(report.workers.iter().map(|worker| &worker.reach))
            {
                let at = at.trim_start_matches("tcp://").to_string();
                if !known.insert(at.clone()) {
                    continue;
                }
                match Client::connect(&at).and_then(|node| node.report(EACH)) {
                    Ok(report) => reports.push_back(report),
                    Err(_) => tap.silent.push(at),
                }
            }
        }
        Ok(tap)
    }

    fn join(&mut self, report: &Report, kinds: &[&str]) -> Result<()> {
        if report.tap_at.is_empty() || self.nodes.contains(&report.node) {
            return Ok(());
        }
        join(&self.socket, &report.tap_at)?;
        self.nodes.push(report.node.clone());
        for kind in kinds {
            let whose = format!("{}.{}", report.role, report.node);
            let topic = match *kind {
                "sample" => format!("st.v1.{}", whose),
                kind => format!("ev.v1.{}.{}", whose, kind),
            };
            self.socket.set_subscribe(topic.as_bytes())?;
        }
        Ok(())
    }

    /// None: none came for so long.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Told>> {
        let parts = match frames(&self.socket, Instant::now() + wait)? {
            Some(parts) => parts,
            None => return Ok(None),
        };
        if parts.len() != 2 || parts[1].len() > HEAD_MOST {
            return Err(Error::new(
                "malformed",
                "an event of other parts came",
            ));
        }
        let wrong = |_| Error::new("malformed", "an event came that is none");
        if parts[0].starts_with(b"st.") {
            let sample = Sample::parse_from_bytes(&parts[1]).map_err(wrong)?;
            let lost = self.told(&sample);
            return Ok(Some(Told::Sample { sample, lost }));
        }
        let event = Event::parse_from_bytes(&parts[1]).map_err(wrong)?;
        let kind = kind(&event);
        let key = (event.node.clone(), kind.to_string());
        let lost = match self.seen.insert(key, event.seq) {
            Some(last) => event.seq.saturating_sub(last.saturating_add(1)),
            None => 0,
        };
        Ok(Some(Told::Event { kind, event, lost }))
    }

    /// How many events a sample shows to be lost.
    fn told(&mut self, sample: &Sample) -> u64 {
        let mut lost = 0;
        for told in &sample.told {
            let key = (sample.node.clone(), told.kind.clone());
            if let Some(last) = self.seen.get_mut(&key) {
                lost += told.seq.saturating_sub(*last);
                *last = told.seq;
            }
        }
        lost
    }
}

fn kind(event: &Event) -> &'static str {
    match &event.what {
        None => "",
        Some(what) => match what {
            What::request(_) => "request",
            What::session_opened(_) => "session_opened",
            What::session_stalled(_) => "session_stalled",
            What::session_ended(_) => "session_ended",
            What::chunk_dealt(_) => "chunk_dealt",
            What::chunk_stored(_) => "chunk_stored",
            What::chunk_published(_) => "chunk_published",
            What::bytes_acknowledged(_) => "bytes_acknowledged",
            What::block_redealt(_) => "block_redealt",
            What::source_opened(_) => "source_opened",
            What::source_ended(_) => "source_ended",
            What::worker_registered(_) => "worker_registered",
            What::worker_lost(_) => "worker_lost",
            What::worker_full(_) => "worker_full",
            What::sibling_asked(_) => "sibling_asked",
            What::sibling_answered(_) => "sibling_answered",
            What::carrier_claimed(_) => "carrier_claimed",
            What::carrier_took_over(_) => "carrier_took_over",
            What::retention_ran(_) => "retention_ran",
            What::fault_counted(_) => "fault_counted",
        },
    }
}
