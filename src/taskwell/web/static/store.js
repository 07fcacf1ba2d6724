// A copy of everything, and a queue of writes. What is shown is always the copy with the queue applied to it.
// No DOM: `db`, `api`, `channel` and `exclusive` come from outside, so that Node can run it, too.

import { Problem, uuid } from './api.js'

/** @typedef {import('./types.js').Entry} Entry */
/** @typedef {import('./types.js').Write} Write */
/** @typedef {import('./types.js').Task} Task */
/** @typedef {import('./types.js').List} List */
/** @typedef {import('./types.js').Label} Label */
/** @typedef {import('./types.js').Kind} Kind */

const PAGE = 1_000
const MANY = 2_000
const WAITS = [1, 2, 5, 10, 30] // seconds between attempts
const KEY_LIFE_MS = 23 * 3_600_000 // the server forgets an Idempotency-Key after 24 h
const HIDDEN_MS = 30_000
const BEAT_MS = 15_000
const GUARDED = new Set(['title', 'description']) // what nobody wants to lose to another device
const KINDS = /** @type {Kind[]} */ (['task', 'list', 'label'])
const PATHS = { task: '/api/tasks', list: '/api/lists', label: '/api/labels' }

/** @type {() => Record<Kind, Map<string, any>>} */
const maps = () => ({ task: new Map(), list: new Map(), label: new Map() })
const same = (/** @type {unknown} */ one, /** @type {unknown} */ other) => JSON.stringify(one ?? null) === JSON.stringify(other ?? null)
const keyOf = (/** @type {Kind} */ kind, /** @type {any} */ record) => (kind === 'label' ? record.name.toLowerCase() : record.id)
const isLost = (/** @type {Problem} */ { status }) => status === 0 || status === 429 || status >= 500

export class Store {
  /** @type {Task[] | undefined} */
  _tasks
  /** @type {Map<string, Task[]> | undefined} */
  _children
  /** @type {any} */
  _hiding
  /** @type {any} */
  _retry
  _sending = ''
  /** @type {Record<Kind, Map<string, any>> | null} */
  _stale = null
  /** Told of each write that the server has taken. @type {((entry: Entry, answer: any) => void) | undefined} */
  onsent

  /** Told of each reminder whose time has come. @type {((reminder: {task_id: string, kind: 'reminder' | 'due'}) => void) | undefined} */
  onreminder

  /** @param {{api: import('./types.js').Api, db: any, onchange: () => void, channel?: BroadcastChannel, exclusive?: (work: () => Promise<void>) => Promise<unknown>}} outside */
  constructor({ api, db, onchange, channel, exclusive = (work) => work() }) {
    this.api = api
    this.db = db
    this.onchange = onchange
    this.channel = channel
    this.exclusive = exclusive
    this.base = maps()
    this.since = ''
    this.revision = 0
    /** @type {Entry[]} */
    this.queue = []
    /** @type {Entry[]} */
    this.failed = []
    /** @type {'loading' | 'live' | 'behind' | 'offline' | 'signin'} */
    this.status = 'loading'
    this.me = uuid()
    this.leads = false
    this.visible = true
    this.stopped = false
    this._heard = 0
    this._gone = maps()
    this._overlay = maps()
    this._lastKey = 0
    this._attempts = 0
    this._wanted = false
    this._guardAll = false
    /** @type {AbortController | null} */
    this._stream = null
    /** @type {(() => void) | null} */
    this._wake = null
    /** @type {any[]} */
    this._timers = []
    /** @type {any} */
    this._saving = null
    /** @type {Promise<void> | null} */
    this._flushing = null
    if (channel) channel.onmessage = (event) => this._hear(event.data)
  }

  // ---- what is shown

  /** @param {Kind} kind @param {string} id */
  get(kind, id) {
    if (kind === 'label') id = id.toLowerCase()
    const over = this._overlay[kind].get(id)
    return over === undefined ? this.base[kind].get(id) : (over ?? undefined)
  }

  /** @param {Kind} kind @returns {any[]} */
  all(kind) {
    const overlay = this._overlay[kind]
    const base = [...this.base[kind].values()]
    if (overlay.size === 0) return base
    return [...base.filter((record) => !overlay.has(keyOf(kind, record))), ...[...overlay.values()].filter(Boolean)]
  }

  /** @returns {Task[]} */
  tasks() {
    if (!this._tasks) this._tasks = this.all('task')
    return this._tasks
  }

