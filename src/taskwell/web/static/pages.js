// What is no list of the copy: the trash, what could not be saved, the help, the settings.

import { html, live, nothing } from './vendor/lit.js'
import { sayMoment } from './dates.js'
import { HELP, lettersAreOn, step } from './keys.js'
import { empty } from './list.js'
import { setTheme } from './look.js'

/** @typedef {import('./types.js').Context} Context */
/** @typedef {import('./types.js').Entry} Entry */

/** @param {Context} context */
export async function loadTrash(context) {
  context.trash = null
  try {
    context.trash = await context.api.request('GET', '/api/tasks?deleted=true&limit=200')
  } catch {
    context.trash = []
    context.say('The trash needs a connection')
  }
  context.draw()
}

/** @param {Context} context */
export function trash(context) {
  const { trash } = context
  if (!trash) return html`<p class="none">Loading…</p>`
  if (!trash.length) return empty(context)
  const restore = (/** @type {import('./types.js').Task} */ task) => {
    context.trash = trash.filter(({ id }) => id !== task.id)
    const { deleted_at, ...record } = task
    context.store.add({ op: 'restore', kind: 'task', id: task.id, record })
    context.say(`Restored: “${task.title}”`)
  }
  return html`<ul class="cards">${trash.map((task) => html`<li class="card"><div><p class="strong" dir="auto">${task.title}</p><p class="quiet">Deleted ${sayMoment(task.deleted_at ?? '')}</p></div>
    <button type="button" aria-label=${`Restore ${task.title}`} @click=${() => restore(task)}>Restore</button></li>`)}</ul>`
}

/** @param {Context} context */
export function unsaved(context) {
  const { store } = context
  if (!store.failed.length) return empty(context)
  return html`<ul class="cards">${store.failed.map((entry) => html`<li class="card is-failed"><div>
    <p class="strong" dir="auto">${titleOf(context, entry)}</p><p class="quiet">${whatOf(entry)}: ${entry.problem?.detail}</p>
    ${entry.theirs ? conflict(context, entry) : edit(context, entry)}</div></li>`)}</ul>`
}

/** @param {Context} context @param {Entry} entry */
const titleOf = ({ store }, { kind, id, fields, writes }) =>
  writes ? `${writes.length} changes` : (store.get(kind, id)?.title ?? store.get(kind, id)?.name ?? fields?.title ?? fields?.name ?? id)

const WORDS = /** @type {Record<string, string>} */ ({ create: 'New', update: 'Change', delete: 'Deletion', restore: 'Restoring', move: 'Move', rename: 'New name', undo: 'Undo', skip: 'Skipping', batch: 'Changes' })
/** @param {Entry} entry */
const whatOf = ({ op }) => WORDS[op]

/** @param {Context} context @param {Entry} entry */
function conflict(context, entry) {
  return html`${Object.keys(entry.theirs ?? {}).map((name) => html`<dl class="versions"><dt>Yours</dt><dd dir="auto">${entry.fields?.[name] ?? '(empty)'}</dd><dt>Theirs</dt><dd dir="auto">${entry.theirs?.[name] ?? '(empty)'}</dd></dl>`)}
    <div class="commands"><button type="button" @click=${() => context.store.again(entry)}>Keep mine</button>
    <button type="button" @click=${() => context.store.drop(entry.key)}>Keep theirs</button></div>`
}

/** @param {Context} context @param {Entry} entry */
function edit(context, entry) {
  const texts = Object.keys(entry.fields ?? {}).filter((name) => ['title', 'description', 'name'].includes(name))
  const again = (/** @type {any} */ event) => {
    event.preventDefault()
    void context.store.again(entry, Object.fromEntries(texts.map((name) => [name, event.target.elements[name].value])))
  }
  return html`<form @submit=${again}>${texts.map((name) => html`<label>${name === 'description' ? 'Notes' : 'Title'}<textarea name=${name} rows="2" dir="auto" .value=${entry.fields?.[name] ?? ''}></textarea></label>`)}
    <div class="commands"><button type="submit">Try again</button><button type="button" class="danger" @click=${() => context.store.drop(entry.key)}>Discard</button></div></form>`
}

