/** The types of protocols/rill/v1, from messages.json, which the build makes. */
import { readFileSync } from 'node:fs'
import protobuf from 'protobufjs'

const root = protobuf.Root.fromJSON(JSON.parse(readFileSync(
  new URL('./messages.json', import.meta.url), 'utf8')))

export const Message = root.lookupType('rill.v1.Message')
export const Event = root.lookupType('rill.v1.Event')
export const Sample = root.lookupType('rill.v1.Sample')
export const Status = root.lookupEnum('rill.v1.Status')
export const Retry = root.lookupEnum('rill.v1.Retry')
/** The kinds of events, as the .proto has them. */
export const KINDS = Event.oneofs.what.fieldsArray.map(f => snake(f.name))

/** chunkDealt is chunk_dealt in the .proto.
 * @param {string} name */
export function snake (name) {
  return name.replace(/[A-Z]/g, letter => '_' + letter.toLowerCase())
}
