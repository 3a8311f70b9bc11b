/** Messages as frames, and the bounds of what comes (WIRE.md, "A message"). */
import { randomBytes } from 'node:crypto'
import protobuf from 'protobufjs'
import { RillError } from './errors.js'
import { Message } from './messages.js'

const VERSION = 1
const HEAD_BYTES = 64 * 1024
export const PAYLOAD_BYTES = 4 * 1024 * 1024 + 4096
export const PIECE_BYTES = 1024 * 1024
const WITH_PAYLOAD = new Set(['piece', 'answer', 'store', 'fetched', 'flow'])
const EMPTY = Buffer.alloc(0)

/** A random number that is not 0: a request, a trace or a token. */
export function number () {
  const bytes = randomBytes(8)
  return new protobuf.util.Long(bytes.readInt32LE(0) | 1,
    bytes.readInt32LE(4) >>> 1, true)
}

/** What a 64-bit number is known by in a Map.
 * @param {any} long */
export const key = long => `${long.high >>> 0}:${long.low >>> 0}`

/** The frames that a DEALER sends.
 * @param {any} request
 * @param {object} body one body of Message
 * @param {Buffer} [payload] */
export function pack (request, body, payload) {
  const head = Message.encode(
    { version: VERSION, request, trace: number(), ...body }).finish()
  return payload ? [EMPTY, head, payload] : [EMPTY, head]
}

/**
 * What a DEALER heard: a message, or an error; `request` is 0 when it is not
 * known whose answer it is.
 * @param {Buffer[]} frames
 * @returns {{request: any, message?: any, payload?: Buffer, error?: RillError}}
 */
export function unpack (frames) {
  /** @param {string} status @param {string} text @param {any} request */
  const wrong = (status, text, request = 0) =>
    ({ request, error: new RillError(status, text) })
  const [delimiter, head, ...payload] = frames
  if (!head || delimiter.length > 0) {
    return wrong('malformed', 'no empty frame came before a head')
  }
  if (head.length > HEAD_BYTES) {
    return wrong('too_large', `a head of ${head.length} bytes came`)
  }
  /** @type {any} */
  let message
  try {
    message = Message.decode(head)
  } catch {
    return wrong('malformed', 'a head came that is no message')
  }
  const { request, body } = message
  if (message.version !== VERSION) {
    return wrong('version', `the node speaks version ${message.version}, ` +
      `this is ${VERSION}`, request)
  }
  if (!body) {
    return wrong('kind', 'a message came that is not known here', request)
  }
  if (payload.length !== (WITH_PAYLOAD.has(body) ? 1 : 0)) {
    return wrong('malformed',
      `${payload.length} frames came behind the head of "${body}"`, request)
  }
  if (payload[0]?.length > PAYLOAD_BYTES) {
    return wrong('too_large', `a payload of ${payload[0].length} bytes came`,
      request)
  }
  return { request, message, payload: payload[0] }
}

/** Eight tables: a CRC goes eight bytes at a time. */
const TABLES = Array.from({ length: 8 }, () => new Uint32Array(256))
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) {
    crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  TABLES[0][byte] = crc
}
for (let nth = 1; nth < 8; nth++) {
  for (let byte = 0; byte < 256; byte++) {
    const before = TABLES[nth - 1][byte]
    TABLES[nth][byte] = TABLES[0][before & 255] ^ (before >>> 8)
  }
}

/** CRC32C (Castagnoli).
 * @param {Buffer} bytes */
export function crc32c (bytes) {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES
  let crc = -1
  let at = 0
  for (const end = bytes.length - 7; at < end; at += 8) {
    crc ^= bytes.readInt32LE(at)
    crc = t7[crc & 255] ^ t6[(crc >>> 8) & 255] ^ t5[(crc >>> 16) & 255] ^
      t4[crc >>> 24] ^ t3[bytes[at + 4]] ^ t2[bytes[at + 5]] ^
      t1[bytes[at + 6]] ^ t0[bytes[at + 7]]
  }
  for (; at < bytes.length; at++) {
    crc = t0[(crc ^ bytes[at]) & 255] ^ (crc >>> 8)
  }
  return ~crc >>> 0
}

/** Throws unless the payload is what the header says, of this stream.
 * @param {any} header @param {Buffer} payload @param {any} stream */
export function checkChunk (header, payload, stream) {
  if (!header || key(header.stream) !== key(stream) ||
      header.slot >= header.k) {
    throw new RillError('corrupt', 'a chunk came that was not asked for')
  }
  if (header.length !== payload.length ||
      crc32c(payload) !== header.payloadCrc) {
    throw new RillError('corrupt', 'a chunk came that is not what was written')
  }
}
