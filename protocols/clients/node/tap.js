import * as zmq from 'zeromq'
import { endpoint, options } from './connection.js'
import { RillError, toNumber } from './errors.js'
import { Event, KINDS, Sample, snake } from './messages.js'

/** What happens at the nodes: an async iterable of {event} or {sample}, with
 * the kind. Made by Connection.tap(); break, or close(), ends it. */
export class Tap {
  /** @param {import('./connection.js').Connection} connection
   * @param {string[]} kinds */
  constructor (connection, kinds) {
    const wrong = kinds.filter(k => k !== 'sample' && !KINDS.includes(k))
    if (wrong.length > 0) {
      throw new TypeError(`no kind of event: ${wrong.join(', ')}`)
    }
    this.connection = connection
    this.kinds = kinds.length > 0 ? kinds : ['', 'sample']
    /** Events by node that were told and not heard.
     * @type {Map<string, number>} */
    this.lost = new Map()
    /** Nodes that were named and do not answer. @type {string[]} */
    this.silent = []
    /** @type {Map<string, number>} */
    this.last = new Map()
    this.socket = new zmq.Subscriber(
      { ...options(connection.at), receiveHighWaterMark: 10000 })
  }

  close () {
    this.socket.close()
  }

  async open () {
    const reports = (await this.reports()).filter(r => r.tapAt)
    if (reports.length === 0) {
      throw new RillError('absent', 'no node has a tap')
    }
    for (const report of reports) {
      this.socket.connect(endpoint(report.tapAt))
      const at = `.v1.${report.role}.${report.node}`
      for (const kind of this.kinds) {
        this.socket.subscribe(
          kind === 'sample' ? `st${at}` : `ev${at}.${kind}`)
      }
    }
  }

  /** How the node that was asked is, and all that are named: a director names
   * the origin, and that its workers. */
  async reports () {
    /** @type {Map<string, any>} */
    const known = new Map()
    let ats = [{ name: '', at: this.connection.at }]
    while (ats.length > 0) {
      const told = await Promise.all(ats.map(({ at }) => this.reportsOf(at)))
      const named = []
      for (const [nth, reports] of told.entries()) {
        if (reports.length === 0) this.silent.push(ats[nth].name)
        for (const report of reports) {
          if (!known.has(report.node)) known.set(report.node, report)
          named.push(...report.nodes, ...report.workers.map(
            (/** @type {any} */ w) => ({ name: w.name, at: w.reach })))
        }
      }
      ats = [...new Map(named.map(n => [n.name, n])).values()].filter(
        n => n.at && !known.has(n.name) && !this.silent.includes(n.name))
    }
    return [...known.values()]
  }

  /** All parts of a node's Report; none where it does not answer.
   * @param {string} at @returns {Promise<any[]>} */
  async reportsOf (at) {
    const mine = at === this.connection.at
    const Connection = /** @type {any} */ (this.connection.constructor)
    const node = mine ? this.connection : new Connection(at)
    try {
      const reports = [await node.report()]
      for (let next; !(next = reports.at(-1).next).isZero();) {
        reports.push(await node.report(next))
      }
      return reports
    } catch (error) {
      if (mine) throw error
      return []
    } finally {
      if (!mine) node.close()
    }
  }

  /** @returns {AsyncGenerator<{kind: string, event?: any, sample?: any}>} */
  async * [Symbol.asyncIterator] () {
    try {
      for await (const [topic, body] of this.socket) {
        try {
          yield topic.toString('latin1', 0, 3) === 'st.'
            ? this.onSample(Sample.decode(body))
            : this.onEvent(Event.decode(body))
        } catch (error) {
          if (error instanceof RillError) throw error // Else it is no message.
        }
      }
    } finally {
      this.close()
    }
  }

  /** Number `first` came; `last` is the last that is known of.
   * @param {string} node @param {string} kind
   * @param {number} first @param {number} last */
  count (node, kind, first, last) {
    const at = `${node} ${kind}`
    const gap = first - 1 - (this.last.get(at) ?? first - 1)
    if (gap > 0) this.lost.set(node, (this.lost.get(node) ?? 0) + gap)
    this.last.set(at, last)
  }

  /** @param {any} event */
  onEvent (event) {
    const kind = snake(event.what ?? '')
    const seq = toNumber(event.seq)
    this.count(event.node, kind, seq, seq)
    return { kind, event }
  }

  /** @param {any} sample */
  onSample (sample) {
    for (const { kind, seq } of sample.told) {
      if (this.last.has(`${sample.node} ${kind}`)) {
        this.count(sample.node, kind, toNumber(seq) + 1, toNumber(seq))
      }
    }
    return { kind: 'sample', sample }
  }
}