  /** Tasks below a task, at all levels. @param {string} id @returns {Task[]} */
  below(id) {
    if (!this._children) {
      this._children = /** @type {Map<string, Task[]>} */ (new Map())
      for (const task of this.tasks()) {
        if (task.parent_id) this._children.set(task.parent_id, [...(this._children.get(task.parent_id) ?? []), task])
      }
    }
    const children = this._children.get(id) ?? []
    return children.flatMap((child) => [child, ...this.below(child.id)])
  }

  _changed() {
    this.revision += 1
    this._overlay = maps()
    this._tasks = this._children = undefined
    this.queue.forEach((entry, place) => this._apply(entry, place, entry.at))
    this.onchange()
  }

  /** @param {Write} write @param {number} place in the queue @param {number} at when */
  _apply(write, place, at) {
    if (write.writes) write.writes.forEach((inner, index) => this._apply(inner, place + index, at))
    else if (write.op === 'rename') this._applyRename(write)
    else if (write.op !== 'undo') this._applyOne(write, place, at)
    this._tasks = this._children = undefined
  }

  /** @param {Write} write @param {number} place @param {number} at */
  _applyOne({ op, kind, id, fields = {}, record }, place, at) {
    const overlay = this._overlay[kind]
    const key = kind === 'label' ? id.toLowerCase() : id
    if (op === 'create') overlay.set(id, { ...blank(kind, id, at, place), ...fields, waiting: true })
    if (op === 'restore' && !this.get(kind, id)) overlay.set(id, { ...record, waiting: true })
    const before = this.get(kind, id) ?? (kind === 'label' ? { name: id, color: null, position: null, version: 0 } : null)
    if (!before) return
    const below = kind === 'task' ? this.below(id) : []
    if (op === 'delete') {
      overlay.set(id, null)
      if (kind === 'list') for (const task of this.tasks()) if (task.list_id === id) this._overlay.task.set(task.id, null)
      for (const task of below) overlay.set(task.id, null)
    }
    if (op !== 'update' && op !== 'move') return
    const changes = op === 'move' ? this._place(kind, before, fields, place) : fields
    overlay.set(key, { ...merged(kind, before, changes, at), waiting: true })
    const list = this.get(kind, id).list_id
    for (const task of below) if (task.list_id !== list) overlay.set(task.id, { ...task, list_id: list })
  }

  /** Where a move puts a record, by a position that is never sent: the server chooses the real one. @param {Kind} kind @param {any} record @param {any} fields @param {number} place */
  _place(kind, record, { after, before, ...rest }, place) {
    const next = before && this.get(kind, before)
    const moved = { ...record, ...rest }
    const others = this.all(kind).filter((other) => other.id !== record.id && same(other.list_id, moved.list_id) && same(other.parent_id, moved.parent_id))
    let previous = after && this.get(kind, after)
    if (next) previous = others.filter((other) => order(other, next) < 0).sort(order).at(-1)
    if (before === null) return { ...rest, position: `~~${String(place).padStart(6, '0')}` }
    return { ...rest, position: `${previous?.position ?? ''}${' '.repeat(1 + place)}!` }
  }

  /** @param {Write} write */
  _applyRename({ id, fields }) {
    for (const task of this.tasks()) {
      if (!task.labels.some((name) => name.toLowerCase() === id.toLowerCase())) continue
      const labels = task.labels.filter((name) => name.toLowerCase() !== id.toLowerCase())
      if (fields?.name && !labels.some((name) => name.toLowerCase() === fields.name.toLowerCase())) labels.push(fields.name)
      this._overlay.task.set(task.id, { ...task, labels })
    }
    const label = this.get('label', id.toLowerCase())
    this._overlay.label.set(id.toLowerCase(), null)
    if (label && fields?.name) this._overlay.label.set(fields.name.toLowerCase(), { ...label, name: fields.name })
  }

  // ---- start and stop

