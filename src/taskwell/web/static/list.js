// The list: only the rows in sight are in the document, once there are many. One row has the focus.

import { html, nothing, repeat } from './vendor/lit.js'
import { addDays, dueOf, sayDay } from './dates.js'
import { icon } from './icons.js'
import * as actions from './actions.js'
import { LEVELS, level, today } from './views.js'

/** @typedef {import('./types.js').Context} Context */
/** @typedef {import('./types.js').Task} Task */
/** @typedef {import('./types.js').Item} Item */

const ALL = 400 // so many rows are all in the document, where the browser's own search finds them
const SPARE = 8 // rows beyond the edges
const ROW_REM = 2.75
const LONG_PRESS_MS = 300
const SWIPE = 72

const rowHeight = () => ROW_REM * parseFloat(getComputedStyle(document.documentElement).fontSize)
const scroller = () => document.getElementById('scroller')

/** @param {Item} item */
const keyOf = (item) => ('task' in item ? item.task.id : `head ${item.head}`)

/** @param {number} count @returns {[number, number]} */
function range(count) {
  const element = scroller()
  const list = document.getElementById('rows')
  if (count <= ALL) return [0, count]
  const height = rowHeight()
  const top = element && list ? element.scrollTop - list.offsetTop : 0
  const seen = (element?.clientHeight ?? window.innerHeight) / height
  return [Math.max(0, Math.floor(top / height) - SPARE), Math.min(count, Math.ceil(top / height + seen) + SPARE)]
}

let drawn = ''

/** After a scroll: whether other rows are in sight. @param {Context} context */
export const isStale = (context) => drawn !== range(context.items.length).join()

