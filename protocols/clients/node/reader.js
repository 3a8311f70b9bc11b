import { RillError, toNumber } from './errors.js'
import { Pause } from './turns.js'
import { checkChunk } from './wire.js'

const WINDOW = 16 * 1024 * 1024 // Bytes that are asked for ahead.
const ASK = 5000 // Milliseconds until an ask is asked again.
const PATIENCE = 30000 // Milliseconds in which nothing came.
const NOTHING = Buffer.alloc(0)

/** `data` is at `offset`; or a hole of so many bytes is there.
 * @typedef {{offset: number, data: Buffer, header?: any, hole: number}} Chunk
 */

/** @param {number} from @param {number} to @returns {Chunk} */
export const holeOf = (from, to) =>
  ({ offset: from, data: NOTHING, hole: to - from })

/** The chunk that covers `offset`, or a hole from there.
 * @param {import('./connection.js').Connection} connection
 * @param {any} stream @param {number} offset @param {{over: boolean}} reading
 * @returns {Promise<Chunk>} */
async function askChunk (connection, stream, offset, reading) {
  const pause = new Pause()
  //  While our owner keeps us from hearing the clock runs on: a try counts as
  //  long as it lasts at most.
  for (let left = PATIENCE, begun = Date.now(); ;) {
    try {
      const { message, payload } = await connection.ask(
        { ask: { stream, offset } }, ASK)
      const header = message.answer?.chunk
      const data = payload ?? NOTHING
      checkChunk(header, data, stream)
      const from = toNumber(header.offset)
      if (from <= offset && offset < from + data.length) {
        return { offset: from, data, header, hole: 0 }
      }
      throw new RillError('corrupt', 'an answer came to another question')
    } catch (error) {
      if (!(error instanceof RillError)) throw error
      if (error.status === 'range' && error.offset > offset) {
        return holeOf(offset, error.offset)
      }
      left -= Math.min(Date.now() - begun, ASK + pause.most)
      begun = Date.now()
      if (error.retry === 'never' || left <= 0 || reading.over ||
          ['future', 'unreachable'].includes(error.status)) throw error
    }
    await pause.take()
  }
}

/**
 * @param {import('./connection.js').Connection} connection
 * @param {string} name @param {number} [from] @param {number} [to]
 * @returns {AsyncGenerator<Chunk>}
 */
export async function * read (connection, name, from, to) {
  const told = await connection.describe(name)
  let next = from ?? toNumber(told.first)
  let end = to ?? toNumber(told.sealed ? told.size : told.stored)
  if (end < next) end = next + 1 // It is refused there.
  let step = told.chunkBytes || 256 * 1024
  const reading = { over: false }
  /** @param {number} offset */
  const begin = offset => {
    const chunk = askChunk(connection, told.stream, offset, reading)
    chunk.catch(() => {}) // It is told when its turn comes.
    return { offset, chunk }
  }
  const asks = [] // In order; `ahead` is where they go on.
  try {
    for (let ahead = next; next < end;) {
      while (ahead < end && (asks.length < 2 ||
             asks.length < Math.min(16, WINDOW / step))) {
        asks.push(begin(ahead))
        ahead += step
      }
      while (asks.length > 0 && asks[0].offset < next) asks.shift()
      if (asks.length === 0 || asks[0].offset > next) {
        asks.unshift(begin(next)) // A gap was left open.
      }
      const chunk = await asks[0].chunk
      asks.shift()
      step = chunk.data.length || step
      const reach = Math.min(end,
        chunk.offset + (chunk.hole || chunk.data.length))
      yield chunk.hole
        ? holeOf(next, reach)
        : {
            ...chunk,
            offset: next,
            data: chunk.data.subarray(next - chunk.offset, reach - chunk.offset)
          }
      next = reach
      ahead = Math.max(ahead, reach)
    }
  } finally {
    reading.over = true
  }
}
