// What a pointer does to a row: dragging it by the handle or after a long press, and swiping.

import * as actions from './actions.js'
import { addDays } from './dates.js'
import { rowHeight, rowOf } from './list.js'
import { isTree, today } from './views.js'

/** @typedef {import('./types.js').Context} Context */

const LONG_PRESS_MS = 300
const SWIPE = 72

/** @param {Context} context @param {PointerEvent} event */
export function grab(context, event) {
  const element = rowOf(event.target)
  const id = element?.dataset.id
  if (!element || !id || event.button !== 0 || !event.isPrimary) return
  const slide = /** @type {HTMLElement} */ (element.querySelector('.slide'))
  const touch = event.pointerType === 'touch'
  const byHandle = Boolean(/** @type {Element} */ (event.target).closest('.handle'))
  const canDrag = isTree(context) || byHandle
  /** @type {'' | 'drag' | 'swipe'} */
  let mode = ''
  let shift = 0
  const longPress = touch && canDrag ? setTimeout(() => begin('drag'), LONG_PRESS_MS) : 0
  const stop = new AbortController()
  const { signal } = stop

  const begin = (/** @type {'drag' | 'swipe'} */ kind) => {
    clearTimeout(longPress)
    mode = kind
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
    if (mode === 'drag') showDrop(context, to)
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
    if (mode) swallowClick()
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
  if (!rows || !isTree(context)) return {}
  const height = rowHeight()
  const index = Math.round((event.clientY - rows.getBoundingClientRect().top) / height)
  return { index: Math.max(0, Math.min(context.items.length, index)), height }
}

/** @param {Context} context @param {PointerEvent} event */
function showDrop(context, event) {
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

/** The browser takes the end of a gesture for a click. */
function swallowClick() {
  const stop = new AbortController()
  window.addEventListener('click', (event) => event.stopPropagation(), { capture: true, signal: stop.signal })
  setTimeout(() => stop.abort())
}
