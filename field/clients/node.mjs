// node node.mjs URL TASKS: Node's fetch (undici).
import assert from 'node:assert/strict'

const [url, path] = process.argv.slice(2)
const tasks = url + path
const json = { 'Content-Type': 'application/json' }

async function send(method, to, status, body, headers = {}) {
  const options = { method, headers: { ...(body && json), ...headers }, body: body && JSON.stringify(body) }
  const answer = await fetch(to, options)
  const text = await answer.text()
  assert.equal(answer.status, status, `${method} ${to}: ${text}`)
  return { body: text && JSON.parse(text), headers: answer.headers }
}

const ended = new AbortController()
const stream = await fetch(url + path.replace('/tasks', '/events?since=0'), { signal: ended.signal })
const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader()

const made = await send('POST', tasks, 201, { title: 'Buy milk', description: 'x'.repeat(2000) })
const task = `${tasks}/${made.body.id}`
assert.equal(new URL(made.headers.get('location'), tasks).href, task)
for (let text = ''; !text.includes(made.body.id); ) {
  const { value, done } = await reader.read()
  assert(!done, 'the stream has ended')
  text += value
}
ended.abort()

const { headers } = await send('GET', task, 200)
await send('GET', tasks, 200)
await send('PATCH', task, 200, { title: 'Buy bread' }, { 'If-Match': headers.get('etag') })
await send('PATCH', task, 412, { title: 'lost' }, { 'If-Match': headers.get('etag') })
assert.equal((await send('POST', `${task}/toggle`, 200, { completed: true })).body.completed, true)
assert.equal((await send('POST', `${task}/toggle`, 200)).body.completed, false)
await Promise.all(Array.from({ length: 50 }, (_, number) => send('POST', tasks, 201, { title: `${number}` })))
assert.equal((await send('GET', tasks, 200)).body.length, 51)
await send('DELETE', task, 204)
process.exit(0)
