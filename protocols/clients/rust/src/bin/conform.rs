//! Drives the library for tests/plays/clients.py; what it prints is said in
//! protocols/clients/README.md.

use protobuf::descriptor::{DescriptorProto, FileDescriptorProto};
use rill::v1::edge::Described;
use rill::v1::event::{Event, Sample};
use rill::v1::message::Message;
use rill::{v1, Client, Error, From, Result, Source, Told, View};
use std::fs::File;
use std::io::{Read, Write};
use std::time::Duration;

fn quote(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{}", c),
        c if c.is_control() => " ".into(),
        c => c.into(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

fn say(line: String) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{{{}}}", line).and_then(|_| out.flush());
}

fn say_error(why: &Error) {
    say(format!(
        r#""error":{{"status":{},"retry":{},"text":{},"offset":{}}}"#,
        quote(&why.status),
        quote(why.retry),
        quote(&why.text),
        why.offset
    ));
}

fn io(why: std::io::Error) -> Error {
    Error::new("io", why.to_string())
}

fn argument() -> Error {
    Error::new("argument", "see protocols/clients/README.md")
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| argument())
}

/// The fields of a packed message by number; Rust packs a oneof's last, which
/// says the same.
fn in_order(
    packed: &[u8],
    of: &str,
    types: &[DescriptorProto],
) -> Option<Vec<u8>> {
    let name = of.rsplit('.').next()?;
    let is = types.iter().find(|one| one.get_name() == name)?;
    let mut fields: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut stream = protobuf::CodedInputStream::from_bytes(packed);
    while !stream.eof().ok()? {
        let from = stream.pos() as usize;
        let (number, kind) = stream.read_tag_unpack().ok()?;
        let value = stream.pos() as usize;
        stream.skip_field(kind).ok()?;
        let end = stream.pos() as usize;
        let field = is
            .field
            .iter()
            .find(|one| one.get_number() == number as i32)?;
        let mut bytes = packed[from..end].to_vec();
        if !field.get_type_name().is_empty()
            && kind == protobuf::wire_format::WireTypeLengthDelimited
        {
            let mut inner =
                protobuf::CodedInputStream::from_bytes(&packed[value..end]);
            let size = inner.read_raw_varint32().ok()? as usize;
            if let Some(sorted) =
                in_order(&packed[end - size..end], field.get_type_name(), types)
            {
                bytes.truncate(bytes.len() - size);
                bytes.extend(sorted);
            }
        }
        fields.push((number, bytes));
    }
    fields.sort_by_key(|(number, _)| *number);
    Some(fields.into_iter().flat_map(|(_, bytes)| bytes).collect())
}

fn again<M: protobuf::Message>(
    written: &[u8],
    types: &[DescriptorProto],
) -> Option<Vec<u8>> {
    let packed = M::parse_from_bytes(written).ok()?.write_to_bytes().ok()?;
    in_order(&packed, M::descriptor_static().name(), types)
}

