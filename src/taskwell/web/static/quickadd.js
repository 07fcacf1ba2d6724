// "Add a task": always at hand; recognised words are marked as one types.

import { html, live, nothing } from './vendor/lit.js'
import { icon } from './icons.js'
import * as actions from './actions.js'
import { today } from './views.js'

/** @typedef {import('./types.js').Context} Context */

let text = ''

/** What a new task of this view has. @param {Context} context */
function given(context) {
  const { view } = context
  if (view.name === 'list') return { list_id: view.id }
  if (view.name === 'label') return { labels: [view.id] }
  if (view.name === 'today') return { due: today(context) }
  return {}
}

/** @param {Context} context */
export function quickAdd(context) {
  if (['trash', 'unsaved', 'done', 'search'].includes(context.view.name)) return nothing
  return html`<form class="add" @submit=${(/** @type {Event} */ event) => submit(context, event)}>
    <label class="sr" for="add">Add a task</label>
    <span class="add-sign">${icon('plus')}</span>
    <input id="add" type="text" placeholder="Add a task" autocomplete="off" enterkeyhint="done" maxlength="2000" dir="auto"
      .value=${live(text)} @input=${(/** @type {any} */ event) => type(context, event.target.value)}
      @keydown=${(/** @type {KeyboardEvent} */ event) => leave(context, event)}>
    ${text ? html`<button class="add-button" type="submit">Add</button>` : html`<kbd class="hint">q</kbd>`}
  </form>`
}

/** @param {Context} context @param {string} value */
function type(context, value) {
  text = value
  context.draw()
}

/** @param {Context} context @param {KeyboardEvent} event */
function leave(context, event) {
  if (event.key !== 'Escape') return
  event.stopPropagation()
  type(context, '')
  const first = context.items.find((item) => 'task' in item)
  if (first && 'task' in first) context.focusRow(context.focused ?? first.task.id)
  else /** @type {HTMLElement} */ (event.target).blur()
}

/** @param {Context} context @param {Event} event */
function submit(context, event) {
  event.preventDefault()
  const title = text.trim()
  if (!title) return
  actions.create(context, { ...given(context), title })
  type(context, '')
}
