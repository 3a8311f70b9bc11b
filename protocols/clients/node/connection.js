import * as zmq from 'zeromq'
import { refusal, RillError } from './errors.js'
import { read } from './reader.js'
import { Source } from './source.js'
import { Tap } from './tap.js'
import { Queue } from './turns.js'
import { Watch } from './watch.js'
import { key, number, pack, PAYLOAD_BYTES, unpack } from './wire.js'

const REACH = 3000 // Milliseconds to get a connection,
const ANSWER = 15000 // and an answer once there is one.

/** tcp:// of HOST:PORT; a worker is told of as that.
 * @param {string} at */
export function endpoint (at) {
  const found = /^(?:tcp:\/\/)?((?:[^\s/:]+|\[[\da-fA-F:.%\w]+\]):(\d{1,5}))$/
    .exec(at)
  if (!found || +found[2] < 1 || +found[2] > 65535) {
    throw new RillError('address', `"${at}" is not HOST:PORT`)
  }
  return `tcp://${found[1]}`
}

/** What every socket is bounded by. What is said waits for a connection, and
 * is not said to one that broke.
 * @param {string} at */
export function options (at) {
  return {
    linger: 1000,
    maxMessageSize: PAYLOAD_BYTES,
    handshakeInterval: 3000,
    connectTimeout: 3000,
    reconnectInterval: 50,
    reconnectMaxInterval: 1000,
    tcpKeepalive: 1,
    tcpKeepaliveIdle: 2,
    tcpKeepaliveInterval: 2,
    tcpKeepaliveCount: 4,
    immediate: true,
    ipv6: at.includes('[')
  }
}

/** @typedef {{request: any, message?: any, payload?: Buffer,
 *   error?: RillError}} Heard */

/** One node, asked over one DEALER. Made by connect(). */
export class Connection {
  /** @param {string} at @param {number} reach milliseconds */
  constructor (at, reach = REACH) {
    const to = endpoint(at)
    this.at = at
    /** Messages that were wrong. */
    this.unread = 0
    this.socket = new zmq.Dealer({
      ...options(at), sendTimeout: reach, receiveHighWaterMark: 0
    })
    this.socket.connect(to)
    /** @type {Map<string, (heard: Heard) => void>} */
    this.routes = new Map()
    /** @type {Map<string, (heard: Heard) => void>} */
    this.sessions = new Map()
    /** @type {Promise<void>} */
    this.turn = Promise.resolve()
    this.hear()
  }

  close () {
    //  What was said is on its way first.
    this.turn.then(() => this.socket.close(), () => this.socket.close())
  }

  /** Whether something that is said now has a way to go. */
  get isThere () {
    return !this.socket.closed && this.socket.writable
  }

  /** Say it, once there is a connection; one after the other.
   * @param {any} request @param {object} body @param {Buffer} [payload] */
  say (request, body, payload) {
    const said = this.turn.then(async () => {
      try {
        await this.socket.send(pack(request, body, payload))
      } catch (error) {
        throw new RillError('unreachable', `nobody answers at ${this.at}`)
      }
    })
    this.turn = said.catch(() => {})
    return said
  }

  /** Ask, and wait for the answer.
   * @param {object} body @param {number} [ms]
   * @returns {Promise<Heard>} */
  async ask (body, ms = ANSWER) {
    const request = number()
    /** @type {Queue<Heard>} */
    const queue = new Queue()
    this.routes.set(key(request), heard => queue.put(heard))
    try {
      await this.say(request, body)
      const heard = await this.await(queue, ms)
      if (heard.error) throw heard.error
      if (heard.message.refused) throw refusal(heard.message.refused)
      return heard
    } finally {
      this.routes.delete(key(request))
    }
  }

  /** @param {Queue<Heard>} queue @param {number} ms */
  async await (queue, ms) {
    for (; ms > 0; ms -= REACH) {
      const heard = await queue.get(Math.min(REACH, ms))
      if (heard) return heard
      if (!this.isThere) {
        throw new RillError('unreachable', `${this.at} is gone`)
      }
    }
    throw new RillError('late', `${this.at} does not answer`)
  }

  async hear () {
    for await (const frames of this.socket) {
      const heard = unpack(frames)
      //  A Progress bears the number of the last SourceKeep, if any.
      const session = heard.message?.progress?.session
      const route = session
        ? this.sessions.get(key(session))
        : heard.request && this.routes.get(key(heard.request))
      if (heard.error) this.unread++
      if (route) {
        route(heard)
      } else if (heard.error && (!heard.request || heard.request.isZero())) {
        for (const each of [...this.routes.values()]) each(heard)
      }
    }
  }

  /** Every stream, as Described, by name.
   * @returns {AsyncGenerator<any>} */
  async * list () {
    for (let after = '', more = true; more;) {
      const { listing } = (await this.ask({ list: { after } })).message
      for (const stream of listing.streams) {
        yield stream
        after = stream.name
      }
      more = listing.more && listing.streams.length > 0
    }
  }

  /** What is this stream? Described.
   * @param {string} name @returns {Promise<any>} */
  async describe (name) {
    return (await this.ask({ describe: { name } })).message.described
  }

  /** How is the node? Report.
   * @param {any} [from] @returns {Promise<any>} */
  async report (from = 0) {
    return (await this.ask({ statusAsk: { from } })).message.report
  }

  /** The caches to watch at, the best first. Offer.
   * @param {string} name @param {string[]} not @returns {Promise<any>} */
  async where (name, not = []) {
    return (await this.ask({ where: { name, watch: true, not } })).message.offer
  }

  /** A source that is open.
   * @param {string} name @param {import('./source.js').SourceOptions} [options]
   */
  async publish (name, options = {}) {
    const source = new Source(this, name, options)
    await source.open()
    return source
  }

  /** The bytes of [from, to).
   * @param {string} name @param {number} [from] @param {number} [to] */
  read (name, from, to) {
    return read(this, name, from, to)
  }

  /** A stream as it grows.
   * @param {string} name @param {import('./watch.js').WatchOptions} [options] */
  watch (name, options = {}) {
    return new Watch(this, name, options)
  }

  /** What happens at all nodes that this one names.
   * @param {string[]} kinds of Event.what, and 'sample'; none: all */
  async tap (kinds = []) {
    const tap = new Tap(this, kinds)
    await tap.open()
    return tap
  }
}

/** A node at HOST:PORT. Whether anybody is there shows with the first question.
 * @param {string} at */
export function connect (at) {
  return new Connection(at)
}