fn golden(folder: &str) -> Result<bool> {
    let files: [&FileDescriptorProto; 10] = [
        v1::chunk::file_descriptor_proto(),
        v1::director::file_descriptor_proto(),
        v1::edge::file_descriptor_proto(),
        v1::event::file_descriptor_proto(),
        v1::ingest::file_descriptor_proto(),
        v1::membership::file_descriptor_proto(),
        v1::message::file_descriptor_proto(),
        v1::status::file_descriptor_proto(),
        v1::storage::file_descriptor_proto(),
        v1::tier::file_descriptor_proto(),
    ];
    let types: Vec<_> = files
        .iter()
        .flat_map(|file| file.message_type.to_vec())
        .collect();
    let mut all = true;
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_string();
        if !name.ends_with(".bin") || name == "chunk_header.bin" {
            continue;
        }
        let written = std::fs::read(&path).map_err(io)?;
        let back = match name.as_str() {
            "sample.bin" => again::<Sample>(&written, &types),
            name if name.starts_with("event") => {
                again::<Event>(&written, &types)
            }
            _ => again::<Message>(&written, &types),
        };
        let same = back.as_ref() == Some(&written);
        say(format!(r#""file":{},"same":{}"#, quote(&name), same));
        all &= same;
    }
    Ok(all)
}

fn say_stream(is: &Described) {
    let live = is.kind == v1::chunk::Kind::KIND_LIVE;
    say(format!(
        r#""name":{},"kind":"{}","stream":"{:016x}","stored":{},"size":{},"sealed":{}"#,
        quote(&is.name),
        if live { "live" } else { "recorded" },
        is.stream,
        is.stored,
        is.size,
        is.sealed
    ));
}

fn describe(node: &Client, names: &[String]) -> bool {
    let mut good = true;
    for name in names {
        match node.describe(name) {
            Ok(is) => say_stream(&is),
            Err(why) => {
                say_error(&why);
                good = false;
            }
        }
    }
    good
}

fn publish(node: &Client, name: &str, path: &str, live: bool) -> Result<()> {
    let mut file = File::open(path).map_err(io)?;
    let mut stream = node.publish(
        name,
        &Source {
            live,
            ..Source::default()
        },
    )?;
    let mut bytes = vec![0; 64 << 10];
    loop {
        match file.read(&mut bytes).map_err(io)? {
            0 => break,
            size => stream.put(&bytes[..size])?,
        }
    }
    stream.finish()?;
    let count = stream.offset() - stream.begin();
    say(format!(
        r#""stream":"{:016x}","bytes":{}"#,
        stream.stream(),
        count
    ));
    Ok(())
}

fn read(
    node: &Client,
    name: &str,
    out: &str,
    span: Option<&String>,
) -> Result<()> {
    let mut file = File::create(out).map_err(io)?;
    let stream = match span.and_then(|span| span.split_once('-')) {
        Some((from, to)) => {
            node.read(name, number::<u64>(from)?..number::<u64>(to)?)?
        }
        None => node.read(name, ..)?,
    };
    let mut count = 0;
    for piece in stream {
        let piece = piece?;
        if piece.is_hole() {
            say(format!(r#""hole":[{},{}]"#, piece.offset, piece.to));
        }
        file.write_all(piece.bytes()).map_err(io)?;
        count += piece.bytes().len();
    }
    say(format!(r#""bytes":{}"#, count));
    Ok(())
}

fn from(text: &str) -> Result<From> {
    Ok(match (text, text.strip_prefix('-')) {
        ("live", _) => From::Live,
        ("start", _) => From::Start,
        (_, Some(back)) => From::Back(match back.strip_suffix("ms") {
            Some(ms) => Duration::from_millis(number(ms)?),
            None => Duration::from_secs(number(back.trim_end_matches('s'))?),
        }),
        (offset, None) => From::Offset(number(offset)?),
    })
}

fn watch(node: &Client, name: &str, words: &[String]) -> Result<()> {
    let mut view = View::new(from(&words[0])?);
    let (mut most, mut count, mut ended) = (u64::MAX, 0, false);
    for option in words[2..].chunks_exact(2) {
        if option[0] == "--bytes" {
            most = number(&option[1])?;
        } else {
            view.places = option[1].split(',').map(String::from).collect();
        }
    }
    view.begun = Box::new(|node, from| {
        say(format!(r#""node":{},"from":{}"#, quote(node), from));
    });
    let mut file = File::create(&words[1]).map_err(io)?;
    let mut stream = node.watch(name, view)?;
    while count < most && !ended {
        let piece = match stream.next() {
            Some(piece) => piece?,
            None => {
                ended = true;
                continue;
            }
        };
        if piece.is_hole() {
            say(format!(r#""skip":[{},{}]"#, piece.offset, piece.to));
        }
        let size = piece
            .bytes()
            .len()
            .min((most - count).min(usize::MAX as u64) as usize);
        file.write_all(&piece.bytes()[..size]).map_err(io)?;
        count += size as u64;
    }
    say(format!(r#""bytes":{},"ended":{}"#, count, ended));
    Ok(())
}

fn tap(node: &Client, kinds: &str, count: u64) -> Result<()> {
    let kinds: Vec<&str> = match kinds {
        "all" => Vec::new(),
        kinds => kinds.split(',').collect(),
    };
    let mut tap = node.tap(&kinds)?;
    let (mut heard, mut all) = (0, 0);
    while heard < count {
        let (kind, role, node, seq, lost) =
            match tap.next(Duration::from_secs(1))? {
                None => continue,
                Some(Told::Event { kind, event, lost }) => (
                    kind,
                    event.role,
                    event.node,
                    format!(r#","seq":{}"#, event.seq),
                    lost,
                ),
                Some(Told::Sample { sample, lost }) => {
                    ("sample", sample.role, sample.node, String::new(), lost)
                }
            };
        heard += 1;
        all += lost;
        let (role, node) = (quote(&role), quote(&node));
        say(format!(
            r#""kind":"{}","role":{},"node":{}{}"#,
            kind, role, node, seq
        ));
    }
    say(format!(r#""lost":{}"#, all));
    Ok(())
}

fn run(words: &[String]) -> Result<bool> {
    let word = |nth: usize| words.get(nth).ok_or_else(argument);
    if word(0)? == "golden" {
        return golden(word(1)?);
    }
    let node = Client::connect(word(1)?)?;
    match word(0)?.as_str() {
        "describe" => return Ok(describe(&node, &words[2..])),
        "list" => node.list()?.iter().for_each(say_stream),
        "publish" => {
            let live = word(4).map_or(false, |kind| kind == "live");
            publish(&node, word(2)?, word(3)?, live)?;
        }
        "read" => read(&node, word(2)?, word(3)?, words.get(4))?,
        "watch" if words.len() > 4 => watch(&node, word(2)?, &words[3..])?,
        "tap" => tap(&node, word(2)?, number(word(3)?)?)?,
        _ => return Err(argument()),
    }
    Ok(true)
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let good = run(&words).unwrap_or_else(|why| {
        say_error(&why);
        false
    });
    std::process::exit(if good { 0 } else { 1 });
}
