// The list: only the rows in sight are in the document, once there are many. One row has the focus.

import { html, nothing, repeat } from './vendor/lit.js'
import { dueOf, sayDay } from './dates.js'
import { icon } from './look.js'
import * as actions from './actions.js'
import { LEVELS, isOver, isTree, level, now, today } from './views.js'

/** @typedef {import('./types.js').Context} Context */
/** @typedef {import('./types.js').Task} Task */
/** @typedef {import('./types.js').Item} Item */

const ALL = 400 // so many rows are all in the document, where the browser's own search finds them
const SPARE = 8 // rows beyond the edges
const MORE = 20 // of those that are all in the document, so many join them with each frame
const ROW_REM = 2.75

export const rowHeight = () => ROW_REM * parseFloat(getComputedStyle(document.documentElement).fontSize)
const scroller = () => document.getElementById('scroller')

/** @param {Item} item */
const keyOf = (item) => ('task' in item ? item.task.id : `head ${item.head}`)

/** How many rows of a view may be in the document by now. @type {{view: import('./types.js').View | null, rows: number}} */
let filled = { view: null, rows: 0 }

/** @param {number} count @returns {[number, number]} */
function range(count) {
  const element = scroller()
  const list = document.getElementById('rows')
  if (count <= Math.min(ALL, filled.rows)) return [0, count]
  const height = rowHeight()
  const top = element && list ? element.scrollTop - list.offsetTop : 0
  const seen = (element?.clientHeight ?? window.innerHeight) / height
  const to = Math.ceil(top / height + seen) + SPARE
  if (count <= ALL) return [0, Math.min(count, Math.max(to, filled.rows))]
  return [Math.max(0, Math.floor(top / height) - SPARE), Math.min(count, to)]
}

let drawn = ''

/** After a scroll, or while rows are filled in: whether others are to be drawn. @param {Context} context */
export const isStale = ({ items }) => items.length > 0 && drawn !== range(items.length).join()

/** @param {Context} context */
export function list(context) {
  const { items, view } = context
  if (filled.view !== view) filled = { view, rows: 0 }
  const [from, to] = range(items.length)
  drawn = `${from},${to}`
  filled.rows = to + MORE
  const places = placesOf(items)
  const shown = items.slice(from, to).map((item, offset) => ({ item, index: from + offset }))
  const focused = places.get(context.focused ?? '')?.index ?? -1
  if (focused >= 0 && focused < from) shown.unshift({ item: items[focused], index: focused })
  if (focused >= to) shown.push({ item: items[focused], index: focused })
  const height = rowHeight()
  const [first = null] = places.keys()
  const stop = focused >= 0 ? context.focused : first
  return html`<ul id="rows" class="rows" aria-label=${context.title} .style=${`height:${items.length * height}px`}
    @click=${(/** @type {MouseEvent} */ event) => click(context, event)}
    @focusin=${(/** @type {FocusEvent} */ event) => noteFocus(context, event)}
    @pointerdown=${context.grab}>
    ${repeat(shown, ({ item }) => keyOf(item), ({ item, index }) => 'task' in item
      ? row(context, item, index * height, { of: places.size, at: places.get(item.task.id)?.at ?? 1, stop: item.task.id === stop })
      : html`<li class="head" .style=${`transform:translateY(${index * height}px)`}><h2>${item.head}</h2><span>${item.count}</span></li>`)}
  </ul>`
}

/** What a view says when it has nothing to show. @param {Context} context */
export function empty(context) {
  const [title, hint] = context.empty
  return html`<div class="empty"><span class="empty-sign" aria-hidden="true"></span><p class="strong">${title}</p><p class="quiet">${hint}</p></div>`
}

/** @type {{items: Item[], places: Map<string, {index: number, at: number}>}} */
let counted = { items: [], places: new Map() }

/** Of each task its index, and which one of the tasks it is: a scroll goes through no list. @param {Item[]} items */
function placesOf(items) {
  if (counted.items !== items) {
    const places = new Map()
    items.forEach((item, index) => 'task' in item && places.set(item.task.id, { index, at: places.size + 1 }))
    counted = { items, places }
  }
  return counted.places
}

