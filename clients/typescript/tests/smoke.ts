/** Everything that the client is for, against the server whose URL is given, and by a token if one is. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { connect, expect, pages, ProblemError, sync, type Task } from 'taskwell-client'

const [, , url = '', token] = process.argv
const taskwell = connect(url, token)

const create = (title: string) => expect(taskwell.POST('/api/tasks', { body: { title } }))

async function listsInPages() {
  await expect(taskwell.DELETE('/api/tasks'))
  const made: Task[] = []
  for (let number = 0; number < 5; number++) made.unshift(await create(`Task ${number}`))
  const listed: Task[] = []
  const page = (cursor?: string) =>
    taskwell.GET('/api/tasks', { params: { query: { limit: 2, ...(cursor && { cursor }) } } })
  for await (const task of pages(page)) listed.push(task)
  assert.deepEqual(listed, made)
}

async function guardsAnUpdate() {
  const task = await create('Buy milk')
  const change = (title: string) =>
    taskwell.PATCH('/api/tasks/{task_id}', {
      params: { path: { task_id: task.id }, header: { 'if-match': `"${task.version}"` } },
      body: { title },
    })
  const changed = await expect(change('Buy bread'))
  assert.equal(changed.title, 'Buy bread')
  const { error, response } = await change('Buy jam')
  assert.equal(error?.type, 'precondition_failed')
  assert.equal(response.status, 412)
  assert.equal(response.headers.get('ETag'), `"${changed.version}"`)
}

async function retriesWithoutDoingItTwice() {
  const key = randomUUID()
  const send = (title: string) =>
    taskwell.POST('/api/tasks', { params: { header: { 'idempotency-key': key } }, body: { title } })
  const [first, second] = [await send('Call mum'), await send('Call mum')]
  assert.deepEqual(first.data, second.data)
  assert.equal(second.response.headers.get('Idempotent-Replayed'), 'true')
  await assert.rejects(
    expect(send('Call dad')),
    (error) => error instanceof ProblemError && error.problem.type === 'idempotency_key_reused',
  )
}

async function doesManyThingsAtOnce() {
  const id = randomUUID()
  const { results } = await expect(
    taskwell.POST('/api/tasks/batch', {
      body: {
        operations: [
          { op: 'create', id, task: { title: 'Buy milk' } },
          { op: 'update', id, task: { description: 'Two bottles' } },
        ],
      },
    }),
  )
  assert.deepEqual(
    results.map((result) => 'task' in result && [result.status, result.task.description]),
    [[201, null], [200, 'Two bottles']],
  )
  const { error } = await taskwell.POST('/api/tasks/batch', {
    body: { operations: [{ op: 'delete', id, version: 1 }] },
  })
  assert.deepEqual([error?.type, error?.index], ['precondition_failed', 0])
}

async function keepsACopy() {
  const copy = new Map<string, Task>()
  const follow = (since?: string) =>
    sync((cursor) => taskwell.GET('/api/changes', { params: { query: { limit: 3, ...(cursor && { since: cursor }) } } }), copy, since)
  const isEqual = async () =>
    assert.deepEqual(copy, new Map((await expect(taskwell.GET('/api/tasks'))).map((task) => [task.id, task])))
  const since = await follow()
  await isEqual()
  const { id } = await create('Soon gone')
  await expect(taskwell.DELETE('/api/tasks/{task_id}', { params: { path: { task_id: id } } }))
  await follow(since)
  await isEqual()
  copy.set('of another time line', await create('Call mum'))
  await follow('999999-0')
  await isEqual()
}

async function tellsWhatIsWrong() {
  const { error } = await taskwell.POST('/api/tasks', { body: { title: ' ' } })
  assert.equal(error?.type, 'validation_error')
  assert.deepEqual(error.errors?.map(({ pointer, code }) => [pointer, code]), [['/title', 'too_short']])
}

/** By a token one is a single user. */
async function servesManyUsers() {
  const params = { path: { user_id: 'auth0|alice' } }
  const made = await taskwell.POST('/api/{user_id}/tasks', { params, body: { title: 'Buy milk' } })
  if (token !== undefined) return made.error?.type
  assert.deepEqual(await expect(taskwell.GET('/api/{user_id}/tasks', { params })), [made.data])
}

for (const work of [
  listsInPages,
  guardsAnUpdate,
  retriesWithoutDoingItTwice,
  doesManyThingsAtOnce,
  keepsACopy,
  tellsWhatIsWrong,
  servesManyUsers,
]) {
  const told = await work()
  console.log(work.name + (told ? `: ${told}` : ''))
}
