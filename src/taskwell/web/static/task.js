// The details of a task: a third column, or a sheet on a phone.

import { html, live, nothing, repeat } from './vendor/lit.js'
import { dueOf, sayMoment, zone } from './dates.js'
import { icon } from './look.js'
import * as actions from './actions.js'
import * as palette from './palette.js'
import { offered, sayReminder } from './reminders.js'
import { asQuickWords, readRule, sayRule } from './rules.js'
import { LEVELS, level, lists, priorityOf, today } from './views.js'
import { order } from './store.js'

/** @typedef {import('./types.js').Context} Context */
/** @typedef {import('./types.js').Task} Task */

/** What is typed and not saved yet, with what the field was when the typing began. @type {Map<string, {value: string, base: any}>} */
const drafts = new Map()
/** The words of a recurrence that are typed, or that were not understood. */
let rule = { id: '', text: '', isUnread: false }
/** The task for which a time to remind at is asked. */
let asksFor = ''
const LINK = /\bhttps?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]]/g

/** @param {Task} task @param {'title' | 'description'} name */
const shown = (task, name) => drafts.get(`${task.id} ${name}`)?.value ?? task[name] ?? ''

/** @param {Task} task @param {'title' | 'description'} name @param {string} value */
function note(task, name, value) {
  const key = `${task.id} ${name}`
  drafts.set(key, { value, base: drafts.has(key) ? drafts.get(key)?.base : task[name] })
}

/** Save what was typed. @param {Context} context */
export function commit(context) {
  for (const [key, { value, base }] of drafts) {
    const [id, name] = key.split(' ')
    const text = name === 'title' ? value.trim().replace(/\s+/g, ' ') : value.trim() || null
    drafts.delete(key)
    if (text === base || (name === 'title' && !text) || !context.store.get('task', id)) continue
    actions.update(context, [id], { [name]: text }, 'Changed: %', { [name]: base })
  }
  commitRule(context)
}

/** @param {Context} context */
function commitRule(context) {
  const { id } = rule
  const task = context.store.get('task', id)
  if (!task) return
  const text = rule.text.trim()
  const isNew = text !== sayRule(task)
  const fields = text && isNew ? readRule(context.words?.(asQuickWords(text)), task) : actions.NO_RULE
  rule = fields ? { id: '', text: '', isUnread: false } : { id, text, isUnread: true }
  if (fields && isNew) actions.update(context, [id], fields, 'Changed: %')
  else context.draw()
}

/** @param {any} element */
function grow(element) {
  element.style.height = 'auto'
  element.style.height = `${element.scrollHeight + 2}px`
}

/** Fit the fields to their text, where the browser does not do it. */
export function fit() {
  if (CSS.supports('field-sizing', 'content')) return
  for (const element of document.querySelectorAll('.details textarea')) grow(element)
}

/** @param {Context} context */
export function details(context) {
  const task = /** @type {Task | undefined} */ (context.openTask ? context.store.get('task', context.openTask) : undefined)
  if (!context.openTask) return nothing
  if (!task) return html`<aside class="details" aria-label="Details"><div class="bar"><span class="path"></span>${closeButton(context)}</div><p class="none">This task is not here. It may be in the trash.</p></aside>`
  return repeat([task], ({ id }) => id, () => html`<aside class="details" aria-label="Details">
    <div class="bar">
      <button class="check" type="button" role="checkbox" aria-checked=${task.completed ? 'true' : 'false'} aria-label="Done" data-priority=${level(task.priority) || nothing}
        @click=${() => actions.tick(context, [task.id])}><span>${icon('check')}</span></button>
      <span class="path" dir="auto">${pathOf(context, task)}</span>
      ${closeButton(context)}
    </div>
    <textarea class="big" rows="1" aria-label="Title" maxlength="1000" dir="auto" .value=${live(shown(task, 'title'))}
      @input=${(/** @type {any} */ event) => note(task, 'title', event.target.value)} @blur=${() => commit(context)}
      @keydown=${(/** @type {KeyboardEvent} */ event) => event.key === 'Enter' && !event.isComposing && (event.preventDefault(), commit(context))}></textarea>
    <textarea class="notes" rows="3" aria-label="Notes" placeholder="Notes" maxlength="65536" dir="auto" .value=${live(shown(task, 'description'))}
      @input=${(/** @type {any} */ event) => note(task, 'description', event.target.value)} @blur=${() => commit(context)}></textarea>
    ${links(task)}
    ${fields(context, task)}
    ${parts(context, task)}
    <div class="commands">
      <button type="button" @click=${() => actions.nudge(context, task.id, -1)}>Move up</button>
      <button type="button" @click=${() => actions.nudge(context, task.id, 1)}>Move down</button>
      <button type="button" class="danger" @click=${() => actions.remove(context, [task.id])}>Delete</button>
    </div>
    ${about(context, task)}
  </aside>`)
}