  /** Show the copy, then follow the server. @param {Task[]} first what a first visit shows until the feed has been read */
  async start(first = []) {
    const { copy, queue, failed } = await this.db.load()
    if (copy) {
      const { since, records } = JSON.parse(copy)
      for (const kind of KINDS) for (const record of records[kind]) this.base[kind].set(keyOf(kind, record), record)
      this.since = since
    }
    const byKey = (/** @type {Entry} */ one, /** @type {Entry} */ other) => (one.key < other.key ? -1 : 1)
    this.queue = queue.sort(byKey)
    this.failed = failed.sort(byKey)
    this._lastKey = Math.max(0, ...this.queue.map((entry) => entry.at))
    for (const task of first) this._keep('task', task)
    if (copy) this.status = 'behind'
    this._changed()
    this.lead()
    this._timers.push(setInterval(() => this._beat(), BEAT_MS))
    // After their frame: the pages of the feed are large.
    this._timers.push(setTimeout(() => void this._follow(), first.length && 100))
  }

  stop() {
    this.stopped = true
    this._timers.forEach(clearInterval)
    clearTimeout(this._saving)
    clearTimeout(this._hiding)
    clearTimeout(this._retry)
    this._stream?.abort()
    this._wake?.()
    this.channel?.close()
    this.db.close()
  }

  // ---- one stream a browser

  lead() {
    this.leads = true
    this.channel?.postMessage({ leads: this.me })
    this._wake?.()
  }

  /** @param {boolean} visible */
  setVisible(visible) {
    this.visible = visible
    clearTimeout(this._hiding)
    if (visible) this.lead()
    else {
      void this._save()
      this._hiding = setTimeout(() => this._yieldLead(true), HIDDEN_MS)
    }
  }

  /** The page goes away, perhaps to come back. */
  leave() {
    this.setVisible(false)
    this._yieldLead(true)
  }

  /** @param {boolean} free */
  _yieldLead(free) {
    if (!this.leads) return
    this.leads = false
    this._stream?.abort()
    if (free) this.channel?.postMessage({ free: true })
  }

  _beat() {
    if (this.leads) this.channel?.postMessage({ leads: this.me })
    else if (this.visible && Date.now() - this._heard > 3 * BEAT_MS) this.lead()
  }

  /** @param {any} message of another page of this browser */
  _hear(message) {
    if (message.leads) {
      this._heard = Date.now()
      this._yieldLead(false)
    }
    if (message.free && this.visible) this.lead()
    if (message.queued) this.queue = [...this.queue.filter(({ key }) => key !== message.queued.key), message.queued]
    if (message.sent) this.queue = this.queue.filter(({ key }) => key !== message.sent)
    if (message.failed) this.failed = [...this.failed, message.failed]
    if (message.dropped) this.failed = this.failed.filter(({ key }) => key !== message.dropped)
    if (message.gone) this._forgetBase()
    for (const [kind, record] of message.records ?? []) this._keep(kind, record)
    if (message.since) this.since = message.since
    if (message.status && !this.leads) this.status = message.status
    if (message.gone) void this._catchUp().catch(() => {})
    this._changed()
  }

  /** @param {any} message */
  _tell(message) {
    this.channel?.postMessage(message)
  }

  // ---- the feed

  async _follow() {
    while (!this.stopped) {
      if (!this.leads || this.status === 'signin') {
        await this._sleep(3_600_000)
        continue
      }
      try {
        await this._catchUp()
        this._attempts = 0
        this._setStatus('live')
        void this.flush()
        await this._listen()
        if (this.leads) await this._sleep(200)
      } catch (error) {
        await this._recover(error)
      }
    }
  }

  /** @param {unknown} error */
  async _recover(error) {
    if (!(error instanceof Problem)) throw error
    if (error.status === 410) {
      this._forgetBase()
      this._tell({ gone: true })
      return
    }
    if (error.status === 401) return this._setStatus('signin')
    this._setStatus('offline')
    const seconds = error.retryAfter || WAITS[Math.min(this._attempts++, WAITS.length - 1)]
    await this._sleep(seconds * 1_000 * (0.8 + 0.4 * Math.random()))
  }

  /** What was known stays on the screen until the feed has been read anew. */
  _forgetBase() {
    this.since = ''
    this._gone = maps()
    this._stale = this.base
  }

  async _catchUp() {
    const stale = this._stale
    if (stale) this.base = maps()
    const shown = this.onchange
    if (stale?.task.size) this.onchange = () => {} // the new base is not whole yet
    try {
      for (let more = true; more; ) {
        const query = `types=task,list,label&limit=${PAGE}${this.since && `&since=${this.since}`}`
        const page = await this.api.request('GET', `/api/changes?${query}`)
        const records = page.changes.map((/** @type {any} */ record) => [record.type, record])
        this._takeAll(records, page.next)
        more = page.more
        if (more) await new Promise((resolve) => setTimeout(resolve))
      }
      this._stale = null
    } catch (error) {
      if (stale?.task.size) this.base = stale // it was interrupted: begin anew the next time
      if (stale) this.since = ''
      throw error
    } finally {
      this.onchange = shown
      this._changed()
    }
  }

