// What the user can do to tasks, each with its undo.

import { uuid } from './api.js'
import { addDays, zone } from './dates.js'
import { order } from './store.js'
import { today } from './views.js'

/** @typedef {import('./types.js').Context} Context */
/** @typedef {import('./types.js').Task} Task */
/** @typedef {import('./types.js').Write} Write */
/** @typedef {{key: string, inverse: Write[], text: string, repeats: boolean}} Step */

const LINGER_MS = 5_000
const BATCH = 1_000
/** @type {Step[]} */
const steps = []

/** Who goes before a task in its list and parent; null: it is the first. @param {Context} context @param {Task} task */
function previousOf({ store }, task) {
  const siblings = store.tasks().filter((other) => other.list_id === task.list_id && other.parent_id === task.parent_id)
  return siblings.sort(order)[siblings.findIndex(({ id }) => id === task.id) - 1]?.id ?? null
}

/** What takes a write back. @param {Context} context @param {Write} write @returns {Write} */
function inverseOf(context, { op, kind, id, fields = {} }) {
  const record = context.store.get(kind, id)
  if (op === 'create') return { op: 'delete', kind, id }
  if (op === 'delete') return { op: 'restore', kind, id, record }
  if (op === 'restore') return { op: 'delete', kind, id }
  if (op === 'rename') return { op, kind, id: fields.name ?? id, fields: { name: id } }
  if (op === 'move') {
    const back = { after: previousOf(context, record), list_id: record.list_id, parent_id: record.parent_id }
    return { op, kind, id, fields: kind === 'task' ? back : { after: back.after } }
  }
  const names = op === 'skip' ? ['due', 'start'] : Object.keys(fields).flatMap((name) => (name.startsWith('labels_') ? ['labels'] : [name]))
  const before = Object.fromEntries(names.map((name) => [name, record?.[name] ?? null]))
  return { op: 'update', kind, id, fields: before, before: afterOf(record, fields, names) }
}

/** @param {any} record @param {Record<string, any>} fields @param {string[]} names */
const afterOf = (record, fields, names) => Object.fromEntries(names.map((name) => [name, name in fields ? fields[name] : (record?.[name] ?? null)]))

/** Do it, say it, and be ready to undo it. @param {Context} context @param {Write[]} writes @param {string} text */
export function perform(context, writes, text) {
  if (!writes.length) return
  const { store } = context
  for (const write of writes) {
    const record = store.get(write.kind, write.id)
    if (write.op === 'update' && record && write.kind !== 'label') {
      const names = Object.keys(write.fields ?? {}).filter((name) => !name.startsWith('labels_'))
      write.before = { ...Object.fromEntries(names.map((name) => [name, record[name]])), ...write.before }
    }
  }
  const repeats = writes.some(({ op, kind, id, fields }) => kind === 'task' && (op === 'skip' || fields?.completed) && Boolean(store.get(kind, id)?.recurrence))
  const inverse = writes.map((write) => inverseOf(context, write)).reverse()
  for (const write of writes) {
    const { due, start, recurrence } = (write.kind === 'task' && store.get('task', write.id)) || {}
    // Ticked on two devices, it is done once.
    if (recurrence && write.fields?.completed) write.fields = { ...write.fields, occurrence: due ?? start }
  }
  context.say(text, true)
  for (let from = 0; from < writes.length; from += BATCH) {
    const some = writes.slice(from, from + BATCH)
    const entry = store.add(some.length === 1 ? some[0] : { op: 'batch', kind: 'task', id: '', writes: some })
    steps.push({ key: entry.key, inverse: inverse.slice(inverse.length - from - some.length, inverse.length - from), text, repeats })
  }
}

/** The server's undo brings back what only the server knows, such as the date before a repetition. @type {Map<string, number[]>} */
const versions = new Map()

/** @param {string} key @param {any} answer */
export function noteVersions(key, answer) {
  const [first, last = first] = String(answer?.completion ?? answer?.version ?? '').split('-').map(Number)
  if (first) versions.set(key, Array.from({ length: last - first + 1 }, (_, place) => first + place))
}

/** @param {Context} context */
export async function undo(context) {
  const step = steps.pop()
  if (!step) return context.say('There is nothing to undo')
  if (!(await context.store.withdraw(step.key))) {
    const known = versions.get(step.key)
    const writes = step.inverse.map((write) => ({ ...write, fields: write.fields && { ...write.fields } }))
    if (step.repeats && known) context.store.add({ op: 'undo', kind: 'task', id: writes[0].id, versions: known })
    else context.store.add(writes.length === 1 ? writes[0] : { op: 'batch', kind: 'task', id: '', writes })
  }
  for (const write of step.inverse) context.lingering.delete(write.id)
  context.say(`Undone: ${step.text}`)
}

/** @param {string[]} ids @param {Context} context */
const name = (ids, { store }) => (ids.length === 1 ? `“${store.get('task', ids[0])?.title ?? ''}”` : `${ids.length} tasks`)

/** @param {Context} context @param {string[]} ids @param {Record<string, any>} fields @param {string} text `%` is the task's title @param {Record<string, any>} [before] what the user had seen */
export function update(context, ids, fields, text, before = {}) {
  const there = ids.filter((id) => context.store.get('task', id))
  return perform(context, there.map((id) => ({ op: 'update', kind: 'task', id, fields: { ...fields }, before })), text.replace('%', name(there, context)))
}