/** @param {Context} context */
const closeButton = (context) => html`<button type="button" class="icon-button" aria-label="Close the details" title="Close (Esc)" @click=${() => context.show(null)}>${icon('close')}</button>`

/** @param {Context} context @param {Task} task */
function pathOf({ store }, task) {
  const list = task.list_id ? (store.get('list', task.list_id)?.name ?? 'List') : 'Inbox'
  const parent = task.parent_id && store.get('task', task.parent_id)
  return parent ? `${list} › ${parent.title}` : list
}

/** Addresses in the notes and the task's own link; only those that are safe to follow. @param {Task} task */
function links({ description, link }) {
  const found = [...new Set([...(link ? [link] : []), ...(description?.match(LINK) ?? [])])].filter((text) => /^(https?:\/\/|mailto:)/i.test(text))
  return found.length ? html`<ul class="links">${found.map((text) => html`<li><a href=${text} target="_blank" rel="noopener noreferrer">${text}</a></li>`)}</ul>` : nothing
}

/** @param {Context} context @param {Task} task */
function fields(context, task) {
  const day = task.due?.slice(0, 10) ?? ''
  const time = task.due && task.due.length > 10 ? task.due.slice(11, 16) : ''
  const foreign = task.time_zone && task.time_zone !== zone()
  const local = foreign ? dueOf(task) : null
  const setTime = (/** @type {string} */ value) => actions.update(context, [task.id], value ? { due: `${day}T${value}:00`, time_zone: task.time_zone ?? zone() } : { due: day, time_zone: task.start && task.start.length > 10 ? task.time_zone : null }, 'Changed: %')
  const setStart = (/** @type {string} */ value) => actions.update(context, [task.id], { start: value || null }, 'Changed: %')
  return html`<dl class="fields">
    <dt><label for="due">Due</label></dt>
    <dd><input id="due" type="date" .value=${live(day)} @change=${(/** @type {any} */ event) => actions.setDue(context, [task.id], event.target.value || null)}>
      ${day ? html`<input type="time" aria-label="Time" .value=${live(time)} @change=${(/** @type {any} */ event) => setTime(event.target.value)}>` : nothing}
      ${foreign ? html`<span class="zone">${task.time_zone}${local?.time ? `: ${local.day === today(context) ? '' : `${local.day} `}${local.time} here` : ''}</span>` : nothing}</dd>
    <dt><label for="start">Start</label></dt>
    <dd><input id="start" type="date" max=${day || nothing} .value=${live(task.start?.slice(0, 10) ?? '')} @change=${(/** @type {any} */ event) => setStart(event.target.value)}></dd>
    ${repeats(context, task)}
    ${reminders(context, task)}
    <dt><label for="list">List</label></dt>
    <dd><select id="list" @change=${(/** @type {any} */ event) => actions.moveToList(context, [task.id], event.target.value || null)}>
      <option value="" ?selected=${!task.list_id}>Inbox</option>
      ${lists(context).map((list) => html`<option value=${list.id} ?selected=${list.id === task.list_id}>${list.name}</option>`)}</select></dd>
    <dt><label for="priority">Priority</label></dt>
    <dd><select id="priority" @change=${(/** @type {any} */ event) => actions.update(context, [task.id], { priority: priorityOf(Number(event.target.value)) }, 'Changed: %')}>
      ${LEVELS.map((name, number) => html`<option value=${number} ?selected=${number === level(task.priority)}>${name}</option>`)}</select></dd>
    <dt>Labels</dt>
    <dd class="labels">${task.labels.map((label) => chip(label, () => actions.toggleLabel(context, [task.id], label)))}
      <button type="button" class="small" @click=${() => palette.chooseLabel(context, [task.id])}>Add a label</button></dd>
  </dl>`
}

