// Tasks with Fastify and better-sqlite3: prepared statements, schemas for what comes and goes.

import { randomUUID } from 'node:crypto'
import Database from 'better-sqlite3'
import Fastify from 'fastify'
import { generateKeyBetween } from 'fractional-indexing'

const COLUMNS = 'id, user_id, title, description, completed, completed_at, created_at, updated_at, version'
const PLANNED = `${COLUMNS}, due, list_id, position`

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
    version INTEGER NOT NULL DEFAULT 1,
    due TEXT,
    list_id TEXT,
    position TEXT
  );
  CREATE INDEX IF NOT EXISTS ix_tasks_list ON tasks (user_id, created_at DESC, id DESC);
  CREATE INDEX IF NOT EXISTS ix_tasks_due ON tasks (user_id, completed, due, id) WHERE due IS NOT NULL;
  CREATE INDEX IF NOT EXISTS ix_tasks_order ON tasks (user_id, list_id, position, id) WHERE list_id IS NOT NULL`)

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

// Without statistics SQLite would walk the whole list, which has the order.
const DATED = `SELECT ${PLANNED} FROM tasks INDEXED BY ix_tasks_due WHERE user_id = @user_id AND due IS NOT NULL`
const listDue = db.prepare(
  `${DATED} AND completed = 0 AND due <= @today UNION ALL ${DATED} AND completed = 1 AND due = @today
   ORDER BY created_at DESC, id DESC`,
)

const OPEN = `SELECT ${PLANNED} FROM tasks WHERE user_id = ? AND completed = 0 AND due IS NOT NULL`
const listOpen = db.prepare(`${OPEN} ORDER BY due, id LIMIT ?`)
const listOpenAfter = db.prepare(`${OPEN} AND (due, id) > (?, ?) ORDER BY due, id LIMIT ?`)

// The key of a task, and that of the one behind it in its list.
const findKeys = db.prepare(
  `SELECT list_id, position, (
     SELECT position FROM tasks AS next
     WHERE next.user_id = @user_id AND next.list_id = other.list_id AND next.id <> @id
       AND (next.position, next.id) > (other.position, other.id)
     ORDER BY position, id LIMIT 1
   ) AS next FROM tasks AS other WHERE user_id = @user_id AND id = @after`,
)

const moveTask = db.prepare(
  `UPDATE tasks SET position = @position, updated_at = @now, version = version + 1
   WHERE id = @id AND user_id = @user_id AND list_id = @list_id RETURNING ${PLANNED}`,
)

const today = () => new Date().toISOString().slice(0, 10)

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
  const tasks = cursor ? listOpenAfter.all(user_id, ...cursor.split('~'), limit + 1) : listOpen.all(user_id, limit + 1)
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
    if (request.query.due) return listDue.all({ user_id, today: today() })
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

app.post(
  '/api/:user_id/tasks/:id/move',
  { schema: { params: ofTask, body: newPlace, response: { 200: task } } },
  async (request, reply) => {
    const { user_id, id } = request.params
    const other = findKeys.get({ user_id, id, after: request.body.after })
    if (!other) return reply.callNotFound()
    const position = generateKeyBetween(other.position, other.next)
    const moved = moveTask.get({ user_id, id, position, list_id: other.list_id, now: now() })
    return moved ?? reply.callNotFound()
  },
)

await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' })
