// What each address shows. No DOM.

import { addDays, dueOf, headDay, momentOf, offsets } from './dates.js'
import { order } from './store.js'

/** @typedef {import('./types.js').Task} Task */
/** @typedef {import('./types.js').View} View */
/** @typedef {import('./types.js').Item} Item */
/** @typedef {import('./types.js').Context} Context */

export const NAMES = /** @type {Record<string, string>} */ ({
  today: 'Today', upcoming: 'Upcoming', inbox: 'Inbox', done: 'Done', trash: 'Trash', unsaved: 'Could not be saved', search: 'Search',
})

/** @type {Record<string, [string, string]>} */
const EMPTY = {
  today: ['Nothing is due today', 'What is due today or overdue shows up here.'],
  upcoming: ['Nothing is planned', 'Tasks with a later date show up here, day by day.'],
  inbox: ['Your inbox is empty', 'Tasks without a list land here. Write the first one above.'],
  list: ['This list is empty', 'Write its first task above.'],
  label: ['No open task has this label', 'Add it with @ as you write, or with the key l.'],
  done: ['Nothing is done yet', 'Completed tasks are kept here.'],
  trash: ['The trash is empty', 'Deleted tasks can be restored for a while.'],
  unsaved: ['Everything is saved', 'A change that the server refuses waits here for you.'],
  search: ['Search', 'Titles, notes and labels are searched as you type.'],
}

/** @param {string} path below the root @param {string} query @returns {{view: View, task: string | null}} */
export function parseAddress(path, query) {
  const [, name = '', id = ''] = path.replace(/^\/app\/?/, '/').split('/').map(decodePart)
  if (name === 'task' && id) return { view: { name: 'today' }, task: id }
  if (name === 'search') return { view: { name, q: new URLSearchParams(query).get('q') ?? '' }, task: null }
  if ((name === 'list' || name === 'label') && id) return { view: { name, id }, task: null }
  return { view: { name: name in NAMES ? name : 'today' }, task: null }
}