/** @param {string} text @param {() => unknown} remove */
const chip = (text, remove) => html`<span class="chip"><span dir="auto">${text}</span><button type="button" aria-label=${`Remove ${text}`} @click=${remove}>${icon('close')}</button></span>`

/** @param {Context} context @param {Task} task */
function repeats(context, task) {
  const typed = rule.id === task.id ? rule : null
  const note = (/** @type {any} */ event) => {
    rule = { id: task.id, text: event.target.value, isUnread: false }
    context.draw()
  }
  const skip = () => actions.perform(context, [{ op: 'skip', kind: 'task', id: task.id, fields: { occurrence: task.due ?? task.start } }], `Skipped: “${task.title}”`)
  return html`<dt><label for="repeats">Repeats</label></dt>
    <dd><input id="repeats" type="text" placeholder="every monday" autocomplete="off" maxlength="500" aria-describedby="unread" aria-invalid=${typed?.isUnread ? 'true' : 'false'} .value=${live(typed?.text ?? sayRule(task))}
      @input=${note} @blur=${() => commit(context)} @keydown=${(/** @type {KeyboardEvent} */ event) => event.key === 'Enter' && !event.isComposing && commit(context)}>
      <span id="unread" class="zone danger" role="status" ?hidden=${!typed?.isUnread}>${typed?.isUnread ? 'Not understood, and not saved' : ''}</span>
      ${task.recurrence && !task.completed ? html`<button type="button" class="small" @click=${skip}>Skip this one</button>` : nothing}</dd>`
}

/** @param {Context} context @param {Task} task */
function reminders(context, task) {
  const present = task.reminders ?? []
  const save = (/** @type {Task['reminders']} */ changed) => actions.update(context, [task.id], { reminders: changed }, 'Changed: %')
  const add = (/** @type {any} */ { target: { value, type } }) => {
    asksFor = value === 'at' ? task.id : ''
    const trigger = value && type === 'datetime-local' ? new Date(value).toISOString() : value
    if (!trigger || asksFor) return context.draw()
    void globalThis.Notification?.requestPermission?.()
    save([...present, { trigger }])
  }
  return html`<dt>Reminders</dt>
    <dd class="labels">${present.map((reminder) => chip(sayReminder(reminder, task), () => save(present.filter((other) => other !== reminder))))}
      ${asksFor === task.id ? html`<input type="datetime-local" aria-label="Remind at" @change=${add}>` : nothing}
      ${present.length < 10 ? html`<select aria-label="Add a reminder" .value=${live('')} @change=${add}>
        <option value="">Add a reminder</option>
        ${offered(task).map((trigger) => html`<option value=${trigger}>${sayReminder({ trigger }, task)}</option>`)}
        <option value="at">At a time…</option></select>` : nothing}</dd>`
}

