// One box for every choice: where to go, a date, a list, a label. Typing narrows what it offers.

import { html, live, nothing } from './vendor/lit.js'
import { DAYS, addDays, sayDay, weekday } from './dates.js'
import { NAMES, labels, lists, today } from './views.js'
import * as actions from './actions.js'

/** @typedef {import('./types.js').Context} Context */
/** @typedef {import('./types.js').Choice} Choice */

let typed = ''
let place = 0
const MANY = 50

/** @param {Context} context @param {import('./types.js').Palette} palette */
export function open(context, palette) {
  typed = ''
  place = 0
  context.palette = palette
  context.draw()
}

/** @param {Context} context */
function close(context) {
  context.palette = null
  // At once, not with the next drawing: what lies beneath can be used again.
  ;/** @type {HTMLDialogElement | null} */ (document.querySelector('dialog.palette'))?.close()
  context.draw()
}

/** @param {Choice[]} choices */
export function narrowed(choices, text = '') {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  const found = choices.filter((choice) => words.every((word) => choice.text.toLowerCase().includes(word)))
  const begins = (/** @type {Choice} */ choice) => Number(!choice.text.toLowerCase().startsWith(words[0] ?? ''))
  return found.sort((one, other) => begins(one) - begins(other)).slice(0, MANY)
}

/** @param {Context} context */
export function palette(context) {
  const { palette } = context
  if (!palette) return nothing
  const choices = palette.choices(typed)
  place = Math.min(place, Math.max(0, choices.length - 1))
  const pick = (/** @type {Choice | undefined} */ choice) => {
    if (!choice) return
    close(context)
    palette.pick(choice.value)
  }
  const keys = (/** @type {KeyboardEvent} */ event) => {
    const choices = palette.choices(typed) // as typed by now: the screen may be a moment behind
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step) place = (place + step + choices.length) % Math.max(1, choices.length)
    else if (event.key === 'Enter') pick(choices[place])
    else return
    event.preventDefault()
    context.draw()
  }
  const type = (/** @type {any} */ event) => {
    typed = event.target.value
    place = 0
    context.draw()
  }
  // The browser tells of a close with the next frame: the box may be open again by then, for the next choice.
  return html`<dialog class="palette" aria-label=${palette.title} @close=${(/** @type {any} */ event) => event.target.open || (context.palette === palette && close(context))} @click=${(/** @type {Event} */ event) => event.target === event.currentTarget && close(context)}>
    <h2>${palette.title}</h2>
    <input type="text" role="combobox" aria-label=${palette.title} aria-expanded="true" aria-controls="choices" aria-activedescendant=${choices.length ? `choice-${place}` : nothing}
      placeholder=${palette.placeholder} autocomplete="off" autofocus dir="auto" .value=${live(typed)} @input=${type} @keydown=${keys}>
    <ul id="choices" role="listbox" aria-label=${palette.title}>${choices.map((choice, index) => html`<li id=${`choice-${index}`} role="option" aria-selected=${index === place ? 'true' : 'false'}
      @click=${() => pick(choice)}>${choice.color === undefined ? nothing : html`<span class="dot" .style=${choice.color ? `background:${choice.color}` : ''}></span>`}<span class="name" dir="auto">${choice.text}</span>${choice.hint ? html`<span class="hint-text">${choice.hint}</span>` : nothing}</li>`)}</ul>
    ${choices.length ? nothing : html`<p class="none">${typed ? 'Nothing fits.' : 'Type something.'}</p>`}
  </dialog>`
}

