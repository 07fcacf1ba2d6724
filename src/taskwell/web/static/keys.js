// The keyboard. Single letters count only while no field has the focus, and can be switched off.

import * as actions from './actions.js'
import * as palette from './palette.js'
import { select } from './list.js'
import { LEVELS, priorityOf } from './views.js'

/** @typedef {import('./types.js').Context} Context */

const PLACES = /** @type {Record<string, string>} */ ({ i: 'inbox', t: 'today', u: 'upcoming', d: 'done', x: 'trash' })

/** For the help: what, and the keys. */
export const HELP = [
  ['Add a task', 'q', 'n'], ['Down, up', 'j', 'k', '↓', '↑'], ['First, last', 'Home', 'End'], ['Open; close', 'Enter', '→', 'Esc', '←'],
  ['Done', 'Space', 'e'], ['Due date', 't'], ['Priority high, medium, low, none', '1', '2', '3', '4'], ['Label', 'l'], ['Move to a list', 'm'],
  ['Move the row', 'Alt ↑ ↓', 'Shift J K'], ['Make it a part; no part', ']', '['], ['Add a subtask', 'a'], ['Delete', 'Del', '⌫'], ['Undo', 'z', 'Ctrl Z'],
  ['Search', '/'], ['Go to anything', 'Ctrl K'], ['Inbox, Today, Upcoming', 'g i', 'g t', 'g u'], ['Lists, Done, Trash', 'g l', 'g d', 'g x'],
  ['Select several', 'x', 'Shift ↑ ↓'], ['Select all; none', 'Ctrl A', 'Esc'], ['These keys', '?'],
]

export const lettersAreOn = () => localStorage.getItem('taskwell keys') !== 'off'

/** What an action is about: the selected tasks, else the open one, else the one with the focus. @param {Context} context */
function subject(context) {
  if (context.selected.size) return [...context.selected]
  const id = context.openTask ?? context.focused
  return id && context.store.get('task', id) ? [id] : []
}

/** The one so many steps on, or from an end. @template T @param {T[]} all @param {T} from @param {number} step @returns {T} */
function stepped(all, from, step) {
  const at = all.indexOf(from)
  return all[Math.max(0, Math.min(all.length - 1, (at >= 0 || step > 0 ? at : all.length) + step))]
}

/** @param {Context} context @param {number} step */
export function step(context, step, extend = false) {
  const tasks = context.items.flatMap((item) => ('task' in item ? [item.task.id] : []))
  if (!tasks.length) return stepCards(step)
  const next = stepped(tasks, context.focused ?? '', step)
  if (extend && context.focused) context.selected.add(context.focused).add(next)
  context.focusRow(next)
  if (context.openTask && context.openTask !== next) context.show(next)
}

/** In the trash and among what could not be saved. @param {number} step */
function stepCards(step) {
  const buttons = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('.cards button')])
  stepped(buttons, /** @type {HTMLElement} */ (document.activeElement), step)?.focus()
}

let goes = 0

/** Whether it meant something: then it is drawn at once, as the next key may be for what it opened. @param {Context} context @param {KeyboardEvent} event */
export function press(context, event) {
  if (event.defaultPrevented || event.isComposing || document.querySelector('dialog[open]')) return false
  const inField = event.target instanceof Element && event.target.closest('input, textarea, select, [contenteditable]')
  const command = commandOf(context, event, Boolean(inField))
  if (!command) return false
  event.preventDefault()
  command()
  return true
}

