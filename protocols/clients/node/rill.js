/** rill: publish, read and watch streams. See README.md. */
export { Connection, connect } from './connection.js'
export { RillError } from './errors.js'
export { Source } from './source.js'
export { Tap } from './tap.js'
export { Watch } from './watch.js'
