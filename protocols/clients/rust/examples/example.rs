//! Publish what is read, or write a stream out as it grows:
//!
//!     example publish FORWARDER NAME <FILE
//!     example watch DIRECTOR NAME >COPY

use rill::{Client, From, Source, View};
use std::error::Error;
use std::io::{copy, stdin, stdout, Write};

fn publish(node: &Client, name: &str) -> Result<(), Box<dyn Error>> {
    let live = Source {
        live: true,
        ..Source::default()
    };
    let mut stream = node.publish(name, &live)?;
    copy(&mut stdin(), &mut stream)?;
    stream.finish()?; // Now it survives the loss of workers.
    Ok(())
}

fn watch(node: &Client, name: &str) -> Result<(), Box<dyn Error>> {
    for piece in node.watch(name, View::new(From::Start))? {
        stdout().write_all(piece?.bytes())?; // Of a hole there are none.
        stdout().flush()?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["publish", at, name] => publish(&Client::connect(at)?, name),
        ["watch", at, name] => watch(&Client::connect(at)?, name),
        _ => Err("example publish|watch HOST:PORT NAME".into()),
    }
}
