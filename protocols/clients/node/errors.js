import { Retry, Status } from './messages.js'

/** What may be done about what a client finds out itself.
 * @type {Record<string, string>} */
const RETRIES = { unreachable: 'later', late: 'later', corrupt: 'elsewhere' }

/** Something was refused or did not come. */
export class RillError extends Error {
  /**
   * @param {string} status the word of rill.v1.Status in small letters;
   *   'unlisted': newer
   * @param {string} text for people
   * @param {{retry?: string, offset?: number, node?: string}} more retry:
   *   never, later, elsewhere, reopen; offset: the nearest that is right, of
   *   offset, range, gone, future; node: who has it, of taken
   */
  constructor (status, text = '', more = {}) {
    super(text ? `${status}: ${text}` : status)
    this.name = 'RillError'
    this.status = status
    this.text = text
    this.retry = more.retry ?? RETRIES[status] ?? 'never'
    this.offset = more.offset ?? 0
    this.node = more.node ?? ''
  }
}

/** The word of a status as it came.
 * @param {number} number */
export function statusWord (number) {
  const name = Status.valuesById[number]
  return name ? name.replace('STATUS_', '').toLowerCase() : 'unlisted'
}

/** The error that a Refused says.
 * @param {any} refused */
export function refusal (refused) {
  if (refused.status === 0) {
    return new RillError('malformed', 'a refusal came that says OK')
  }
  const retry = Retry.valuesById[refused.retry] ?? 'RETRY_NEVER'
  return new RillError(statusWord(refused.status), refused.text, {
    retry: retry.split('_')[1].toLowerCase(),
    offset: toNumber(refused.offset),
    node: refused.node
  })
}

/** An offset as it came: exact below 2^53.
 * @param {any} value a Long, or a number */
export function toNumber (value) {
  return typeof value === 'number' ? value : value.toNumber()
}
