// Tasks with Fastify and better-sqlite3: prepared statements, schemas for what comes and goes.

import { randomUUID } from 'node:crypto'
import Database from 'better-sqlite3'
import Fastify from 'fastify'

const COLUMNS = 'id, user_id, title, description, completed, completed_at, created_at, updated_at, version'

const db = new Database(process.env.DATABASE_URL.replace('sqlite:///', ''))
db.pragma('journal_mode = WAL')
db.pragma('synchronous = FULL')
db.exec(`
  CREATE TABLE IF NOT EXISTS tasks (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT,
    completed INTEGER NOT NULL DEFAULT 0,
    completed_at TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1
  );
  CREATE INDEX IF NOT EXISTS ix_tasks_list ON tasks (user_id, created_at DESC, id DESC)`)

const readTask = db.prepare(`SELECT ${COLUMNS} FROM tasks WHERE id = ? AND user_id = ?`)

const listTasks = db.prepare(
  `SELECT ${COLUMNS} FROM tasks WHERE user_id = ? ORDER BY created_at DESC, id DESC LIMIT ?`,
)

const listState = db.prepare(
  'SELECT count(*) AS count, sum(version) AS sum, max(updated_at) AS updated_at FROM tasks WHERE user_id = ?',
)

const createTask = db.prepare(
  `INSERT INTO tasks (id, user_id, title, description, created_at, updated_at)
   VALUES (@id, @user_id, @title, @description, @now, @now) RETURNING ${COLUMNS}`,
)

const toggleTask = db.prepare(
  `UPDATE tasks SET completed = NOT completed, completed_at = CASE WHEN completed THEN NULL ELSE @now END,
     updated_at = @now, version = version + 1
   WHERE id = @id AND user_id = @user_id RETURNING ${COLUMNS}`,
)

const now = () => new Date().toISOString()

const task = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    user_id: { type: 'string' },
    title: { type: 'string' },
    description: { type: 'string', nullable: true },
    completed: { type: 'boolean' },
    completed_at: { type: 'string', nullable: true },
    created_at: { type: 'string' },
    updated_at: { type: 'string' },
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
    if (request.query.limit) return listTasks.all(user_id, request.query.limit)
    const { count, sum, updated_at } = listState.get(user_id)
    const etag = `"${count}-${sum}-${updated_at}"`
    reply.header('etag', etag)
    if (request.headers['if-none-match'] === etag) return reply.code(304).send()
    return listTasks.all(user_id, -1)
  },
)

app.post(
  '/api/:user_id/tasks',
  { schema: { body: newTask, response: { 201: task } } },
  async (request, reply) => {
    const { title, description = null } = request.body
    reply.code(201)
    return createTask.get({ id: randomUUID(), user_id: request.params.user_id, title, description, now: now() })
  },
)

app.get(
  '/api/:user_id/tasks/:id',
  { schema: { params: ofTask, response: { 200: task } } },
  async (request, reply) => readTask.get(request.params.id, request.params.user_id) ?? reply.callNotFound(),
)

app.post(
  '/api/:user_id/tasks/:id/toggle',
  { schema: { params: ofTask, response: { 200: task } } },
  async (request, reply) => toggleTask.get({ ...request.params, now: now() }) ?? reply.callNotFound(),
)

await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' })