  async _listen() {
    this._stream = new AbortController()
    await this.api.stream(
      this.since,
      (name, id, record) => {
        if (KINDS.includes(/** @type {Kind} */ (name))) this._takeAll([[/** @type {Kind} */ (name), record]], id)
        else if (name === 'ready') this.since ||= id
        else if (name === 'reminder') {
          this._takeAll([], id)
          this.onreminder?.(record)
        }
      },
      this._stream.signal,
    )
  }

  /** @param {[Kind, any][]} records @param {string} [since] */
  _takeAll(records, since) {
    for (const [kind, record] of records) this._keep(kind, record)
    if (since) this.since = since
    this._tell({ records, since, status: this.status })
    this._changed()
    this._saveSoon()
  }

  /** Take a record unless a newer one is known: feed, stream and answers overlap. @param {Kind} kind @param {any} record */
  _keep(kind, record) {
    const id = keyOf(kind, record)
    const known = Math.max(this.base[kind].get(id)?.version ?? 0, this._gone[kind].get(id) ?? 0)
    if (record.version <= known) return
    const { type, ...rest } = record
    if (record.deleted || record.deleted_at) {
      this.base[kind].delete(id)
      this._gone[kind].set(id, record.version)
    } else this.base[kind].set(id, rest)
  }

  _saveSoon() {
    const delay = this.base.task.size > MANY ? 1_000 : 200 // the copy is written as a whole
    if (!this._saving) this._saving = setTimeout(() => void this._save(), delay)
  }

  async _save() {
    clearTimeout(this._saving)
    this._saving = null
    if (!this.leads || this._stale || !this.since || this.stopped) return
    const records = Object.fromEntries(KINDS.map((kind) => [kind, [...this.base[kind].values()]]))
    await this.db.saveCopy(JSON.stringify({ since: this.since, records })).catch(() => {})
  }

  /** @param {Store['status']} status */
  _setStatus(status) {
    if (this.status === status) return
    this.status = status
    if (status === 'signin') this._stream?.abort()
    this._tell({ status })
    this.onchange()
  }

