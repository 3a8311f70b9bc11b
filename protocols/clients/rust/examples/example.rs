//! Publish a file, or follow a stream as it grows:
//!
//!     example publish FORWARDER NAME FILE
//!     example watch DIRECTOR NAME >FILE

use rill::{Client, From, Source, View};
use std::error::Error;
use std::fs::File;
use std::io::{copy, stdout, Write};

fn publish(
    node: &Client,
    name: &str,
    path: &str,
) -> Result<(), Box<dyn Error>> {
    let mut stream = node.publish(name, &Source::default())?;
    copy(&mut File::open(path)?, &mut stream)?;
    stream.finish()?; // Now it survives the loss of workers.
    Ok(())
}

fn watch(node: &Client, name: &str) -> Result<(), Box<dyn Error>> {
    for piece in node.watch(name, View::new(From::Start))? {
        let piece = piece?;
        if piece.is_hole() {
            eprintln!("nothing up to {}", piece.to);
        }
        stdout().write_all(piece.bytes())?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["publish", at, name, path] => {
            publish(&Client::connect(at)?, name, path)
        }
        ["watch", at, name] => watch(&Client::connect(at)?, name),
        _ => Err("example publish|watch HOST:PORT NAME [FILE]".into()),
    }
}