/** @param {string} part */
function decodePart(part) {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/** @param {View} view */
export function addressOf({ name, id, q }) {
  const rest = id ? `/${encodeURIComponent(id)}` : q ? `?q=${encodeURIComponent(q)}` : ''
  return `/app/${name}${rest}`
}

/** @type {Record<string, string>} */
const SORTED = { today: 'due&due=any', upcoming: 'due&due=week', inbox: 'position&list=inbox', list: 'position&list=', label: 'due&label=' }

/** The query of its first open tasks, as many as a screen has. An address may name what is no list. @param {View} view */
export const firstOf = ({ name, id = '' }) => `completed=false&limit=30&sort=${SORTED[name] ?? 'due'}${name === 'list' && id.length !== 36 ? '' : encodeURIComponent(id)}`

/** @param {View} one @param {View} other */
export const isSame = (one, other) => one.name === other.name && one.id === other.id

/** Whether tasks are shown in their own order, with parts below them. @param {Context} context */
export const isTree = ({ view }) => view.name === 'inbox' || view.name === 'list'

/** The minute on the clock of the server, should this device's be wrong. @param {Pick<Context, 'api'>} context */
export const now = ({ api }) => momentOf(new Date(api.now()))

/** What the views depend on beside the copy. @param {Pick<Context, 'api'>} context */
export const clock = (context) => `${now(context)} ${offsets()}`

/** @param {Context} context */
export const today = (context) => now(context).slice(0, 10)

/** When a task, if it is open by then, is overdue: a day as it ends, a time as it comes. @param {Task} task */
function endOf(task) {
  const due = dueOf(task)
  return due ? `${due.day}T${due.time ?? '24:00'}` : '9999'
}

/** Whether that has come. @param {Task} task @param {string} moment */
export const isOver = (task, moment) => endOf(task) <= moment

export const LEVELS = ['None', 'High', 'Medium', 'Low']

/** The three levels of the numbers 1 to 9; 0 is none. @param {number | null} priority */
export const level = (priority) => (!priority ? 0 : priority < 5 ? 1 : priority === 5 ? 2 : 3)

/** The number of a level. @param {number} number */
export const priorityOf = (number) => [null, 1, 5, 9][number] ?? null

/** What is due, the earlier first; then by priority and place. @param {Task} one @param {Task} other */
function byDue(one, other) {
  const key = (/** @type {Task} */ task) => `${endOf(task)} ${task.priority ?? 9}`
  const [first, second] = [key(one), key(other)]
  return first === second ? order(one, other) : first < second ? -1 : 1
}

/** Tasks of one list, parts beneath what they are a part of. @param {Task[]} tasks @returns {Item[]} */
function tree(tasks) {
  const there = new Map(tasks.map((task) => [task.id, task]))
  /** @type {Map<string, Task[]>} */
  const children = new Map()
  for (const task of tasks.sort(order)) {
    const parent = task.parent_id && there.has(task.parent_id) ? task.parent_id : ''
    if (!children.has(parent)) children.set(parent, [])
    children.get(parent)?.push(task)
  }
  /** @type {Item[]} */
  const items = []
  const walk = (/** @type {string} */ parent, /** @type {number} */ depth) => {
    for (const task of children.get(parent) ?? []) {
      items.push({ task, depth })
      walk(task.id, depth + 1)
    }
  }
  walk('', 0)
  return items
}

/** @param {Context} context @param {Task[]} tasks @returns {Item[]} */
function flat(context, tasks) {
  return tasks.map((task) => ({ task, depth: 0, parent: task.parent_id ? context.store.get('task', task.parent_id)?.title : undefined }))
}

/** @param {Context} context @param {Task[]} open @returns {Item[]} */
function todayItems(context, open) {
  const moment = now(context)
  const day = today(context)
  const due = open.filter((task) => (dueOf(task)?.day ?? '9') <= day).sort(byDue)
  const overdue = due.filter((task) => isOver(task, moment))
  if (!overdue.length) return flat(context, due)
  const rest = due.slice(overdue.length)
  return [
    { head: 'Overdue', count: overdue.length }, ...flat(context, overdue),
    ...(rest.length ? [{ head: headDay(day, day), count: rest.length }, ...flat(context, rest)] : []),
  ]
}

/** @param {Context} context @param {Task[]} open @returns {Item[]} */
function upcomingItems(context, open) {
  const day = today(context)
  const from = addDays(day, 1)
  /** @type {Map<string, Task[]>} */
  const days = new Map()
  for (const task of open.filter((task) => (dueOf(task)?.day ?? '') >= from).sort(byDue)) {
    const due = /** @type {any} */ (dueOf(task)).day
    if (!days.has(due)) days.set(due, [])
    days.get(due)?.push(task)
  }
  return [...days].flatMap(([due, tasks]) => [{ head: headDay(due, day), count: tasks.length }, ...flat(context, tasks)])
}

/** @param {Task} task @param {string[]} words */
function matches(task, words) {
  const text = `${task.title}\n${task.description ?? ''}\n${task.labels.join('\n')}`.toLowerCase()
  return words.every((word) => text.includes(word))
}

/** @param {Context} context @returns {Item[]} */
function itemsOf(context) {
  const { store, view, lingering } = context
  const archived = new Set(store.all('list').filter((list) => list.archived_at).map((list) => list.id))
  const isHere = (/** @type {Task} */ task) => !(task.list_id && archived.has(task.list_id))
  const all = store.tasks()
  const open = () => all.filter((task) => (!task.completed || lingering.has(task.id)) && isHere(task))
  if (view.name === 'today') return todayItems(context, open())
  if (view.name === 'upcoming') return upcomingItems(context, open())
  if (view.name === 'inbox') return tree(open().filter((task) => !task.list_id))
  if (view.name === 'list') return tree(all.filter((task) => task.list_id === view.id && (!task.completed || lingering.has(task.id))))
  if (view.name === 'label') {
    const name = view.id?.toLowerCase()
    return flat(context, open().filter((task) => task.labels.some((label) => label.toLowerCase() === name)).sort(byDue))
  }
  if (view.name === 'done') {
    const done = all.filter((task) => task.completed)
    return flat(context, done.sort((one, other) => ((one.completed_at ?? '') < (other.completed_at ?? '') ? 1 : -1)))
  }
  if (view.name === 'search') {
    const words = (view.q ?? '').toLowerCase().split(/\s+/).filter(Boolean)
    const found = words.length ? all.filter((task) => matches(task, words)) : []
    return flat(context, found.sort((one, other) => Number(one.completed) - Number(other.completed) || byDue(one, other)))
  }
  return []
}

/** @type {WeakMap<import('./types.js').Store, Map<string, {key: string, value: any}>>} */
const computed = new WeakMap()

/** Once for each state of the copy and each minute: a scroll computes nothing. @template T @param {Context} context @param {string} name @param {string} more what else it depends on @param {() => T} work @returns {T} */
function once(context, name, more, work) {
  const { store } = context
  if (!computed.has(store)) computed.set(store, new Map())
  const known = /** @type {Map<string, {key: string, value: any}>} */ (computed.get(store))
  const key = `${store.revision} ${clock(context)} ${more}`
  const found = known.get(name)
  if (found?.key === key) return found.value
  const value = work()
  known.set(name, { key, value })
  return value
}

/** Put into the context what its view shows. @param {Context} context */
export function lookUp(context) {
  const { view, store } = context
  context.items = once(context, 'items', JSON.stringify([view, [...context.lingering.keys()]]), () => itemsOf(context))
  const [title, hint] = EMPTY[view.name]
  context.empty = [view.q ? 'Nothing found' : title, hint]
  context.title = NAMES[view.name] ?? (view.name === 'label' ? `@${view.id}` : (store.get('list', view.id ?? '')?.name ?? 'List'))
}

/** @param {Context} context */
export const lists = ({ store }) => store.all('list').filter((list) => !list.archived_at).sort(order)

/** Labels of open tasks and those with a color, with the number of open tasks. @param {Context} context @returns {{name: string, color: string | null, open: number}[]} */
export const labels = (context) => once(context, 'labels', '', () => labelsOf(context))

/** @param {Context} context */
function labelsOf({ store }) {
  /** @type {Map<string, {name: string, color: string | null, open: number, position: string | null}>} */
  const found = new Map()
  for (const label of store.all('label')) found.set(label.name.toLowerCase(), { ...label, open: 0 })
  for (const task of store.tasks()) {
    if (task.completed) continue
    for (const name of task.labels) {
      const key = name.toLowerCase()
      if (!found.has(key)) found.set(key, { name, color: null, open: 0, position: null })
      const label = found.get(key)
      if (label) label.open += 1
    }
  }
  const key = (/** @type {{position: string | null, name: string}} */ label) => `${label.position ?? '~'} ${label.name.toLowerCase()}`
  return [...found.values()].sort((one, other) => (key(one) < key(other) ? -1 : 1))
}

/** How many open tasks a view has. @param {Context} context @returns {{today: number, overdue: boolean, inbox: number, lists: Map<string, number>}} */
export const counts = (context) => once(context, 'counts', '', () => countsOf(context))

/** @param {Context} context @returns {{today: number, overdue: boolean, inbox: number, lists: Map<string, number>}} */
function countsOf(context) {
  const moment = now(context)
  const day = today(context)
  const result = { today: 0, overdue: false, inbox: 0, lists: new Map() }
  for (const task of context.store.tasks()) {
    if (task.completed) continue
    if (task.list_id) result.lists.set(task.list_id, (result.lists.get(task.list_id) ?? 0) + 1)
    else result.inbox += 1
    const due = task.due ? dueOf(task)?.day : undefined
    if (due && due <= day) result.today += 1
    if (due && isOver(task, moment)) result.overdue = true
  }
  return result
}