/** @param {Context} context */
export function search(context) {
  const type = (/** @type {any} */ event) => context.go({ name: 'search', q: event.target.value })
  const leave = (/** @type {any} */ event) => {
    if (event.isComposing || !['Escape', 'ArrowDown', 'Enter'].includes(event.key)) return
    event.preventDefault()
    event.stopPropagation()
    if (event.key === 'Escape' && event.target.value) return context.go({ name: 'search' })
    event.target.blur()
    if (event.key !== 'Escape') step(context, 1)
  }
  return html`<div class="add"><label class="sr" for="search">Search</label><input id="search" type="search" placeholder="Search" autocomplete="off" dir="auto" .value=${live(context.view.q ?? '')} @input=${type} @keydown=${leave}></div>`
}

/** @param {Context} context */
export function dialogs(context) {
  const close = () => {
    context.dialog = null
    // At once, so that what lies beneath can be used.
    ;/** @type {HTMLDialogElement | null} */ (document.querySelector('dialog.box'))?.close()
    context.draw()
  }
  if (context.dialog === 'help') return frame('Keys', close, html`<table class="keys"><caption class="sr">The keys of the page</caption><tbody>${HELP.map(([what, ...keys]) => html`<tr><th scope="row">${what}</th><td>${keys.map((key) => html`<kbd>${key}</kbd> `)}</td></tr>`)}</tbody></table>
    <p class="quiet">Single letters count while no field has the focus. They can be switched off in the settings.</p>`)
  if (context.dialog === 'settings') return frame('Settings', close, settings(context))
  if (context.dialog === 'signout') return frame('Sign out', close, html`<p>${context.store.queue.length} changes were not sent yet. Signing out loses them.</p>
    <div class="commands"><button type="button" @click=${close}>Stay</button><button type="button" class="danger" @click=${() => context.signOut(true)}>Sign out, lose them</button></div>`)
  return nothing
}

/** @param {string} title @param {() => void} close @param {unknown} content */
const frame = (title, close, content) => html`<dialog class="box" aria-label=${title} @close=${(/** @type {any} */ event) => event.target.open || close()} @click=${(/** @type {Event} */ event) => event.target === event.currentTarget && close()}>
  <div class="bar"><h2>${title}</h2><button type="button" class="link" @click=${close}>Close</button></div>${content}</dialog>`

/** @param {Context} context */
function settings(context) {
  const theme = document.documentElement.dataset.theme ?? 'system'
  const choose = (/** @type {string} */ value) => {
    setTheme(value)
    localStorage.setItem('taskwell theme', value)
    context.draw()
  }
  const letters = (/** @type {any} */ event) => localStorage.setItem('taskwell keys', event.target.checked ? 'on' : 'off')
  const { user, email, mode } = context.account
  return html`<fieldset><legend>Colors</legend>${['system', 'light', 'dark'].map((value) => html`<label><input type="radio" name="theme" .checked=${theme === value} @change=${() => choose(value)}> ${{ system: 'As the system', light: 'Light', dark: 'Dark' }[value]}</label>`)}</fieldset>
    <fieldset><legend>Keyboard</legend><label><input type="checkbox" .checked=${lettersAreOn()} @change=${letters}> Single letters are commands</label></fieldset>
    <fieldset><legend>Account</legend><p dir="auto">${email ?? user}</p>${mode === 'stub' ? html`<p class="quiet">This server has no sign-in: who reaches it reads and writes these tasks.</p>` : nothing}
    <div class="commands"><button type="button" @click=${() => context.signOut()}>${mode === 'stub' ? 'Forget everything on this device' : 'Sign out'}</button></div></fieldset>
    <p class="quiet">Version ${document.documentElement.dataset.version} · <a href=${`${context.root}/docs`}>API</a></p>`
}

