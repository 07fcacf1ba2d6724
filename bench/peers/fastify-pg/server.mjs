// Tasks with Fastify and pg: a pool of ten, named (that is, prepared) statements, schemas for what comes and goes.

import Fastify from 'fastify'
import { generateKeyBetween } from 'fractional-indexing'
import pg from 'pg'

const COLUMNS = 'id, user_id, title, description, completed, completed_at, created_at, updated_at, version'
const PLANNED = `${COLUMNS}, due, list_id, position`

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 })

await pool.query(`
  CREATE TABLE IF NOT EXISTS tasks (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id text NOT NULL,
    title text NOT NULL,
    description text,
    completed boolean NOT NULL DEFAULT false,
    completed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL DEFAULT 1,
    due text COLLATE "C",
    list_id uuid,
    position text COLLATE "C"
  );
  CREATE INDEX IF NOT EXISTS ix_tasks_list ON tasks (user_id, created_at DESC, id DESC);
  CREATE INDEX IF NOT EXISTS ix_tasks_due ON tasks (user_id, completed, due, id)
    WHERE due IS NOT NULL;
  CREATE INDEX IF NOT EXISTS ix_tasks_order ON tasks (user_id, list_id, position, id) WHERE list_id IS NOT NULL`)

const statement = (name, text) => async (...values) => (await pool.query({ name, text, values })).rows

const readTask = statement('read', `SELECT ${COLUMNS} FROM tasks WHERE id = $2 AND user_id = $1`)

const LIST = `SELECT ${COLUMNS} FROM tasks WHERE user_id = $1 ORDER BY created_at DESC, id DESC`
const listAll = statement('list', LIST)
const listSome = statement('page', `${LIST} LIMIT $2`)

const listState = statement(
  'state',
  'SELECT count(*), sum(version), max(updated_at) AS updated_at FROM tasks WHERE user_id = $1',
)

const createTask = statement(
  'create',
  `INSERT INTO tasks (user_id, title, description) VALUES ($1, $2, $3) RETURNING ${COLUMNS}`,
)

const toggleTask = statement(
  'toggle',
  `UPDATE tasks SET completed = NOT completed, completed_at = CASE WHEN completed THEN NULL ELSE now() END,
     updated_at = now(), version = version + 1
   WHERE id = $2 AND user_id = $1 RETURNING ${COLUMNS}`,
)

const listDue = statement(
  'due',
  `SELECT ${PLANNED} FROM tasks
   WHERE user_id = $1 AND due IS NOT NULL AND (NOT completed AND due <= $2 OR completed AND due = $2)
   ORDER BY created_at DESC, id DESC`,
)

const OPEN = `SELECT ${PLANNED} FROM tasks WHERE user_id = $1 AND NOT completed AND due IS NOT NULL`
const listOpen = statement('open', `${OPEN} ORDER BY due, id LIMIT $2`)
const listOpenAfter = statement('open after', `${OPEN} AND (due, id) > ($3, $4) ORDER BY due, id LIMIT $2`)

// Of two moves to behind one task the second waits for the first, and sees it.
const LOCK = 'SELECT id, list_id, position FROM tasks WHERE user_id = $1 AND id = $2 FOR UPDATE'
const NEXT = `
  SELECT position FROM tasks WHERE user_id = $1 AND list_id = $2 AND id <> $3 AND (position, id) > ($4, $5)
  ORDER BY position, id LIMIT 1`
const MOVE = `
  UPDATE tasks SET position = $3, updated_at = now(), version = version + 1
  WHERE id = $2 AND user_id = $1 AND list_id = $4 RETURNING ${PLANNED}`

const moveTask = async (user_id, id, after) => {
  const client = await pool.connect()
  const first = async (name, text, ...values) => (await client.query({ name, text, values })).rows[0]
  try {
    await client.query('BEGIN')
    const other = await first('lock', LOCK, user_id, after)
    const next = other && (await first('next', NEXT, user_id, other.list_id, id, other.position, other.id))
    const position = other && generateKeyBetween(other.position, next?.position)
    const moved = other && (await first('move', MOVE, user_id, id, position, other.list_id))
    await client.query('COMMIT')
    return moved
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  } finally {
    client.release()
  }
}

