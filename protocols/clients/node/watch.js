import { refusal, RillError, statusWord, toNumber } from './errors.js'
import { holeOf } from './reader.js'
import { Pause, Queue, Signal } from './turns.js'
import { checkChunk, key, number } from './wire.js'

const REACH = 1000 // Milliseconds to get a connection to one of several nodes.
const KEEP = 1000 // Milliseconds between two words.
const SILENCE = 3000 // Milliseconds without an answer: go elsewhere.
const PATIENCE = 30000 // Nothing came and nobody answered for so long.
const UNKNOWN = 5000 // So long a stream that was there may be unknown.

/** window: bytes that a node may send ahead of what was taken; at: watch there,
 * without it a list is asked for; onNode: called when a session begins.
 * @typedef {{from?: 'live' | 'start' | number | {timeUs: number} |
 *   {backMs: number}, window?: number, at?: string[],
 *   onNode?: (node: string, offset: number) => void}} WatchOptions */
/** @typedef {import('./reader.js').Chunk} Chunk */
/** @typedef {{node: string, at: string}} Place */

/** A stream as it grows: an async iterable of Chunks. break, or stop(), ends
 * it. */
export class Watch {
  /** @param {import('./connection.js').Connection} connection
   * @param {string} name @param {WatchOptions} options */
  constructor (connection, name, options) {
    this.connection = connection
    this.name = name
    this.from = options.from ?? 'live'
    this.window = options.window ?? 4 << 20
    this.onNode = options.onNode ?? (() => {})
    /** @type {Place[] | undefined} */
    this.given = options.at?.map(at => ({ node: at, at }))
    /** @type {Place[]} */
    this.places = []
    /** @type {Place[]} */
    this.listed = []
    /** @type {string[]} */
    this.tried = []
    /** @type {any} */
    this.stream = null
    this.next = typeof this.from === 'number' ? this.from : 0
    this.began = false
    this.moved = false
    /** Why nothing comes now. @type {RillError | null} */
    this.held = null
    /** @type {Chunk[]} */
    this.chunks = []
    this.waiting = 0 // Bytes of payload in them.
    this.over = this.stopped = this.isOpen = false
    /** @type {RillError | null} */
    this.failed = null
    this.turned = new Signal()
    /** @type {Queue<import('./connection.js').Heard | null>} */
    this.heard = new Queue()
    this.alive = Date.now() // A node has answered, or we began.
    this.received = this.credit = 0
    this.node = ''
    this.running = this.run()
  }

  /** @returns {AsyncGenerator<Chunk>} */
  async * [Symbol.asyncIterator] () {
    try {
      for (;;) {
        const chunk = this.chunks.shift()
        if (chunk) {
          yield chunk
          this.waiting -= chunk.header?.length ?? 0
          this.heard.put(null) // There may be credit to give.
        } else if (this.failed) {
          throw this.failed
        } else if (this.over || this.stopped) {
          return
        } else {
          await this.turned.wait()
        }
      }
    } finally {
      await this.stop()
    }
  }

  /** No more. */
  async stop () {
    this.stopped = true
    this.turned.set()
    this.heard.put(null)
    await this.running
  }

  get isDone () {
    return this.over || this.stopped
  }

  /** The next place to try. @returns {Promise<Place>} */
  async place () {
    if (this.places.length === 0 && this.given) this.places = [...this.given]
    if (this.places.length === 0) {
      try {
        const offer = await this.connection.where(this.name, this.tried)
        this.listed = offer.places
      } catch (error) {
        const { status } = /** @type {RillError} */ (error)
        if (status === 'kind') { // It has no list: it is a node.
          const { at } = this.connection
          this.given = [{ node: at, at }]
          return this.given[0]
        }
        if (!this.began || this.listed.length === 0) throw error
      }
      this.places = [...this.listed]
      this.tried = []
    }
    const place = this.places.shift()
    if (!place) throw new RillError('unreachable', 'no node is offered')
    return place
  }

  async run () {
    /** @type {Place | null} */
    let place = null
    let pause = new Pause(100)
    while (!this.isDone && !this.failed) {
      const before = this.next
      try {
        place ??= await this.place()
        await this.visit(place)
      } catch (caught) {
        const error = /** @type {RillError} */ (caught)
        this.held = error
        if (this.isFinal(error)) {
          this.failed = error
          break
        }
        if (this.next > before) pause = new Pause(100)
        if (error.status !== 'session' && place) {
          this.tried.push(place.node)
          place = null
        }
        if (!this.stopped) await pause.take()
      }
    }
    this.turned.set()
  }

  /** @param {RillError} error */
  isFinal (error) {
    const past = Date.now() - this.alive
    if (past > PATIENCE) return true
    if (error.status === 'future' ||
        (error.status === 'unknown' && this.began && past < UNKNOWN)) {
      return !this.began
    }
    if (error.status === 'unreachable' && !this.began) {
      return this.places.length === 0 &&
        (this.given !== undefined || this.listed.length === 0)
    }
    return error.retry === 'never' && !(this.began &&
      ['malformed', 'version', 'kind', 'too_large'].includes(error.status))
  }