  /** @param {number} milliseconds */
  _sleep(milliseconds) {
    return new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
      const timer = setTimeout(resolve, milliseconds)
      this._wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** There is a network again, or the user has signed in. */
  resume() {
    if (this.status === 'signin') this._setStatus('behind')
    this._attempts = 0
    this._wake?.()
    void this.flush()
  }

  // ---- the queue

  /** Shown at once; sent when it is kept. @param {Write} write */
  add(write) {
    const at = Math.max(this.api.now(), this._lastKey + 1)
    this._lastKey = at
    /** @type {Entry} */
    const entry = { ...write, key: uuid(at), at }
    this.queue = [...this.queue, entry]
    this._changed()
    this._tell({ queued: entry })
    const kept = this.db.put('queue', entry).catch(() => {})
    void kept.then(() => this.flush())
    return entry
  }

  /** Take back what was not sent. False: it was sent, or is on its way. @param {string} key */
  async withdraw(key) {
    if (this._sending === key || !this.queue.some((entry) => entry.key === key)) return false
    await this._unqueue(key)
    this._changed()
    return true
  }

  /** @param {string} key */
  async _unqueue(key) {
    this.queue = this.queue.filter((entry) => entry.key !== key)
    this._tell({ sent: key })
    await this.db.remove('queue', key).catch(() => {})
  }

  /** Send what is queued, one after the other; by one page of the browser at a time. */
  flush() {
    this._wanted = true
    this._flushing ??= this.exclusive(() => this._flush()).then(() => {}).finally(() => {
      this._flushing = null
      if (this._wanted && this.queue.length && !this.stopped && this.status === 'live') void this.flush()
    })
    return this._flushing
  }

  async _flush() {
    this._wanted = false
    while (this.queue.length && !this.stopped && this.status !== 'signin') {
      const [entry] = this.queue
      this._sending = entry.key
      try {
        await this._deliver(entry)
        await this._unqueue(entry.key)
        this._changed()
      } catch (error) {
        if (!(error instanceof Problem)) throw error
        if (!(await this._postpone(entry, error))) return
      } finally {
        this._sending = ''
      }
    }
  }

  /** True: go on at once. @param {Entry} entry @param {Problem} problem */
  async _postpone(entry, problem) {
    if (problem instanceof Stop) return true
    if (problem.status === 401) {
      this._setStatus('signin')
      return false
    }
    if (isLost(problem) || (problem.status === 409 && problem.retryAfter)) {
      if (problem.status === 0) this._setStatus('offline')
      const seconds = problem.retryAfter || WAITS[Math.min(this._attempts++, WAITS.length - 1)]
      clearTimeout(this._retry)
      this._retry = setTimeout(() => void this.flush(), seconds * 1_000)
      if (problem.status === 0) this._stream?.abort()
      return false
    }
    await this._fail(entry, { status: problem.status, detail: problem.message })
    return true
  }

  /** Nothing is dropped silently. @param {Entry} entry @param {{status: number, detail: string}} problem @param {Record<string, any>} [theirs] */
  async _fail(entry, problem, theirs) {
    const failed = { ...entry, problem, ...(theirs && { theirs }) }
    if (entry.op === 'create') {
      // What was to be changed of it belongs to it: it cannot be saved without it.
      for (const later of this.queue.filter(({ id, op, key }) => id === entry.id && op === 'update' && key !== entry.key)) {
        failed.fields = { ...failed.fields, ...later.fields }
        await this._unqueue(later.key)
      }
    }
    this.failed = [...this.failed, failed]
    await this.db.put('failed', failed).catch(() => {})
    this._tell({ failed })
    await this._unqueue(entry.key)
    this._changed()
  }

  /** @param {string} key */
  async drop(key) {
    this.failed = this.failed.filter((entry) => entry.key !== key)
    await this.db.remove('failed', key).catch(() => {})
    this._tell({ dropped: key })
    this._changed()
  }

  /** Send it again, as it is now. @param {Entry} entry @param {Record<string, any>} [fields] */
  async again({ key, at, problem, theirs, ...write }, fields) {
    const before = theirs ? { ...write.before, ...theirs } : write.before
    this.add({ ...write, ...(before && { before }), ...(fields && { fields: { ...write.fields, ...fields } }) })
    await this.drop(key)
  }

  /** @param {Entry} entry */
  async _deliver(entry) {
    for (let attempt = 0; ; attempt++) {
      const guard = this._guardOf(entry)
      if (guard.theirs) throw await this._conflict(entry, guard.theirs)
      const { method, path, body, headers } = requestOf(entry)
      if (guard.version) headers['If-Match'] = `"${guard.version}"`
      try {
        this._takeAnswer(entry, await this.api.request(method, path, { body, headers }))
        return
      } catch (error) {
        if (!(error instanceof Problem) || attempt > 4) throw error
        if (!(await this._mend(entry, error))) return
      }
    }
  }

  /** @param {Entry} entry @param {Record<string, any>} theirs */
  async _conflict(entry, theirs) {
    const problem = new Problem(412, { detail: 'It was changed on another device in the meantime.' })
    await this._fail(entry, { status: 412, detail: problem.message }, theirs)
    return new Stop()
  }

  /** The version that a change depends on, or what another device has made of the same fields. @param {Entry} entry @returns {{version?: number, theirs?: Record<string, any>}} */
  _guardOf({ op, kind, id, fields = {}, before = {}, at }) {
    const known = this.base[kind].get(id)
    if (!known || kind === 'label' || !['update', 'delete', 'move', 'skip'].includes(op)) return {}
    const old = Math.abs(this.api.now() - at) > KEY_LIFE_MS
    const names = op === 'update' ? Object.keys(before).filter((name) => old || GUARDED.has(name)) : []
    if (!names.length) return this._guardAll ? { version: known.version } : {}
    const taken = names.filter((name) => !same(known[name], before[name]) && !same(known[name], fields[name]))
    return taken.length ? { theirs: Object.fromEntries(taken.map((name) => [name, known[name]])) } : { version: known.version }
  }

  /** Whether to try again; false: it has come about already. @param {Entry} entry @param {Problem} problem */
  async _mend({ op, kind, id }, problem) {
    if (problem.status === 428) return (this._guardAll = true)
    if (problem.status === 404 && op === 'delete') return false
    if (problem.status !== 412 || op === 'batch' || op === 'undo') throw problem
    const record = await this.api.request('GET', `${PATHS[kind]}/${id}`).catch((error) => {
      if (error.status === 404 && op === 'create') return null // made before, and in the trash by now
      throw error
    })
    if (record) this._takeAll([[kind, record]])
    return op !== 'create'
  }

  /** @param {Entry} entry @param {any} answer */
  _takeAnswer(entry, answer) {
    if (entry.op === 'batch') {
      const records = answer.results.map((/** @type {any} */ result) => /** @type {[Kind, any]} */ (result.task ? ['task', result.task] : ['list', result.list]))
      this._takeAll(records)
    } else if (answer?.version && entry.op !== 'rename' && entry.op !== 'undo') this._takeAll([[entry.kind, answer]])
    else if (entry.op === 'delete') this.base[entry.kind].delete(entry.id)
    entry.versions = [answer?.version ?? 0]
    this.onsent?.(entry, answer)
  }
}

/** Ends a delivery that was settled otherwise. */
class Stop extends Problem {
  constructor() {
    super(418, null)
  }
}

/** @param {Task | List} one @param {Task | List} other */
export const order = (one, other) =>
  one.position === other.position ? (one.id < other.id ? -1 : 1) : one.position < other.position ? -1 : 1

/** A new one is the last of its siblings. @param {Kind} kind @param {string} id @param {number} now @param {number} place */
function blank(kind, id, now, place) {
  const at = new Date(now).toISOString()
  const common = { id, position: `~${String(now).padStart(15, '0')}${String(place).padStart(6, '0')}`, created_at: at, updated_at: at, version: 0 }
  if (kind === 'list') return { ...common, name: '', color: null, archived_at: null }
  return {
    ...common, title: '', description: null, completed: false, completed_at: null, status: 'open', list_id: null,
    parent_id: null, start: null, due: null, time_zone: null, due_at: null, recurrence: null, recurrence_mode: 'next', priority: null, labels: [], reminders: [], link: null, extra: {},
  }
}

/** @param {Kind} kind @param {any} record @param {Record<string, any>} changes @param {number} now */
function merged(kind, record, { labels_add = [], labels_remove = [], ...changes }, now) {
  const result = { ...record, ...changes, updated_at: new Date(now).toISOString() }
  if (kind !== 'task') return result
  if ('completed' in changes) {
    result.status = changes.completed ? 'completed' : 'open'
    result.completed_at = changes.completed ? result.updated_at : null
  }
  if ('due' in changes || 'time_zone' in changes) result.due_at = null // dates.js computes it
  const without = new Set(labels_remove.map((/** @type {string} */ name) => name.toLowerCase()))
  const labels = result.labels.filter((/** @type {string} */ name) => !without.has(name.toLowerCase()))
  const has = new Set(labels.map((/** @type {string} */ name) => name.toLowerCase()))
  result.labels = [...labels, ...labels_add.filter((/** @type {string} */ name) => !has.has(name.toLowerCase()))]
  return result
}

/** @param {Write} write */
function operationOf({ op, kind, id, fields = {} }) {
  if (op === 'move') return { op, kind, id, ...fields }
  return { op, kind, id, ...(op === 'create' || op === 'update' ? { [kind]: fields } : {}) }
}

/** The request of an entry: the same bytes each time. @param {Entry} entry @returns {{method: string, path: string, body?: unknown, headers: Record<string, string>}} */
function requestOf({ op, kind, id, fields, writes, versions, key }) {
  const headers = { 'Idempotency-Key': key }
  const path = kind === 'label' ? `${PATHS.label}?name=${encodeURIComponent(id)}` : `${PATHS[kind]}/${id}`
  if (op === 'batch') return { method: 'POST', path: '/api/tasks/batch', body: { operations: writes?.map(operationOf) }, headers }
  if (op === 'undo') return { method: 'POST', path: '/api/undo', body: { versions }, headers }
  if (op === 'create') return { method: 'PUT', path, body: fields, headers: { ...headers, 'If-None-Match': '*' } }
  if (op === 'update') return { method: kind === 'label' ? 'PUT' : 'PATCH', path, body: fields, headers }
  if (op === 'rename') return { method: fields?.name ? 'PATCH' : 'DELETE', path, body: fields?.name ? fields : undefined, headers }
  if (op === 'delete') return { method: 'DELETE', path, headers: { ...headers, Prefer: 'return=representation' } }
  return { method: 'POST', path: `${path}/${op}`, body: fields, headers }
}
