// The views, lists and labels, and how it stands with the server.

import { html, nothing } from './vendor/lit.js'
import { icon } from './look.js'
import * as actions from './actions.js'
import { NAMES, addressOf, counts, isSame, labels, lists } from './views.js'

/** @typedef {import('./types.js').Context} Context */
/** @typedef {import('./types.js').View} View */

/** @param {Context} context @param {View} view @param {unknown} sign @param {string} text @param {number} [count] @param {{drop?: string, late?: boolean}} [options] */
function link(context, view, sign, text, count = 0, { drop, late } = {}) {
  const current = isSame(context.view, view)
  const follow = (/** @type {MouseEvent} */ event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return
    event.preventDefault()
    context.go(view)
  }
  return html`<li><a class="place" href=${context.root + addressOf(view)} aria-current=${current ? 'page' : nothing}
    data-drop=${drop ?? nothing} @click=${follow}>${sign}<span class="name" dir="auto">${text}</span>
    ${count ? html`<span class=${late ? 'count is-late' : 'count'}>${count}<span class="sr"> open</span></span>` : nothing}</a></li>`
}

/** @param {string | null} color */
const dot = (color) => html`<span class="dot" .style=${color ? `background:${color}` : ''}></span>`

/** @param {Context} context */
export function sidebar(context) {
  const number = counts(context)
  const failed = context.store.failed.length
  const view = (/** @type {string} */ name, count = 0, options = {}) => link(context, { name }, icon(name), NAMES[name], count, options)
  return html`<nav id="sidebar" class=${context.sidebarOpen ? 'sidebar is-open' : 'sidebar'} aria-label="Views">
    <div class="brand"><span class="mark">${icon('check')}</span><span>taskwell</span>
      <button type="button" class="icon-button only-phone" aria-label="Close the menu" @click=${() => toggle(context, false)}>${icon('close')}</button></div>
    <ul>${view('today', number.today, { late: number.overdue })}${view('upcoming')}${view('inbox', number.inbox, { drop: '' })}${view('search')}
      ${failed ? view('unsaved', failed, { late: true }) : nothing}</ul>
    <div class="section"><h2>Lists</h2>
      <button type="button" class="icon-button" aria-label="New list" title="New list" @click=${() => newList(context)}>${icon('plus')}</button></div>
    <ul>${lists(context).map((list) => link(context, { name: 'list', id: list.id }, dot(list.color), list.name, number.lists.get(list.id), { drop: list.id }))}</ul>
    ${labels(context).length ? html`<div class="section"><h2>Labels</h2></div>
    <ul>${labels(context).map((label) => link(context, { name: 'label', id: label.name }, icon('label'), label.name, label.open))}</ul>` : nothing}
    <ul class="last">${view('done')}${view('trash')}</ul>
    <div class="foot">${status(context)}
      <button type="button" class="icon-button" aria-label="Keys" title="Keys (?)" @click=${() => open(context, 'help')}>${icon('keys')}</button>
      <button type="button" class="icon-button" aria-label="Settings" title="Settings" @click=${() => open(context, 'settings')}>${icon('gear')}</button>
    </div>
  </nav>
  ${context.sidebarOpen ? html`<div class="shade only-phone" @click=${() => toggle(context, false)}></div>` : nothing}`
}

/** @param {Context} context @param {Context['dialog']} name */
function open(context, name) {
  context.dialog = name
  context.draw()
}

/** @param {Context} context @param {boolean} isOpen */
export function toggle(context, isOpen) {
  context.sidebarOpen = isOpen
  context.draw()
}

/** @param {Context} context */
export function newList(context) {
  context.choose({
    title: 'New list',
    placeholder: 'Its name',
    choices: (typed) => (typed.trim() ? [{ value: typed.trim(), text: `Create “${typed.trim()}”` }] : []),
    pick: (name) => context.go({ name: 'list', id: actions.createList(context, name.slice(0, 100)) }),
  })
}

const STATUS = { loading: 'Loading', live: 'Up to date', behind: 'Catching up', offline: 'Offline', signin: 'Signed out' }

/** @param {Context} context */
export function status({ store }) {
  const waiting = store.queue.length
  const text = waiting ? `${STATUS[store.status]} · ${waiting} waiting` : STATUS[store.status]
  return html`<p class="status" role="status" data-status=${store.status}><span class="lamp"></span>${text}</p>`
}
