#!/usr/bin/env node
/** What every client is tried by: ../README.md, "conform". */
import fs from 'node:fs'
import { toNumber } from './errors.js'
import { Event, KINDS, Message, Sample } from './messages.js'
import { connect, RillError } from './rill.js'

/** @param {object} words */
const say = words => fs.writeSync(1, JSON.stringify(words) + '\n')
/** @param {any} id */
const hex = id => BigInt(id.toString()).toString(16).padStart(16, '0')

/** @param {unknown} error */
function sayError (error) {
  if (!(error instanceof RillError)) throw error
  const { status, retry, text, offset } = error
  say({ error: { status, retry, text, offset } })
  process.exitCode = 1
}

/** @param {string} folder */
function golden (folder) {
  for (const file of fs.readdirSync(folder).sort()) {
    if (!file.endsWith('.bin') || file === 'chunk_header.bin') continue
    const form = file.startsWith('event')
      ? Event
      : file === 'sample.bin' ? Sample : Message
    const there = fs.readFileSync(`${folder}/${file}`)
    const same = there.equals(form.encode(form.decode(there)).finish())
    say({ file, same })
    if (!same) process.exitCode = 1
  }
}

/** @typedef {import('./connection.js').Connection} Connection */
/** @param {any} told */
const sayStream = told => say({
  name: told.name,
  kind: [null, 'recorded', 'live'][told.kind],
  stream: hex(told.stream),
  stored: toNumber(told.stored),
  size: toNumber(told.size),
  sealed: told.sealed
})

/** @param {Connection} node */
async function list (node) {
  for await (const told of node.list()) sayStream(told)
}

/** @param {Connection} node @param {string[]} names */
async function describe (node, ...names) {
  for (const name of names) {
    await node.describe(name).then(sayStream, sayError)
  }
}

/** @param {Connection} node @param {string} name @param {string} path
 * @param {any} kind */
async function publish (node, name, path, kind = 'live') {
  const source = await node.publish(name, { kind })
  for await (const data of fs.createReadStream(path)) await source.write(data)
  await source.finish()
  say({ stream: hex(source.stream), bytes: source.offset - source.begin })
}

/** @param {Connection} node @param {string} name @param {string} path */
async function read (node, name, path, span = '') {
  const [from, to] = span.split('-').map(n => n ? +n : undefined)
  const file = fs.openSync(path, 'w')
  let bytes = 0
  for await (const { offset, data, hole } of node.read(name, from, to)) {
    if (hole) say({ hole: [offset, offset + hole] })
    fs.writeSync(file, data)
    bytes += data.length
  }
  say({ bytes })
}

/** @param {string} text @returns {any} */
function begin (text) {
  if (text === 'live' || text === 'start') return text
  const back = /^-(\d+)(ms|s)$/.exec(text)
  return back ? { backMs: +back[1] * (back[2] === 's' ? 1000 : 1) } : +text
}

/** @param {Connection} node @param {string} name @param {string} from
 * @param {string} path @param {string[]} options */
async function watch (node, name, from, path, ...options) {
  /** @param {string} word */
  const option = word => options[options.indexOf(word) + 1 || options.length]
  const most = +(option('--bytes') ?? Infinity)
  const file = fs.openSync(path, 'w')
  const chunks = node.watch(name, {
    from: begin(from),
    at: option('--at')?.split(','),
    onNode: (node, offset) => say({ node, from: offset })
  })
  let bytes = 0
  for await (const { offset, data, hole } of chunks) {
    if (hole) say({ skip: [offset, offset + hole] })
    bytes += fs.writeSync(file, data.subarray(0, most - bytes))
    if (bytes === most) break
  }
  say({ bytes, ended: bytes !== most })
}

/** @param {Connection} node @param {string} kinds @param {string} count */
async function tap (node, kinds, count) {
  const events = await node.tap(kinds === 'all' ? KINDS : kinds.split(','))
  let left = +count
  for await (const { kind, event, sample } of events) {
    const { role, node } = event ?? sample
    say({ kind, role, node, ...(event && { seq: toNumber(event.seq) }) })
    if (--left === 0) break
  }
  say({ lost: [...events.lost.values()].reduce((a, b) => a + b, 0) })
}

/** @type {Record<string, (node: Connection, ...words: any) => Promise<void>>} */
const VERBS = { list, describe, publish, read, watch, tap }
const [verb, at, ...words] = process.argv.slice(2)
if (verb === 'golden') {
  golden(at)
} else {
  try {
    const node = connect(at)
    await VERBS[verb](node, ...words).catch(sayError)
    node.close()
  } catch (error) {
    sayError(error)
  }
}
