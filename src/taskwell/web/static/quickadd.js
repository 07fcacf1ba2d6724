// "Add a task": always at hand; recognised words are marked as one types.

import { html, live, nothing } from './vendor/lit.js'
import { sayDay, zone } from './dates.js'
import { icon } from './look.js'
import * as actions from './actions.js'
import { LEVELS, level, today } from './views.js'

/** @typedef {import('./types.js').Context} Context */
/** @typedef {import('./words.js').QuickWords} QuickWords */

let text = ''
/** What was recognised and put back to text. @type {string[]} */
let ignored = []
const MASK = '\ue000'

/** What is understood of the text. What was put back is hidden from the grammar by letters of no language. @param {Context} context @returns {QuickWords} */
function understood(context) {
  /** @type {QuickWords} */
  const none = { title: text.trim(), due: null, recurrence: null, recurrence_mode: 'next', list_name: null, labels: [], priority: null, description: null, unknown_lists: [], spans: [], problem: null }
  if (!context.words || !text.trim()) return none
  ignored = ignored.filter((part) => text.includes(part))
  let masked = text
  for (const part of ignored) masked = masked.replace(part, MASK.repeat(part.length))
  const words = context.words(masked)
  let title = words.title
  for (const part of ignored) title = title.replace(MASK.repeat(part.length), part)
  return { ...words, title }
}

/** The fields of the task. @param {Context} context @param {QuickWords} words */
function fieldsOf(context, words) {
  const { view, store } = context
  const list = words.list_name && store.all('list').find((list) => list.name === words.list_name && !list.archived_at)
  /** @type {Record<string, any>} */
  const fields = { title: words.title }
  if (list) fields.list_id = list.id
  else if (view.name === 'list') fields.list_id = view.id
  const labels = [...(view.name === 'label' && view.id ? [view.id] : []), ...words.labels]
  if (labels.length) fields.labels = labels
  if (words.due) fields.due = words.due
  else if (view.name === 'today') fields.due = today(context)
  if (fields.due?.length > 10) fields.time_zone = zone()
  if (words.priority) fields.priority = words.priority
  if (words.description) fields.description = words.description
  if (words.recurrence) Object.assign(fields, { recurrence: words.recurrence, recurrence_mode: words.recurrence_mode })
  return fields
}

/** @param {Context} context */
export function quickAdd(context) {
  if (['trash', 'unsaved', 'done', 'search'].includes(context.view.name)) return nothing
  const words = understood(context)
  const signs = signsOf(context, words)
  return html`<form class="add" @submit=${(/** @type {Event} */ event) => submit(context, event)}>
    <label class="sr" for="add">Add a task</label>
    <span class="add-sign">${icon('plus')}</span>
    <span class="add-field"><span class="marks" aria-hidden="true" dir="auto">${marked(words)}</span>
    <input id="add" type="text" placeholder="Add a task" autocomplete="off" enterkeyhint="done" maxlength="1000" dir="auto" aria-describedby="understood"
      .value=${live(text)} @input=${(/** @type {any} */ event) => type(context, event.target.value)} @scroll=${follow} @keyup=${follow}
      @keydown=${(/** @type {KeyboardEvent} */ event) => press(context, event)}></span>
    ${text ? html`<button class="add-button" type="submit">Add</button>` : html`<kbd class="hint" title="Or the key q">q</kbd>`}
    <span id="understood" class=${signs.length ? 'understood' : 'sr'} role="status">${signs.map((sign) => html`<span class="chip" dir="auto">${sign}</span>`)}</span>
  </form>`
}

/** @param {QuickWords} words */
function marked({ spans }) {
  let at = 0
  const parts = spans.flatMap(({ start, end }) => {
    const before = text.slice(at, start)
    at = end
    return [before, html`<mark>${text.slice(start, end)}</mark>`]
  })
  return [...parts, text.slice(at)]
}

/** @param {Context} context @param {QuickWords} words */
function signsOf(context, words) {
  const due = words.due && `${sayDay(words.due.slice(0, 10), today(context))} ${words.due.slice(11, 16)}`.trim()
  return [due, words.recurrence && 'Repeats', words.list_name && `#${words.list_name}`, ...words.labels.map((label) => `@${label}`),
    words.priority && `${LEVELS[level(words.priority)]} priority`, words.description && 'With notes', ...words.unknown_lists.map((name) => `No list “${name}”`)].filter(Boolean)
}

/** The marks scroll with the text. @param {any} event */
function follow({ target }) {
  target.previousElementSibling.scrollLeft = target.scrollLeft
}

/** @param {Context} context @param {string} value */
function type(context, value) {
  text = value
  if (!text) ignored = []
  context.draw()
}

/** @param {Context} context @param {KeyboardEvent} event */
function press(context, event) {
  const field = /** @type {HTMLInputElement} */ (event.target)
  if (event.key === 'Backspace' && field.selectionStart === field.selectionEnd) {
    const before = text.slice(0, field.selectionStart ?? 0).trimEnd().length
    const span = understood(context).spans.find(({ end }) => end === field.selectionStart || end === before)
    if (!span) return
    event.preventDefault()
    ignored.push(text.slice(span.start, span.end))
    context.draw()
  }
  if (event.key !== 'Escape') return
  event.stopPropagation()
  type(context, '')
  const first = context.items.find((item) => 'task' in item)
  if (first && 'task' in first) context.focusRow(context.focused ?? first.task.id)
  else field.blur()
}

/** @param {Context} context @param {Event} event */
function submit(context, event) {
  event.preventDefault()
  const words = understood(context)
  if (words.problem) return context.say(words.problem === 'too_long' ? 'That is too long for one task' : 'A task needs a title')
  if (!words.title) return
  actions.create(context, fieldsOf(context, words))
  /** @type {any} */
  const form = event.target
  form.elements.add.value = '' // at once: the next letters may come before the screen is drawn
  type(context, '')
}
