#!/usr/bin/env node
/** Publish what is read, or write a stream out as it grows.
 *
 *   example publish FORWARDER NAME <FILE
 *   example watch DIRECTOR NAME | ffplay -
 */
import { connect, RillError } from './rill.js'

/** @param {string} at @param {string} name */
async function publish (at, name) {
  const node = connect(at)
  const source = await node.publish(name, { kind: 'live' })
  for await (const data of process.stdin) await source.write(data)
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

const [verb, at, name, more] = process.argv.slice(2)
const run = { publish, watch }[verb]
if (!run || !name || more) {
  console.error('example publish|watch HOST:PORT NAME')
  process.exit(64)
}
await run(at, name).catch(error => {
  if (!(error instanceof RillError)) throw error
  console.error(`${error.status}: ${error.text}`)
  process.exit(1)
})