/** Days by words; an ISO date is taken as it is. @param {Context} context @param {string} text @returns {Choice[]} */
function days(context, text) {
  const now = today(context)
  const next = (/** @type {number} */ wanted) => addDays(now, (wanted - weekday(now) + 7) % 7 || 7)
  const all = [
    { value: addDays(now, 1), text: 'Tomorrow' }, { value: now, text: 'Today' },
    ...[1, 2, 3, 4, 5, 6, 0].map((day) => ({ value: next(day), text: DAYS[day] })),
    { value: addDays(now, 7), text: 'In a week' }, { value: addDays(now, 28), text: 'In four weeks' },
  ].map((choice) => ({ ...choice, hint: sayDay(choice.value, now) === choice.text ? choice.value : sayDay(choice.value, now) }))
  const found = narrowed([...all, { value: '', text: 'No date', hint: '' }], text)
  if (/^\d{4}-\d\d-\d\d$/.test(text.trim()) && !Number.isNaN(Date.parse(text.trim()))) found.unshift({ value: text.trim(), text: sayDay(text.trim(), now), hint: text.trim() })
  const understood = text.trim() ? context.words?.(text) : null
  if (understood?.due && found[0]?.value !== understood.due) found.unshift({ value: understood.due, text: sayDay(understood.due.slice(0, 10), now), hint: understood.due.replace('T', ' ').slice(0, 16) })
  return found
}

/** @param {Context} context @param {string[]} ids */
export function chooseDue(context, ids) {
  open(context, {
    title: 'Due', placeholder: 'tomorrow, friday, 2027-01-31',
    choices: (text) => days(context, text),
    pick: (value) => actions.setDue(context, ids, value.slice(0, 10) || null, value.slice(11, 16) || null),
  })
}

/** The inbox and the lists. @param {Context} context @param {string} text */
const listChoices = (context, text) => narrowed([{ value: '', text: 'Inbox', color: null }, ...lists(context).map((list) => ({ value: list.id, text: list.name, color: list.color }))], text)

/** @param {Context} context @param {string[]} ids */
export function chooseList(context, ids) {
  open(context, {
    title: 'Move to', placeholder: 'A list',
    choices: (text) => listChoices(context, text),
    pick: (value) => actions.moveToList(context, ids, value || null),
  })
}

/** @param {Context} context @param {string[]} ids */
export function chooseLabel(context, ids) {
  open(context, {
    title: 'Label', placeholder: 'A label, old or new',
    choices: (text) => {
      const name = text.trim().replace(/^@/, '')
      const found = narrowed(labels(context).map((label) => ({ value: label.name, text: label.name, hint: ids.every((id) => context.store.get('task', id)?.labels.includes(label.name)) ? 'remove' : '' })), name)
      return found.some((choice) => choice.text.toLowerCase() === name.toLowerCase()) || !name ? found : [...found, { value: name.slice(0, 60), text: `New label “${name}”` }]
    },
    pick: (value) => actions.toggleLabel(context, ids, value),
  })
}

/** Everything: views, lists, labels, tasks. @param {Context} context */
export function chooseAnything(context) {
  open(context, {
    title: 'Go to', placeholder: 'A view, a list, a label, a task',
    choices: (text) => {
      const places = [
        ...Object.entries(NAMES).map(([name, shown]) => ({ value: `view ${name}`, text: shown, hint: 'view' })),
        ...lists(context).map((list) => ({ value: `list ${list.id}`, text: list.name, hint: 'list', color: list.color })),
        ...labels(context).map((label) => ({ value: `label ${label.name}`, text: label.name, hint: 'label' })),
      ]
      const tasks = text.trim() ? context.store.tasks().filter((task) => !task.completed).map((task) => ({ value: `task ${task.id}`, text: task.title, hint: 'task' })) : []
      return narrowed([...places, ...tasks], text)
    },
    pick: (value) => {
      const [kind, id] = [value.slice(0, value.indexOf(' ')), value.slice(value.indexOf(' ') + 1)]
      if (kind === 'task') showTask(context, id)
      else context.go(kind === 'view' ? { name: id } : { name: kind, id })
    },
  })
}

/** Open a task, with the focus on its row. @param {Context} context @param {string} id */
function showTask(context, id) {
  const list = context.store.get('task', id)?.list_id
  if (!context.items.some((item) => 'task' in item && item.task.id === id)) context.go(list ? { name: 'list', id: list } : { name: 'inbox' })
  context.show(id)
  context.focusRow(id)
}

/** @param {Context} context */
export function chooseView(context) {
  open(context, {
    title: 'Lists', placeholder: 'A list',
    choices: (text) => listChoices(context, text),
    pick: (id) => context.go(id ? { name: 'list', id } : { name: 'inbox' }),
  })
}