  /** One session at one node. @param {Place} place */
  async visit ({ node, at }) {
    const Connection = /** @type {any} */ (this.connection.constructor)
    /** @type {import('./connection.js').Connection} */
    const connection = new Connection(at, REACH)
    const request = number()
    this.heard = new Queue()
    this.node = node
    this.isOpen = false
    this.received = 0
    this.credit = this.creditFor(0)
    connection.routes.set(key(request), heard => this.heard.put(heard))
    try {
      await connection.say(request, { watch: this.words() })
      await this.follow(connection, request)
    } finally {
      if (connection.isThere) {
        connection.say(request, { stop: {} }).catch(() => {})
      }
      connection.close()
    }
  }

  words () {
    const { began, from } = this
    return {
      credit: this.credit,
      ...(this.stream ? { stream: this.stream } : { name: this.name }),
      ...(began || typeof from === 'number'
        ? { offset: this.next }
        : typeof from === 'string' ? { [from]: true } : from)
    }
  }

  /** @param {number} received */
  creditFor (received) {
    return received + Math.max(0, this.window - this.waiting)
  }

  /** Until the stream is over; whatever else ends it is thrown.
   * @param {import('./connection.js').Connection} connection
   * @param {any} request */
  async follow (connection, request) {
    let last = Date.now()
    let said = last // Its last word; ours.
    let turned = last
    while (!this.isDone) {
      const now = Date.now()
      // Nobody was heard while the owner kept the loop to itself.
      if (now - turned > SILENCE) {
        last = now
        this.alive += now - turned
      }
      turned = now
      const credit = Math.max(this.credit, this.creditFor(this.received))
      if (now - said >= KEEP || credit - this.credit >= this.window / 4) {
        if (now - last > SILENCE) {
          throw new RillError('unreachable', `${connection.at} is silent`)
        }
        this.credit = credit
        said = now
        await connection.say(request, { watchKeep: { credit } })
      }
      const heard = await this.heard.get(KEEP / 4)
      if (heard) {
        last = Date.now()
        this.hear(heard)
      } else if (heard === undefined && !connection.isThere) {
        throw new RillError('unreachable', `${connection.at} is gone`)
      }
    }
  }

  /** @param {import('./connection.js').Heard} heard */
  hear ({ message, payload, error }) {
    if (error) throw error
    const { body } = message
    if (body === 'refused') return this.onRefused(message.refused)
    this.alive = Date.now()
    if (body === 'watched' && !this.isOpen) {
      this.onWatched(message.watched)
    } else if (!this.isOpen) {
      return
    } else if (body === 'flow') {
      this.onFlow(message.flow, /** @type {Buffer} */ (payload))
    } else if (body === 'skip') {
      this.expect(toNumber(message.skip.from))
      this.skip(toNumber(message.skip.to))
    } else if (body === 'over') {
      this.onOver(message.over)
    } else if (body === 'watching') {
      this.expect(toNumber(message.watching.at))
      this.held = null
    }
  }

  /** @param {any} watched */
  onWatched (watched) {
    const from = toNumber(watched.from)
    this.isOpen = true
    this.stream = watched.stream
    if (!this.began) {
      this.began = true
      this.moved = watched.moved
      this.next = from
    }
    this.skip(from) // It is older than what is kept.
    this.held = null
    this.onNode(this.node, this.next)
  }

  /** All below it came, or something was lost: watch anew.
   * @param {number} offset */
  expect (offset) {
    if (offset > this.next) {
      throw new RillError('session', 'a chunk was lost on its way',
        { retry: 'reopen' })
    }
  }

  /** @param {Chunk} chunk */
  take (chunk) {
    this.chunks.push(chunk)
    this.waiting += chunk.header?.length ?? 0
    this.next = chunk.offset + (chunk.hole || chunk.data.length)
    this.turned.set()
  }

  /** @param {number} to */
  skip (to) {
    if (to > this.next) this.take(holeOf(this.next, to))
  }

  /** @param {any} flow @param {Buffer} payload */
  onFlow (flow, payload) {
    const header = flow.chunk
    checkChunk(header, payload, this.stream)
    const from = toNumber(header.offset)
    this.received += payload.length
    this.expect(from)
    if (this.received > this.credit + payload.length) {
      throw new RillError('malformed', `${this.node} sends over the credit`)
    }
    if (from + payload.length > this.next) {
      const data = payload.subarray(this.next - from)
      this.take({ offset: this.next, data, header, hole: 0 })
    }
  }

  /** @param {any} over */
  onOver (over) {
    if (over.status !== 0) {
      throw new RillError(statusWord(over.status),
        `${this.node} cannot go on`, { retry: 'elsewhere' })
    }
    this.expect(toNumber(over.at))
    this.over = true
  }

  /** @param {any} refused */
  onRefused (refused) {
    const error = refusal(refused)
    //  What ended meanwhile ended here.
    this.over = this.began && error.status === 'range' &&
      this.next >= error.offset
    if (!this.over) throw error
  }
}
