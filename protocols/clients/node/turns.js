/** Waiting, with an end. */

/** @param {number} ms */
export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

/** Things that came, in order. @template T */
export class Queue {
  constructor () {
    /** @type {T[]} */
    this.items = []
    /** @type {(() => void) | null} */
    this.wake = null
  }

  /** @param {T} item */
  put (item) {
    this.items.push(item)
    this.wake?.()
  }

  /** The next one, or undefined when none comes for so long.
   * @param {number} ms @returns {Promise<T | undefined>} */
  async get (ms) {
    if (this.items.length === 0) {
      await new Promise(resolve => {
        const timer = setTimeout(resolve, ms)
        this.wake = () => {
          clearTimeout(timer)
          resolve(undefined)
        }
      })
      this.wake = null
    }
    return this.items.shift()
  }
}

/** Wakes everybody who waits. */
export class Signal {
  constructor () {
    /** @type {Set<() => void>} */
    this.waiting = new Set()
  }

  set () {
    for (const wake of this.waiting) wake()
    this.waiting.clear()
  }

  /** Until it is set, or for so long. @param {number} [ms] */
  wait (ms) {
    return new Promise(resolve => {
      const timer = ms && setTimeout(() => wake(), ms)
      const wake = () => {
        clearTimeout(timer || undefined)
        this.waiting.delete(wake)
        resolve(undefined)
      }
      this.waiting.add(wake)
    })
  }
}

/** Milliseconds that grow while the same thing is tried again. */
export class Pause {
  constructor (least = 20, most = 1000) {
    this.next = least
    this.most = most
  }

  async take () {
    const ms = this.next
    this.next = Math.min(this.most, 2 * ms)
    await sleep(ms)
  }
}
