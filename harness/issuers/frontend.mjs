/** Signs in at Better Auth, and makes and lists tasks at taskwell as that user. */

import { createAuthClient } from 'better-auth/client'
import { jwtClient } from 'better-auth/client/plugins'

const { BETTER_AUTH_URL, TASKWELL_URL, EMAIL, PASSWORD } = process.env

const auth = createAuthClient({
  baseURL: BETTER_AUTH_URL,
  plugins: [jwtClient()],
  fetchOptions: { headers: { Origin: BETTER_AUTH_URL }, throw: true }, // a browser sends its own Origin
})

const session = await auth.signIn.email({ email: EMAIL, password: PASSWORD })
const headers = { Authorization: `Bearer ${session.token}` } // a browser sends the session's cookie instead
const { token } = await auth.token({ fetchOptions: { headers } })

async function tasks(request) {
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }
  const response = await fetch(`${TASKWELL_URL}/api/tasks`, { ...request, headers })
  if (!response.ok) throw new Error(await response.text())
  return response.json()
}

const { id } = await tasks({ method: 'POST', body: JSON.stringify({ title: 'Buy milk' }) })
const all = await tasks()
console.log(JSON.stringify(all.find((task) => task.id === id)))