/** @param {Context} context @param {{task: Task, depth: number, parent?: string}} item @param {number} top @param {{of: number, at: number, stop: boolean}} place */
function row(context, { task, depth, parent }, top, { of, at, stop }) {
  const day = today(context)
  const due = dueOf(task)
  const late = !task.completed && isOver(task, now(context))
  const parts = context.store.below(task.id)
  const classes = [
    'row', task.completed && 'is-done', context.selected.has(task.id) && 'is-selected',
    context.openTask === task.id && 'is-open', task.waiting && 'is-waiting',
  ]
  const inTree = isTree(context)
  const owner = !inTree && task.list_id ? context.store.get('list', task.list_id) : null
  return html`<li class=${classes.filter(Boolean).join(' ')} data-id=${task.id} tabindex=${stop ? 0 : -1}
      aria-setsize=${of} aria-posinset=${at} .style=${`transform:translateY(${top}px);--depth:${depth}`}>
    <div class="slide">
      <span class="handle" title="Drag to move">${inTree ? icon('grip') : nothing}</span>
      <button class="check" type="button" role="checkbox" aria-checked=${task.completed ? 'true' : 'false'} tabindex="-1"
        aria-label=${`Done: ${task.title}`} data-priority=${level(task.priority) || nothing}><span>${icon('check')}</span></button>
      <span class="title" dir="auto">${task.title}</span>
      ${context.selected.has(task.id) ? html`<span class="sr">, selected</span>` : nothing}
      <span class="meta">
        ${parent ? html`<span class="parent" dir="auto">${parent}</span>` : nothing}
        ${task.description ? html`<span class="sign" title="Has notes">${icon('notes')}<span class="sr">has notes</span></span>` : nothing}
        ${task.recurrence ? html`<span class="sign" title="Repeats">${icon('repeat')}<span class="sr">repeats</span></span>` : nothing}
        ${parts.length ? html`<span class="parts" title="Subtasks done">${parts.filter((part) => part.completed).length}/${parts.length}<span class="sr"> subtasks done</span></span>` : nothing}
        ${task.labels.slice(0, 3).map((label) => html`<span class="chip" dir="auto">${label}</span>`)}
        ${owner ? html`<span class="owner" dir="auto">${owner.name}</span>` : nothing}
        ${task.priority ? html`<span class="priority" title="Priority">${LEVELS[level(task.priority)]}</span>` : nothing}
        ${due ? html`<span class=${late ? 'due is-late' : due.day === day ? 'due is-today' : 'due'}>${late ? html`<span class="sr">overdue: </span>` : nothing}${sayDue(due, day)}</span>` : nothing}
        ${task.waiting ? html`<span class="waits" title="Not on the server yet"><span class="sr">not sent yet</span></span>` : nothing}
      </span>
    </div>
  </li>`
}

/** @param {{day: string, time: string | null}} due @param {string} day */
const sayDue = (due, day) => (due.day === day && due.time ? due.time : sayDay(due.day, day) + (due.time ? ` ${due.time}` : ''))

/** @param {EventTarget | null} target */
export const rowOf = (target) => /** @type {HTMLElement | null} */ (target instanceof Element ? target.closest('.row') : null)

/** @param {Context} context @param {MouseEvent} event */
function click(context, event) {
  const element = rowOf(event.target)
  const id = element?.dataset.id
  if (!id) return
  if (/** @type {Element} */ (event.target).closest('.check')) return actions.tick(context, [id])
  if (event.metaKey || event.ctrlKey) return select(context, id)
  context.show(id)
}

/** @param {Context} context @param {string} id */
export function select(context, id) {
  if (!context.selected.delete(id)) context.selected.add(id)
  context.draw()
}

/** @param {Context} context @param {FocusEvent} event */
function noteFocus(context, event) {
  const id = rowOf(event.target)?.dataset.id
  if (id && id !== context.focused) {
    context.focused = id
    context.draw()
  }
}

/** Put the focus on a row, which may be out of sight. @param {Context} context @param {string | null} id */
export function focusRow(context, id) {
  const index = placesOf(context.items).get(id ?? '')?.index ?? -1
  const element = scroller()
  const rows = document.getElementById('rows')
  if (index < 0 || !element || !rows) return
  context.focused = id
  const height = rowHeight()
  const top = rows.offsetTop + index * height
  if (top < element.scrollTop + 8) element.scrollTop = Math.max(0, top - height)
  const { clientHeight } = element
  if (top + height > element.scrollTop + clientHeight) element.scrollTop = top + 3 * height - clientHeight
}

/** When a row goes, it is not selected any more, and a neighbor gets its focus. @param {Context} context @param {Item[]} before */
export function keepFocus(context, before) {
  if (before === context.items) return
  const places = placesOf(context.items)
  for (const id of context.selected) if (!places.has(id)) context.selected.delete(id)
  if (!context.focused || places.has(context.focused)) return
  const place = before.findIndex((item) => 'task' in item && item.task.id === context.focused)
  const near = [...before.slice(place + 1), ...before.slice(0, place).reverse()]
  const next = near.find((item) => 'task' in item && places.has(item.task.id))
  context.focused = next && 'task' in next ? next.task.id : null
}
