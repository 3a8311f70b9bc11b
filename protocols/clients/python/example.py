#!/usr/bin/python3
"""Publish what is read, or write a stream out as it grows.

  example publish FORWARDER NAME <FILE
  example watch DIRECTOR NAME | ffplay -
"""
import asyncio
import os
import sys

import rill


async def publish(at, name):
    read = sys.stdin.buffer.read1   # What is there, without waiting for more.
    async with await rill.connect(at) as node:
        async with await node.publish(name, 'live') as source:
            while data := await asyncio.to_thread(read, 65536):
                await source.write(data)
    print(f'{name}: {source.offset} bytes are safe', file=sys.stderr)


async def watch(at, name):
    def moved(node, offset):
        print(f'{name}: at {node} from byte {offset}', file=sys.stderr)
    async with await rill.connect(at) as node:
        async with node.watch(name, 'live', on_node=moved) as chunks:
            async for chunk in chunks:
                sys.stdout.buffer.write(chunk.data)
                sys.stdout.buffer.flush()


if len(sys.argv) != 4 or sys.argv[1] not in ('publish', 'watch'):
    sys.exit(__doc__)
try:
    asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))
except BrokenPipeError:     # The player has had enough.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
except rill.RillError as error:
    sys.exit(f'{error.status}: {error.text}')
