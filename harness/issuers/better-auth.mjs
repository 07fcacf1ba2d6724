/** Better Auth, its JWT plugin as it comes. `POST /test/rotate` brings a new key, `?forget` drops the old. */

import { betterAuth } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { toNodeHandler } from 'better-auth/node'
import { bearer, jwt } from 'better-auth/plugins'

import { serve } from './serve.mjs'

const tables = () => ({ user: [], session: [], account: [], verification: [], jwks: [] })

/** A key that has expired signs nothing more, but is published for thirty days. */
function rotate(keys, forget) {
  for (const key of keys) key.expiresAt = new Date()
  if (forget) keys.length = 0
}

await serve(tables, (url, database) => {
  const auth = betterAuth({
    baseURL: url,
    secret: 'known to all, and for tests alone',
    database: memoryAdapter(database),
    emailAndPassword: { enabled: true },
    plugins: [bearer(), jwt()],
  })
  const answer = toNodeHandler(auth)
  return (request, response) => {
    if (!request.url.startsWith('/test/rotate')) return answer(request, response)
    rotate(database.jwks, request.url.endsWith('?forget'))
    response.writeHead(204).end()
  }
})
