#!/usr/bin/python3
"""What every client is tried by: ../README.md, "conform"."""
import asyncio
import json
import pathlib
import re
import sys

import rill
from rill.v1.event_pb2 import Event, Sample
from rill.v1.message_pb2 import Message

PIECE = 64 * 1024


def say(**words):
    print(json.dumps(words), flush=True)


def say_error(error):
    say(error=dict(status=error.status, retry=error.retry, text=error.text,
                   offset=error.offset))
    return 1


def golden(folder):
    code = 0
    for path in sorted(pathlib.Path(folder).glob('*.bin')):
        if path.name == 'chunk_header.bin':
            continue
        form = (Event if path.name.startswith('event') else
                Sample if path.name == 'sample.bin' else Message)
        there = path.read_bytes()
        same = form.FromString(there).SerializeToString() == there
        say(file=path.name, same=same)
        code |= not same
    return code


def say_stream(told):
    say(name=told.name, kind={1: 'recorded', 2: 'live'}.get(told.kind),
        stream=f'{told.stream:016x}', stored=told.stored, size=told.size,
        sealed=told.sealed)


async def list_all(node):
    async for told in node.list():
        say_stream(told)


async def describe(node, *names):
    code = 0
    for name in names:
        try:
            say_stream(await node.describe(name))
        except rill.RillError as error:
            code = say_error(error)
    return code


async def publish(node, name, path, kind='live'):
    with open(path, 'rb') as file:
        async with await node.publish(name, kind) as source:
            while data := await asyncio.to_thread(file.read1, PIECE):
                await source.write(data)
    say(stream=f'{source.stream:016x}', bytes=source.offset - source.begin)


async def read(node, name, path, span=''):
    start, _, end = span.partition('-')
    count = 0
    with open(path, 'wb', buffering=0) as file:
        async for chunk in node.read(name, int(start) if start else None,
                                     int(end) if end else None):
            file.write(chunk.data)
            count += len(chunk.data)
            if chunk.hole:
                say(hole=[chunk.offset, chunk.offset + chunk.hole])
    say(bytes=count)


def start_of(text):
    if text in ('live', 'start'):
        return text
    if found := re.fullmatch(r'-(\d+)(ms|s)', text):
        return dict(back_ms=int(found[1]) * (1000 if found[2] == 's' else 1))
    return int(text)


async def watch(node, name, start, path, *options):
    more = dict(zip(options[::2], options[1::2]))
    most, ended, count = int(more.get('--bytes', 1 << 62)), True, 0
    at = more['--at'].split(',') if '--at' in more else None
    with open(path, 'wb', buffering=0) as file:
        async with node.watch(
                name, start_of(start), at=at,
                on_node=lambda n, at: say(node=n, **{'from': at})) as chunks:
            async for chunk in chunks:
                if chunk.hole:
                    say(skip=[chunk.offset, chunk.offset + chunk.hole])
                count += file.write(chunk.data[:most - count])
                if count == most:
                    ended = False
                    break
    say(bytes=count, ended=ended)


async def tap(node, kinds, count):
    wanted = {'all': [f.name for f in
                      Event.DESCRIPTOR.oneofs_by_name['what'].fields]}
    async with await node.tap(wanted.get(kinds) or kinds.split(',')) as events:
        for _ in range(int(count)):
            it = await anext(events)
            is_event = isinstance(it, Event)
            say(kind=it.WhichOneof('what') if is_event else 'sample',
                role=it.role, node=it.node, **({'seq': it.seq} if is_event
                                               else {}))
        say(lost=sum(events.lost.values()))


async def main(verb, at, *words):
    verbs = dict(list=list_all, describe=describe, publish=publish, read=read,
                 watch=watch, tap=tap)
    try:
        async with await rill.connect(at) as node:
            return await verbs[verb](node, *words)
    except rill.RillError as error:
        return say_error(error)


if sys.argv[1:2] == ['golden']:
    sys.exit(golden(sys.argv[2]))
sys.exit(asyncio.run(main(*sys.argv[1:])) or 0)
