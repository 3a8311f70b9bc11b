import { refusal, RillError, toNumber } from './errors.js'
import { Pause, Signal } from './turns.js'
import { key, number, PIECE_BYTES } from './wire.js'

const KEEP = 1000 // Milliseconds between two words, at most.
const SILENCE = 2000 // Milliseconds without an answer: open again.
const PATIENCE = 30000 // Milliseconds in which nobody answers: give up.

/** kind: 'live' or 'recorded'; protect: without it rill chooses; strict:
 * refuse rather than protect less; token: of a source that goes on.
 * @typedef {{kind?: 'live' | 'recorded', protect?: {k: number, m: number},
 *   strict?: boolean, chunkBytes?: number, token?: any}} SourceOptions */

/** Brings bytes. Made by Connection.publish(). */
export class Source {
  /** @param {import('./connection.js').Connection} connection
   * @param {string} name @param {SourceOptions} options */
  constructor (connection, name, options) {
    const { kind = 'live', protect, strict, chunkBytes } = options
    if (kind !== 'live' && kind !== 'recorded') {
      throw new TypeError(`kind "${kind}" is not live or recorded`)
    }
    this.connection = connection
    this.token = options.token ?? number()
    this.words = {
      name,
      kind: kind === 'live' ? 2 : 1,
      token: this.token,
      protection: protect,
      strict,
      chunkBytes
    }
    /** @type {any} */
    this.stream = null
    this.begin = 0
    this.chunk = 1
    /** Of the next byte to be written. */
    this.offset = 0
    this.stored = 0
    this.settled = 0
    /** Why nothing moves now. @type {RillError | null} */
    this.held = null
    /** Complete, settled, over. */
    this.sealed = false
    this.left = false
    /** @type {any} */
    this.session = null
    /** @type {any} */
    this.request = null
    /** @type {any} */
    this.kept = null
    this.sent = this.credit = this.keptSent = 0
    /** Not yet stored. @type {{offset: number, data: Buffer}[]} */
    this.pieces = []
    this.ending = this.told = false
    /** @type {RillError | null} */
    this.failed = null
    /** @type {RillError | null} */
    this.trouble = null
    this.again = new Pause(50, 400)
    this.heard = this.said = 0
    this.turned = new Signal()
  }

  async open () {
    this.run()
    await this.until(() => this.stream !== null)
  }

  /** Give the next bytes; waits until there is credit for them.
   * @param {Uint8Array} bytes */
  async write (bytes) {
    let data = Buffer.from(bytes) // What the owner does with his is his.
    while (data.length > 0) {
      await this.until(() => this.offset < this.credit)
      //  Pieces that are aligned are passed on without a copy.
      const room = this.chunk - (this.offset - this.begin) % this.chunk
      const size = Math.min(data.length, this.credit - this.offset, room)
      this.pieces.push({ offset: this.offset, data: data.subarray(0, size) })
      this.offset += size
      data = data.subarray(size)
      this.turned.set()
    }
  }

  /** Seal it; returns when all of it is settled. */
  async finish () {
    this.ending = true
    this.turned.set()
    await this.until(() => this.sealed)
  }

  /** Go; the stream stays open for the same token. */
  async leave () {
    const { session, request } = this
    const running = !this.failed && !this.sealed && !this.left
    this.left = true
    this.turned.set()
    if (running && session) {
      await this.connection.say(request, { sourceLeave: { session } })
    }
  }

  /** @param {() => boolean} isTrue */
  async until (isTrue) {
    while (!isTrue()) {
      if (this.failed) throw this.failed
      if (this.left) throw new RillError('sealed', 'the source has left')
      await this.turned.wait()
    }
  }

  get isOver () {
    return this.sealed || this.left
  }

  async run () {
    let silent = Date.now() + PATIENCE
    while (!this.isOver && !this.failed) {
      try {
        await this.runSession()
      } catch (error) {
        this.held = /** @type {RillError} */ (error)
        silent = this.judge(this.held, silent)
        await this.again.take()
      }
    }
    this.unroute()
    this.turned.set()
  }

  /** Fails with what cannot be mended; returns when patience ends.
   * @param {RillError} error @param {number} silent */
  judge (error, silent) {
    const said = !['unreachable', 'late'].includes(error.status)
    const now = Date.now()
    silent = Math.max(silent, this.heard + PATIENCE)
    if (said && error.retry === 'never' && error.status !== 'fenced') {
      this.failed = error
    } else if (said || this.heard + SILENCE > now) {
      return now + PATIENCE
    } else if (now > silent ||
               (this.stream === null && error.status === 'unreachable')) {
      this.failed = error
    }
    return silent
  }

