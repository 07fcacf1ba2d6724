/** What the issuers share: a server on loopback that tells its port, keeps its state, and ends with us. */

import { Console } from 'node:console'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'

const { PORT = 0, STATE = '' } = process.env
const revive = (name, value) => (name.endsWith('At') && value ? new Date(value) : value)

globalThis.console = new Console(process.stderr) // standard output is for the port alone

/** `fresh` makes the first state, which later runs find in the file STATE; `listener` makes the server. */
export async function serve(fresh, listener) {
  const state = existsSync(STATE) ? JSON.parse(readFileSync(STATE), revive) : fresh()
  const server = createServer().listen(PORT, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.on('request', listener(`http://127.0.0.1:${port}`, state))
  const end = () => {
    if (STATE) writeFileSync(STATE, JSON.stringify(state))
    process.exit()
  }
  process.once('SIGTERM', end)
  process.stdin.once('end', end).resume()
  process.stdout.write(`${JSON.stringify({ port })}\n`)
}