const today = () => new Date().toISOString().slice(0, 10)

const instant = { type: 'string', format: 'date-time' }
const task = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    user_id: { type: 'string' },
    title: { type: 'string' },
    description: { type: 'string', nullable: true },
    completed: { type: 'boolean' },
    completed_at: { ...instant, nullable: true },
    created_at: instant,
    updated_at: instant,
    version: { type: 'integer' },
    due: { type: 'string', nullable: true },
    list_id: { type: 'string', nullable: true },
    position: { type: 'string', nullable: true },
  },
}
const newTask = {
  type: 'object',
  required: ['title'],
  properties: {
    title: { type: 'string', minLength: 1, maxLength: 200 },
    description: { type: 'string', maxLength: 2000, nullable: true },
  },
}
const ofTask = { type: 'object', properties: { user_id: { type: 'string' }, id: { type: 'string', format: 'uuid' } } }
const ofList = {
  type: 'object',
  properties: {
    limit: { type: 'integer', minimum: 1 },
    due: { enum: ['overdue,today', 'any'] },
    completed: { enum: ['false'] },
    sort: { enum: ['due'] },
    cursor: { type: 'string', pattern: '^\\d{4}-\\d{2}-\\d{2}~[0-9a-f-]{36}$' },
  },
}
const newPlace = { type: 'object', required: ['after'], properties: { after: { type: 'string', format: 'uuid' } } }

// A page of open tasks by their dates, and the path of the next one.
const openPage = async (request, reply) => {
  const { user_id } = request.params
  const { limit, cursor } = request.query
  const tasks = await (cursor ? listOpenAfter(user_id, limit + 1, ...cursor.split('~')) : listOpen(user_id, limit + 1))
  if (tasks.length > limit) {
    tasks.pop()
    const last = tasks.at(-1)
    const query = new URLSearchParams({ ...request.query, cursor: `${last.due}~${last.id}` })
    reply.header('link', `</api/${user_id}/tasks?${query}>; rel="next"`)
  }
  return tasks
}

const app = Fastify()

app.get(
  '/api/:user_id/tasks',
  { schema: { querystring: ofList, response: { 200: { type: 'array', items: task } } } },
  async (request, reply) => {
    const { user_id } = request.params
    if (request.query.sort) return openPage(request, reply)
    if (request.query.due) return listDue(user_id, today())
    if (request.query.limit) return listSome(user_id, request.query.limit)
    const [{ count, sum, updated_at }] = await listState(user_id)
    const etag = `"${count}-${sum}-${Number(updated_at)}"`
    reply.header('etag', etag)
    if (request.headers['if-none-match'] === etag) return reply.code(304).send()
    return listAll(user_id)
  },
)

app.post(
  '/api/:user_id/tasks',
  { schema: { body: newTask, response: { 201: task } } },
  async (request, reply) => {
    const { title, description = null } = request.body
    const [created] = await createTask(request.params.user_id, title, description)
    reply.code(201)
    return created
  },
)

app.get(
  '/api/:user_id/tasks/:id',
  { schema: { params: ofTask, response: { 200: task } } },
  async (request, reply) => {
    const [found] = await readTask(request.params.user_id, request.params.id)
    return found ?? reply.callNotFound()
  },
)

app.post(
  '/api/:user_id/tasks/:id/toggle',
  { schema: { params: ofTask, response: { 200: task } } },
  async (request, reply) => {
    const [toggled] = await toggleTask(request.params.user_id, request.params.id)
    return toggled ?? reply.callNotFound()
  },
)

app.post(
  '/api/:user_id/tasks/:id/move',
  { schema: { params: ofTask, body: newPlace, response: { 200: task } } },
  async (request, reply) => {
    const { user_id, id } = request.params
    return (await moveTask(user_id, id, request.body.after)) ?? reply.callNotFound()
  },
)

await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' })
