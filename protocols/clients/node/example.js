#!/usr/bin/env node
/** Publish a file, or watch a stream.
 *
 *   example publish HOST:PORT NAME FILE      to a forwarder; "-": a pipe
 *   example watch HOST:PORT NAME             at a director or cache: | ffplay -
 */
import { createReadStream } from 'node:fs'
import { connect, RillError } from './rill.js'

/** @param {string} at @param {string} name @param {string} path */
async function publish (at, name, path) {
  const node = connect(at)
  const source = await node.publish(name, { kind: 'live' })
  const file = path === '-' ? process.stdin : createReadStream(path)
  for await (const data of file) await source.write(data)
  await source.finish()
  node.close()
  console.error(`${name}: ${source.offset} bytes are safe`)
}

/** @param {string} at @param {string} name */
async function watch (at, name) {
  const node = connect(at)
  process.stdout.on('error', () => process.exit()) // The player has had enough.
  const chunks = node.watch(name, {
    from: 'live',
    onNode: (node, offset) => console.error(`${name}: at ${node}: ${offset}`)
  })
  for await (const chunk of chunks) process.stdout.write(chunk.data)
  node.close()
}

const [verb, ...words] = process.argv.slice(2)
const run = { publish, watch }[verb]
if (!run || words.length < 2) {
  console.error('example publish HOST:PORT NAME FILE | watch HOST:PORT NAME')
  process.exit(64)
}
await run(words[0], words[1], words[2] ?? '-').catch(error => {
  if (!(error instanceof RillError)) throw error
  console.error(`${error.status}: ${error.text}`)
  process.exit(1)
})