/** Done, or open again if all of them are done. @param {Context} context @param {string[]} ids */
export function tick(context, ids) {
  const tasks = ids.map((id) => context.store.get('task', id)).filter(Boolean)
  const completed = !tasks.every((task) => task.completed)
  const changed = tasks.filter((task) => task.completed !== completed).map((task) => task.id)
  for (const id of changed) {
    if (completed) linger(context, id)
    else context.lingering.delete(id)
  }
  return update(context, changed, { completed }, completed ? 'Done: %' : 'Open again: %')
}

/** A task that is done stays where it is for a moment. @param {Context} context @param {string} id */
function linger(context, id) {
  const until = Date.now() + LINGER_MS
  context.lingering.set(id, until)
  setTimeout(() => {
    if (context.lingering.get(id) === until) context.lingering.delete(id)
    context.draw()
  }, LINGER_MS)
}

/** @param {Context} context @param {string[]} ids */
export function remove(context, ids) {
  // What is deleted with something above it needs no operation of its own.
  const chosen = new Set(ids)
  const isBelow = (/** @type {Task | undefined} */ task) => {
    for (let at = task; at?.parent_id; at = context.store.get('task', at.parent_id)) if (chosen.has(at.parent_id)) return true
    return false
  }
  const tops = ids.filter((id) => context.store.get('task', id) && !isBelow(context.store.get('task', id)))
  if (context.openTask && chosen.has(context.openTask)) context.show(null)
  context.selected.clear()
  return perform(context, tops.map((id) => ({ op: 'delete', kind: 'task', id })), `Deleted: ${name(tops, context)}`)
}

export const NO_RULE = { recurrence: null, recurrence_mode: 'next', recurrence_exclude: null }

/** @param {Context} context @param {string[]} ids @param {string | null} day @param {string | null} [time] */
export function setDue(context, ids, day, time = null) {
  const writes = ids.map((id) => {
    const task = context.store.get('task', id)
    const kept = time ?? (day && task?.due?.length > 10 ? task.due.slice(11, 16) : null)
    const due = day && kept ? `${day}T${kept}:00` : day
    /** @type {Record<string, any>} */
    const fields = { due, time_zone: due && due.length > 10 ? (task?.time_zone ?? zone()) : null, ...(!day && !task?.start && task?.recurrence && NO_RULE) } // a rule needs a date
    if (task?.start && due && task.start.slice(0, 10) > due.slice(0, 10)) fields.start = null // it must not be later
    if (task?.start && task.start.length > 10 && !fields.time_zone && !('start' in fields)) fields.time_zone = task.time_zone
    return /** @type {Write} */ ({ op: 'update', kind: 'task', id, fields })
  })
  return perform(context, writes, day ? `Due ${day === today(context) ? 'today' : day === addDays(today(context), 1) ? 'tomorrow' : day}: ${name(ids, context)}` : `No date${writes.some(({ fields }) => fields && 'recurrence' in fields) ? ' or recurrence' : ''}: ${name(ids, context)}`)
}

/** @param {Context} context @param {string[]} ids @param {string | null} list */
export function moveToList(context, ids, list) {
  const title = list ? context.store.get('list', list)?.name : 'Inbox'
  return update(context, ids.filter((id) => (context.store.get('task', id)?.list_id ?? null) !== list), { list_id: list, parent_id: null }, `Moved to ${title}: %`)
}

/** @param {Context} context @param {string} id @param {{after?: string | null, before?: string | null, parent_id?: string | null, list_id?: string | null}} place @param {string} [text] */
export function move(context, id, place, text = 'Moved: ') {
  return perform(context, [{ op: 'move', kind: 'task', id, fields: place }], `${text}${name([id], context)}`)
}

/** One place up or down among its siblings. @param {Context} context @param {string} id @param {-1 | 1} step */
export function nudge(context, id, step) {
  const task = context.store.get('task', id)
  const shown = context.items.flatMap((item) => ('task' in item ? [item.task] : []))
  const siblings = shown.filter((other) => other.list_id === task.list_id && other.parent_id === task.parent_id)
  const other = siblings[siblings.findIndex((sibling) => sibling.id === id) + step]
  if (!other) return
  return move(context, id, step > 0 ? { after: other.id } : { before: other.id })
}

/** Part of the task above it. @param {Context} context @param {string} id */
export function indent(context, id) {
  const task = context.store.get('task', id)
  const above = task && previousOf(context, task)
  if (above) return move(context, id, { before: null, parent_id: above }, 'Now a part: ')
}

/** @param {Context} context @param {string} id */
export function outdent(context, id) {
  const parent = context.store.get('task', context.store.get('task', id)?.parent_id ?? '')
  if (parent) return move(context, id, { after: parent.id, parent_id: parent.parent_id }, 'No longer a part: ')
}

/** @param {Context} context @param {Record<string, any>} fields */
export function create(context, fields) {
  const id = uuid(context.api.now())
  perform(context, [{ op: 'create', kind: 'task', id, fields }], `Added: “${fields.title}”`)
  return id
}

/** @param {Context} context @param {string} title */
export function createList(context, title) {
  const id = uuid(context.api.now())
  perform(context, [{ op: 'create', kind: 'list', id, fields: { name: title } }], `New list: “${title}”`)
  return id
}

/** Add the label, or remove it if all of them have it. @param {Context} context @param {string[]} ids @param {string} label */
export function toggleLabel(context, ids, label) {
  const has = (/** @type {string} */ id) => context.store.get('task', id)?.labels.some((/** @type {string} */ one) => one.toLowerCase() === label.toLowerCase())
  const all = ids.every(has)
  return update(context, all ? ids : ids.filter((id) => !has(id)), all ? { labels_remove: [label] } : { labels_add: [label] }, `${all ? 'Removed' : 'Added'} @${label}: %`)
}