  /** Open, and go on until it is over; what goes wrong is thrown. */
  async runSession () {
    this.unroute()
    this.request = number()
    this.connection.routes.set(key(this.request), h => this.onHeard(h))
    this.trouble = this.session = this.kept = null
    this.told = false
    await this.connection.say(this.request, { open: this.words })
    let asked = this.said = Date.now()
    while (!this.isOver) {
      if (this.trouble) throw this.trouble
      const turn = this.turned.wait(KEEP / 4)
      if (this.session) await this.send()
      const now = Date.now()
      if (now - Math.max(asked, this.heard) > SILENCE) {
        throw new RillError('late', `${this.connection.at} is silent`)
      }
      if (this.session && now - this.said >= KEEP) {
        await this.keep()
        if (asked <= this.heard) asked = now
      }
      await turn
    }
  }

  /** Everything that there is credit for, then the end. */
  async send () {
    const { session, request } = this
    for (const { offset, data } of [...this.pieces]) {
      while (this.sent < offset + data.length) {
        if (this.trouble || this.isOver || this.sent >= this.credit) return
        const from = this.sent
        const part = data.subarray(from - offset, this.credit - offset)
        this.sent += part.length
        await this.connection.say(request,
          { piece: { session, offset: from } }, part)
      }
    }
    if (this.ending && !this.told && this.sent === this.offset) {
      await this.keep()
    }
  }

  /** A question that Progress answers: has all come that was sent? */
  async keep () {
    const { session, connection } = this
    if (this.kept) connection.routes.delete(key(this.kept))
    this.kept = number()
    this.keptSent = this.sent
    connection.routes.set(key(this.kept), h => this.onHeard(h))
    this.said = Date.now()
    this.told = this.ending && this.sent === this.offset
    await connection.say(this.kept, this.told
      ? { finish: { session, offset: this.sent } }
      : { sourceKeep: { session } })
  }

  /** @param {import('./connection.js').Heard} heard */
  onHeard ({ message, error }) {
    this.heard = Date.now()
    if (error) {
      this.trouble = error
    } else if (message.refused) {
      this.trouble = refusal(message.refused)
    } else if (message.opened) {
      this.onOpened(message.opened)
    } else if (message.progress) {
      this.onProgress(message.request, message.progress)
    }
    this.turned.set()
  }

  /** @param {any} opened */
  onOpened (opened) {
    const [begin, offset] = [toNumber(opened.begin), toNumber(opened.offset)]
    const kept = this.pieces[0]?.offset ?? this.offset
    if (begin > offset || !opened.chunkBytes) {
      this.trouble = new RillError('malformed', 'an Opened came that cannot be')
    } else if (this.stream === null) {
      this.begin = begin
      this.offset = offset
      this.chunk = Math.min(opened.chunkBytes, PIECE_BYTES)
    } else if (begin !== this.begin || offset < kept || offset > this.offset) {
      this.trouble = new RillError('offset', 'it cannot go on there: another ' +
        'source with this token has written', { offset })
    }
    if (this.trouble) return
    this.stream = opened.stream
    this.session = opened.session
    this.sent = offset
    this.credit = toNumber(opened.credit)
    this.connection.sessions.set(key(this.session), h => this.onHeard(h))
    this.held = null
    this.letGo(offset)
    this.sealed = opened.sealed
  }

  /** @param {any} request @param {any} told */
  onProgress (request, told) {
    if (!this.session || key(told.session) !== key(this.session)) return
    this.letGo(toNumber(told.stored))
    this.settled = Math.max(this.settled, toNumber(told.settled))
    this.credit = Math.max(this.credit, toNumber(told.credit))
    this.held = told.held
      ? new RillError('held', 'nothing moves now', { retry: 'later' })
      : null
    if (this.kept && key(request) === key(this.kept) &&
        toNumber(told.received) < this.keptSent) {
      this.trouble = new RillError('offset', 'a piece was lost',
        { retry: 'reopen' })
    }
    this.sealed = this.ending && told.sealed &&
      toNumber(told.settled) === this.offset
  }

  /** What is stored need not be kept; the pause begins anew with it.
   * @param {number} stored */
  letGo (stored) {
    if (stored > this.stored) {
      this.stored = stored
      this.again = new Pause(50, 400)
    }
    let gone = 0
    for (const { offset, data } of this.pieces) {
      if (offset + data.length > stored) break
      gone++
    }
    this.pieces.splice(0, gone)
  }

  unroute () {
    for (const request of [this.request, this.kept]) {
      if (request) this.connection.routes.delete(key(request))
    }
    if (this.session) this.connection.sessions.delete(key(this.session))
  }
}
