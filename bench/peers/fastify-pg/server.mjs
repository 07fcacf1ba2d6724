// Tasks with Fastify and pg: a pool of ten, named (that is, prepared) statements, schemas for what comes and goes.

import Fastify from 'fastify'
import pg from 'pg'

const COLUMNS = 'id, user_id, title, description, completed, completed_at, created_at, updated_at, version'

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
    version integer NOT NULL DEFAULT 1
  );
  CREATE INDEX IF NOT EXISTS ix_tasks_list ON tasks (user_id, created_at DESC, id DESC)`)

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
const ofList = { type: 'object', properties: { limit: { type: 'integer', minimum: 1 } } }

const app = Fastify()

app.get(
  '/api/:user_id/tasks',
  { schema: { querystring: ofList, response: { 200: { type: 'array', items: task } } } },
  async (request, reply) => {
    const { user_id } = request.params
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

await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' })