/** @param {Context} context @param {Task} task */
function parts(context, task) {
  const children = context.store.tasks().filter((part) => part.parent_id === task.id).sort(order)
  const add = (/** @type {any} */ event) => {
    event.preventDefault()
    const field = event.target.elements.part
    const title = field.value.trim()
    if (title) actions.create(context, { title, parent_id: task.id, list_id: task.list_id })
    field.value = ''
  }
  return html`<section class="parts-of"><h3>Subtasks</h3>
    <ul>${repeat(children, ({ id }) => id, (part) => html`<li class=${part.completed ? 'is-done' : ''}>
      <button class="check" type="button" role="checkbox" aria-checked=${part.completed ? 'true' : 'false'} aria-label=${`Done: ${part.title}`} @click=${() => actions.tick(context, [part.id])}><span>${icon('check')}</span></button>
      <button type="button" class="link" dir="auto" @click=${() => context.show(part.id)}>${part.title}</button></li>`)}</ul>
    <form @submit=${add}><label class="sr" for="add-part">Add a subtask</label><input id="add-part" name="part" type="text" placeholder="Add a subtask" autocomplete="off" maxlength="1000" dir="auto"></form></section>`
}

/** @param {Context} context @param {Task} task */
function about(context, task) {
  const history = context.history?.id === task.id ? context.history : null
  return html`<section class="about">
    <p>Made ${sayMoment(task.created_at)}${task.updated_at === task.created_at ? '' : `, changed ${sayMoment(task.updated_at)}`}${task.completed_at ? `, done ${sayMoment(task.completed_at)}` : ''}.</p>
    <p><code>${task.id}</code> <button type="button" class="small" @click=${() => copy(context, task.id)}>Copy the id</button>
    ${history ? nothing : html`<button type="button" class="small" @click=${() => load(context, task.id)}>History</button>`}</p>
    ${history ? html`<h3 id="history" tabindex="-1">History</h3>${history.error ? html`<p class="none">${history.error}</p>` : history.records === null ? html`<p class="none">Loading…</p>` : html`<ol class="history">${history.records.map((record) => html`<li><span>${sentence(record)}</span>
      <button type="button" class="small" aria-label=${`Undo: ${record.op}, version ${record.version}`} @click=${() => takeBack(context, task.id, record.version)}>Undo</button></li>`)}</ol>`}` : nothing}
  </section>`
}

/** @param {any} record of the history */
function sentence({ op, at, by, changes, occurrence }) {
  const names = Object.keys(changes).filter((name) => name !== 'position' && op !== 'created' && !name.startsWith('completed'))
  const said = names.map((name) => `${name}: ${value(changes[name][0])} → ${value(changes[name][1])}`).join(', ')
  return [op + (occurrence ? ` ${occurrence.replace('T', ' ')}` : ''), said, sayMoment(at), by.token?.name, by.client].filter(Boolean).join(' · ')
}

/** @param {any} one */
function value(one) {
  const text = one === null ? 'none' : typeof one === 'string' ? one : JSON.stringify(one)
  return text.length > 40 ? `${text.slice(0, 40)}…` : text
}

/** @param {Context} context @param {string} id */
async function copy(context, id) {
  await navigator.clipboard?.writeText(id)
  context.say(navigator.clipboard ? 'Copied' : 'Only over https can a page copy for you: select the text')
}

/** @param {Context} context @param {string} id */
async function load(context, id) {
  context.history = { id, records: null }
  context.focusField('history')
  try {
    context.history = { id, records: await context.api.request('GET', `/api/tasks/${id}/history?limit=50`) }
  } catch (error) {
    context.history = { id, records: [], error: /** @type {Error} */ (error).message }
  }
  context.draw()
}

/** @param {Context} context @param {string} id @param {number} version */
async function takeBack(context, id, version) {
  try {
    const answer = await context.api.request('POST', '/api/undo', { body: { versions: [version] } })
    context.say(answer.left?.length ? 'Some of it was changed since, and stays' : 'Undone')
  } catch (error) {
    context.say(/** @type {Error} */ (error).message)
  }
  await load(context, id)
}