/** @param {Context} context */
export function list(context) {
  const { items } = context
  const [from, to] = range(items.length)
  drawn = `${from},${to}`
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
    @pointerdown=${(/** @type {PointerEvent} */ event) => press(context, event)}>
    ${repeat(shown, ({ item }) => keyOf(item), ({ item, index }) => 'task' in item
      ? row(context, item, index * height, { of: places.size, at: places.get(item.task.id)?.at ?? 1, stop: item.task.id === stop })
      : html`<li class="head" .style=${`transform:translateY(${index * height}px)`}><h2>${item.head}</h2><span>${item.count}</span></li>`)}
  </ul>`
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
  const late = due && !task.completed && due.day < day
  const parts = context.store.below(task.id)
  const classes = [
    'row', task.completed && 'is-done', context.selected.has(task.id) && 'is-selected',
    context.openTask === task.id && 'is-open', depth && `depth-${Math.min(depth, 4)}`, task.waiting && 'is-waiting',
  ]
  const inTree = context.view.name === 'inbox' || context.view.name === 'list'
  const owner = !inTree && task.list_id ? context.store.get('list', task.list_id) : null
  return html`<li class=${classes.filter(Boolean).join(' ')} data-id=${task.id} tabindex=${stop ? 0 : -1}
      aria-setsize=${of} aria-posinset=${at} .style=${`transform:translateY(${top}px)`}>
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
const rowOf = (target) => /** @type {HTMLElement | null} */ (target instanceof Element ? target.closest('.row') : null)

/** @param {Context} context @param {MouseEvent} event */
function click(context, event) {
  const element = rowOf(event.target)
  const id = element?.dataset.id
  if (!id || wasGesture) return
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
  if (top + height > element.scrollTop + clientHeight) element.scrollTop = top + 2 * height - clientHeight
}

/** The neighbor that gets the focus when a row goes. @param {Context} context @param {Item[]} before */
export function keepFocus(context, before) {
  if (!context.focused || before === context.items || placesOf(context.items).has(context.focused)) return
  const place = before.findIndex((item) => 'task' in item && item.task.id === context.focused)
  const there = new Set(context.items.map(keyOf))
  const near = [...before.slice(place + 1), ...before.slice(0, Math.max(place, 0)).reverse()]
  const next = near.find((item) => 'task' in item && there.has(item.task.id))
  context.focused = next && 'task' in next ? next.task.id : null
}

// ---- gestures: dragging by the handle or after a long press, swiping

let wasGesture = false

/** @param {Context} context @param {PointerEvent} event */
function press(context, event) {
  const element = rowOf(event.target)
  const id = element?.dataset.id
  wasGesture = false
  if (!element || !id || event.button !== 0 || !event.isPrimary) return
  const slide = /** @type {HTMLElement} */ (element.querySelector('.slide'))
  const touch = event.pointerType === 'touch'
  const byHandle = Boolean(/** @type {Element} */ (event.target).closest('.handle'))
  const canDrag = context.view.name === 'inbox' || context.view.name === 'list' || byHandle
  /** @type {'' | 'drag' | 'swipe'} */
  let mode = ''
  let shift = 0
  const longPress = touch && canDrag ? setTimeout(() => begin('drag'), LONG_PRESS_MS) : 0
  const stop = new AbortController()
  const { signal } = stop

  const begin = (/** @type {'drag' | 'swipe'} */ kind) => {
    clearTimeout(longPress)
    mode = kind
    wasGesture = true
    if (kind === 'drag') element.classList.add('is-dragged')
    navigator.vibrate?.(10)
  }
  const move = (/** @type {PointerEvent} */ to) => {
    const [x, y] = [to.clientX - event.clientX, to.clientY - event.clientY]
    if (!mode && touch && Math.abs(x) > 12 && Math.abs(x) > 2 * Math.abs(y)) begin('swipe')
    if (!mode && !touch && canDrag && byHandle && Math.hypot(x, y) > 5) begin('drag')
    if (!mode && touch && Math.hypot(x, y) > 12) clearTimeout(longPress)
    if (mode === 'swipe') {
      shift = x
      slide.style.transform = `translateX(${x}px)`
      element.dataset.swipe = Math.abs(x) < SWIPE ? 'none' : x > 0 ? 'done' : 'tomorrow'
    }
    if (mode === 'drag') showDrop(context, id, to)
  }
  const end = (/** @type {PointerEvent} */ to) => {
    clearTimeout(longPress)
    stop.abort()
    slide.style.transform = ''
    delete element.dataset.swipe
    element.classList.remove('is-dragged')
    if (to.type === 'pointerup' && mode === 'swipe' && Math.abs(shift) >= SWIPE) {
      if (shift > 0) actions.tick(context, [id])
      else actions.setDue(context, [id], addDays(today(context), 1))
    }
    if (to.type === 'pointerup' && mode === 'drag') drop(context, id, to)
    hideDrop()
    setTimeout(() => (wasGesture = false))
  }
  window.addEventListener('pointermove', move, { signal })
  window.addEventListener('pointerup', end, { signal })
  window.addEventListener('pointercancel', end, { signal })
  // Once something is dragged, the page must not scroll beneath it.
  window.addEventListener('touchmove', (scroll) => mode === 'drag' && scroll.cancelable && scroll.preventDefault(), { signal, passive: false })
}

/** Where it would be dropped: on a list of the sidebar, or before an item. @param {Context} context @param {PointerEvent} event */
function target(context, event) {
  const over = document.elementFromPoint(event.clientX, event.clientY)
  const list = /** @type {HTMLElement | null} */ (over?.closest('[data-drop]') ?? null)
  if (list) return { list }
  const rows = document.getElementById('rows')
  if (!rows || context.view.name !== 'inbox' && context.view.name !== 'list') return {}
  const height = rowHeight()
  const index = Math.round((event.clientY - rows.getBoundingClientRect().top) / height)
  return { index: Math.max(0, Math.min(context.items.length, index)), height }
}

/** @param {Context} context @param {string} _id @param {PointerEvent} event */
function showDrop(context, _id, event) {
  hideDrop()
  const { list, index, height } = target(context, event)
  list?.classList.add('is-target')
  const line = document.getElementById('drop')
  if (line && index !== undefined) {
    line.hidden = false
    line.style.transform = `translateY(${(document.getElementById('rows')?.offsetTop ?? 0) + index * height}px)`
  }
}

function hideDrop() {
  document.querySelector('.is-target')?.classList.remove('is-target')
  const line = document.getElementById('drop')
  if (line) line.hidden = true
}

/** @param {Context} context @param {string} id @param {PointerEvent} event */
function drop(context, id, event) {
  const { list, index } = target(context, event)
  if (list) return actions.moveToList(context, [id], list.dataset.drop || null)
  if (index === undefined) return
  const item = context.items[index]
  const next = item && 'task' in item ? item.task : null
  const parts = new Set(context.store.below(id).map((part) => part.id))
  if (next && (next.id === id || parts.has(next.id))) return
  actions.move(context, id, next ? { before: next.id, parent_id: next.parent_id } : { before: null, parent_id: null })
}
