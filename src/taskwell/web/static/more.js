// What can be done to a list or a label as a whole.

import { html, nothing } from './vendor/lit.js'
import { icon } from './look.js'
import * as actions from './actions.js'
import { narrowed, open } from './palette.js'
import { lists } from './views.js'

/** @typedef {import('./types.js').Context} Context */

const COLORS = { Green: '#2e7d32', Teal: '#00796b', Blue: '#1565c0', Violet: '#6a1b9a', Pink: '#ad1457', Red: '#c62828', Orange: '#d84315', Yellow: '#f9a825', Grey: '#616161' }

/** @param {Context} context */
export function more(context) {
  const { name, id } = context.view
  if (name !== 'list' && name !== 'label') return nothing
  return html`<button type="button" class="icon-button" aria-label=${`Change the ${name}`} title=${`Change the ${name}`} @click=${() => choose(context, name, id ?? '')}>${icon('more')}</button>`
}

/** @param {Context} context @param {'list' | 'label'} kind @param {string} id */
function choose(context, kind, id) {
  const choices = [
    { value: 'rename', text: 'Rename' }, { value: 'color', text: 'Color' },
    ...(kind === 'list' ? [{ value: 'up', text: 'Move up' }, { value: 'down', text: 'Move down' }] : []),
    { value: 'delete', text: kind === 'list' ? 'Delete the list and its tasks' : 'Take it off every task' },
  ]
  open(context, {
    title: context.title, placeholder: 'Rename, color, delete', choices: (text) => narrowed(choices, text),
    pick: (value) => {
      if (value === 'rename') rename(context, kind, id)
      if (value === 'color') color(context, kind, id)
      if (value === 'up' || value === 'down') move(context, id, value === 'up' ? -1 : 1)
      if (value === 'delete') remove(context, kind, id)
    },
  })
}

/** @param {Context} context @param {'list' | 'label'} kind @param {string} id */
function rename(context, kind, id) {
  open(context, {
    title: 'Rename', placeholder: context.title,
    choices: (text) => (text.trim() ? [{ value: text.trim().replace(/^@/, ''), text: `Rename to “${text.trim()}”` }] : []),
    pick: (name) => {
      if (kind === 'list') return actions.perform(context, [{ op: 'update', kind, id, fields: { name } }], `Renamed to “${name}”`)
      actions.perform(context, [{ op: 'rename', kind, id, fields: { name } }], `Renamed to @${name}`)
      context.go({ name: 'label', id: name })
    },
  })
}

/** @param {Context} context @param {'list' | 'label'} kind @param {string} id */
function color(context, kind, id) {
  const choices = [...Object.entries(COLORS).map(([text, value]) => ({ value, text, color: value })), { value: '', text: 'None', color: null }]
  open(context, {
    title: 'Color', placeholder: 'A color', choices: (text) => narrowed(choices, text),
    pick: (value) => actions.perform(context, [{ op: 'update', kind, id, fields: { color: value || null } }], 'Color changed'),
  })
}

/** @param {Context} context @param {string} id @param {-1 | 1} step */
function move(context, id, step) {
  const all = lists(context)
  const other = all[all.findIndex((list) => list.id === id) + step]
  if (other) actions.perform(context, [{ op: 'move', kind: 'list', id, fields: step > 0 ? { after: other.id } : { before: other.id } }], 'List moved')
}

/** @param {Context} context @param {'list' | 'label'} kind @param {string} id */
function remove(context, kind, id) {
  const text = `Deleted: “${context.title}”`
  if (kind === 'list') actions.perform(context, [{ op: 'delete', kind, id }], text)
  else {
    context.store.add({ op: 'rename', kind, id })
    context.say(text)
  }
  context.go({ name: 'inbox' })
}