/** @param {Context} context @param {KeyboardEvent} event @param {boolean} inField @returns {(() => unknown) | undefined} */
function commandOf(context, event, inField) {
  const { key, altKey, shiftKey } = event
  const withControl = event.ctrlKey || event.metaKey
  if (withControl && key.toLowerCase() === 'k') return () => palette.chooseAnything(context)
  if (key === 'Escape') return inField && !context.openTask ? undefined : () => escape(context)
  if (inField) return undefined
  if (withControl) return { z: () => actions.undo(context), a: () => selectAll(context) }[key.toLowerCase()]
  const onButton = event.target instanceof Element && event.target.closest('button, a, summary')
  if (onButton && (key === 'Enter' || key === ' ')) return undefined
  const ids = subject(context)
  const one = ids.length === 1 ? ids[0] : null
  if (altKey) return one ? { ArrowUp: () => actions.nudge(context, one, -1), ArrowDown: () => actions.nudge(context, one, 1) }[key] : undefined
  const named = byName(context, key, shiftKey, ids)
  if (named || key.length > 1 || !lettersAreOn()) return named
  return letter(context, key, ids, one)
}

/** @param {Context} context @param {string} key @param {boolean} shift @param {string[]} ids @returns {(() => unknown) | undefined} */
function byName(context, key, shift, ids) {
  const focused = context.focused
  return /** @type {Record<string, (() => unknown) | undefined>} */ ({
    ArrowDown: () => step(context, 1, shift), ArrowUp: () => step(context, -1, shift), Home: () => step(context, -1e6), End: () => step(context, 1e6),
    Enter: focused ? () => context.show(focused) : undefined, ArrowRight: focused ? () => context.show(focused) : undefined,
    ArrowLeft: context.openTask ? () => context.show(null) : undefined,
    ' ': ids.length ? () => actions.tick(context, ids) : undefined,
    Delete: ids.length ? () => actions.remove(context, ids) : undefined, Backspace: ids.length ? () => actions.remove(context, ids) : undefined,
  })[key]
}

/** @param {Context} context @param {string} key @param {string[]} ids @param {string | null} one @returns {(() => unknown) | undefined} */
function letter(context, key, ids, one) {
  if (Date.now() - goes < 1_500) {
    goes = 0
    if (key === 'l') return () => palette.chooseView(context)
    if (PLACES[key]) return () => context.go({ name: PLACES[key] })
  }
  const general = /** @type {Record<string, () => unknown>} */ ({
    q: () => add(context), n: () => add(context), j: () => step(context, 1), k: () => step(context, -1), z: () => actions.undo(context),
    g: () => (goes = Date.now()), '/': () => context.go({ name: 'search' }), '?': () => help(context),
  })[key]
  if (general || !ids.length) return general
  if (/^[0-4]$/.test(key)) return () => actions.update(context, ids, { priority: priorityOf(Number(key)) }, `Priority ${(LEVELS[Number(key)] ?? 'None').toLowerCase()}: %`)
  const single = one && /** @type {Record<string, () => unknown>} */ ({
    J: () => actions.nudge(context, one, 1), K: () => actions.nudge(context, one, -1), ']': () => actions.indent(context, one), '[': () => actions.outdent(context, one),
    a: () => subtask(context, one),
  })[key]
  return single || /** @type {Record<string, () => unknown>} */ ({
    e: () => actions.tick(context, ids), t: () => palette.chooseDue(context, ids), l: () => palette.chooseLabel(context, ids), m: () => palette.chooseList(context, ids),
    x: () => context.focused && select(context, context.focused),
  })[key]
}

/** Where nothing can be added, the inbox is. @param {Context} context */
function add(context) {
  if (!document.getElementById('add')) context.go({ name: 'inbox' })
  context.focusField('add')
}

/** @param {Context} context @param {string} id */
function subtask(context, id) {
  context.show(id)
  context.focusField('add-part')
}

/** @param {Context} context */
function help(context) {
  context.dialog = 'help'
  context.draw()
}

/** @param {Context} context */
function selectAll(context) {
  for (const item of context.items) if ('task' in item) context.selected.add(item.task.id)
  context.draw()
}

/** @param {Context} context */
function escape(context) {
  if (context.sidebarOpen) context.sidebarOpen = false
  else if (context.openTask) return context.show(null)
  else context.selected.clear()
  context.draw()
}
