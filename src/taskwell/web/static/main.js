// Puts the parts together. No other file imports this one.

import { html, nothing, render } from './vendor/lit.js'
import { Problem, makeApi } from './api.js'
import { forgetDb, memoryDb, openDb } from './db.js'
import * as actions from './actions.js'
import { empty, focusRow, isStale, keepFocus, list } from './list.js'
import { icon, setTheme } from './look.js'
import { quickAdd } from './quickadd.js'
import { sidebar, toggle } from './sidebar.js'
import { Store } from './store.js'
import { addressOf, clock, firstOf, isSame, lists, lookUp, parseAddress } from './views.js'

/** @typedef {import('./types.js').Context} Context */

const config = document.documentElement.dataset
const root = config.root ?? ''
const app = /** @type {HTMLElement} */ (document.getElementById('app'))
const KNOWN = `taskwell ${root} account`
const TOAST_MS = 8_000
/** @type {typeof import('./signin.js') | null} */
const signing = config.auth === 'stub' ? null : await import('./signin.js')
const signIn = signing?.makeSignIn(config)
const api = makeApi(root, signIn?.bearer, signIn?.renew)
/** @type {typeof import('./parts.js') | null} */
let parts = null
/** @type {Context | null} */
let context = null
let opening = true
let scheduled = false
let wasHere = ''
let problem = 'There is no connection to the server.'

function draw() {
  if (scheduled) return
  scheduled = true
  requestAnimationFrame(() => scheduled && drawNow())
}

function drawNow() {
  scheduled = false
  if (!context || context.store.status === 'signin') {
    if (signing && signIn) render(opening && !context ? nothing : signing.signInScreen(signIn, context?.store.queue.length ?? 0, enter, draw), app)
    else render(opening ? nothing : html`<main class="signin"><div class="signin-box"><h1>taskwell</h1><p class="error" role="alert">${problem}</p><button type="button" @click=${() => location.reload()}>Try again</button></div></main>`, app)
    return
  }
  const inRows = Boolean(document.activeElement?.closest('#rows, dialog'))
  const before = context.items
  lookUp(context)
  keepFocus(context, before)
  render(screen(context), app)
  if (inRows && document.activeElement === document.body) rowElement(context.focused)?.focus({ preventScroll: true })
  for (const dialog of document.querySelectorAll('dialog')) if (!dialog.open) dialog.showModal()
  if (isStale(context)) draw()
  parts?.fit()
  document.title = `${context.title} · taskwell`
  wasHere = clock({ api })
}

const rowElement = (/** @type {string | null} */ id) => /** @type {HTMLElement | null} */ (id ? document.querySelector(`#rows [data-id="${id}"]`) : null)

/** @param {Context} context */
function screen(context) {
  const { view, store, selected } = context
  const content = view.name === 'trash' ? parts?.trash(context) : view.name === 'unsaved' ? parts?.unsaved(context)
    : context.items.length ? list(context) : store.status === 'loading' ? html`<p class="none">Loading…</p>` : empty(context)
  return html`<div class=${context.openTask ? 'layout has-details' : 'layout'}>
    ${sidebar(context)}
    <main id="main">
      <div id="scroller" @scroll=${() => isStale(context) && draw()}>
        <header class="top">
          <button type="button" class="icon-button only-phone" aria-label="Menu" aria-expanded=${context.sidebarOpen ? 'true' : 'false'} aria-controls="sidebar" @click=${() => toggle(context, !context.sidebarOpen)}>${icon('menu')}</button>
          <h1 dir="auto">${context.title}</h1>
          ${parts?.more(context)}
          <span class="only-phone status-dot" data-status=${store.status} title=${store.status}></span>
        </header>
        ${view.name === 'search' ? parts?.search(context) : quickAdd(context)}
        ${content}
        <div id="drop" hidden></div>
      </div>
      ${selected.size ? selection(context) : nothing}
    </main>
    ${parts?.details(context)}
  </div>
  <div class="toast-place" role="status">${toast(context)}</div>
  ${context.updated ? html`<div class="toast is-update"><span>A new version is ready.</span><button type="button" @click=${() => location.reload()}>Reload</button></div>` : nothing}
  ${parts?.palette(context)}${parts?.dialogs(context)}`
}

/** @param {Context} context */
function selection(context) {
  const ids = [...context.selected]
  const button = (/** @type {string} */ text, /** @type {() => unknown} */ work) => html`<button type="button" @click=${work}>${text}</button>`
  return html`<div class="selection" role="toolbar" aria-label="Selected tasks"><span>${ids.length} selected</span>
    ${button('Done', () => actions.tick(context, ids))}${button('Due', () => parts?.chooseDue(context, ids))}${button('Move', () => parts?.chooseList(context, ids))}
    ${button('Label', () => parts?.chooseLabel(context, ids))}${button('Delete', () => actions.remove(context, ids))}
    ${button('Clear', () => (context.selected.clear(), draw()))}</div>`
}

/** @type {any} */
let toastTimer = 0

/** @param {Context} context */
function toast(context) {
  if (!context.toast) return nothing
  const { text, undo } = context.toast
  return html`<div class="toast" @focusin=${() => clearTimeout(toastTimer)} @pointerenter=${() => clearTimeout(toastTimer)} @focusout=${hideToast} @pointerleave=${hideToast}>
    <span dir="auto">${text}</span>${undo ? html`<button type="button" @click=${() => actions.undo(context)}>Undo<kbd>z</kbd></button>` : nothing}</div>`
}

function hideToast() {
  clearTimeout(toastTimer)
  toastTimer = setTimeout(() => {
    if (context) context.toast = null
    draw()
  }, TOAST_MS)
}

// ---- where one is

const here = () => parseAddress(location.pathname.slice(root.length), location.search)

/** @param {import('./types.js').View} view @param {string | null} [task] */
function address(view, task) {
  return root + (task ? `/app/task/${task}` : addressOf(view))
}

/** @param {Store} store @param {Context['account']} account @returns {Context} */
function makeContext(store, account) {
  const { view, task } = here()
  /** @type {Context} */
  const made = {
    store, api, root, account, view, openTask: task, items: [], title: '', empty: [], focused: null, selected: new Set(),
    lingering: new Map(), palette: null, dialog: null, sidebarOpen: false, toast: null, trash: null, history: null, updated: false, words: parts && understand,
    draw,
    go(view) {
      parts?.commit(made)
      const typing = view.name === 'search' && made.view.name === 'search'
      history[typing || isSame(view, made.view) ? 'replaceState' : 'pushState']({ view }, '', address(view))
      arrive(view, null)
      if (view.name === 'search' && !typing) made.focusField('search')
    },
    show(id) {
      parts?.commit(made)
      if (id === made.openTask) return
      history[made.openTask && id ? 'replaceState' : 'pushState']({ view: made.view }, '', address(made.view, id))
      made.openTask = id
      drawNow()
      if (!id) rowElement(made.focused)?.focus({ preventScroll: true })
    },
    focusRow(id) {
      focusRow(made, id)
      drawNow()
      rowElement(id)?.focus({ preventScroll: true })
    },
    focusField(id) {
      drawNow()
      document.getElementById(id)?.focus()
    },
    say(text, undo = false) {
      made.toast = { text, undo }
      hideToast()
      draw()
    },
    choose: (choice) => parts?.open(made, choice),
    grab: (event) => parts?.grab(made, event),
    signOut,
  }
  return made
}

/** @param {import('./types.js').View} view @param {string | null} task */
function arrive(view, task) {
  if (!context) return
  if (!isSame(view, context.view)) {
    context.focused = null
    context.selected.clear()
    const scroller = document.getElementById('scroller')
    if (scroller) scroller.scrollTop = 0
  }
  Object.assign(context, { view, openTask: task, sidebarOpen: false })
  if (view.name === 'trash') void parts?.loadTrash(context)
  draw()
}

// ---- start, sign in, sign out

/** @returns {Promise<Context['account']>} */
async function whoAmI() {
  const { id, email } = await api.request('GET', '/api/users/me')
  const account = { user: id, email, mode: config.auth ?? 'stub' }
  localStorage.setItem(KNOWN, JSON.stringify(account))
  return account
}

/** @param {string} user */
const databaseOf = (user) => `taskwell ${root} ${user}`

/** @param {Context['account']} account @param {import('./types.js').Task[]} [first] */
async function open(account, first) {
  const db = await openDb(databaseOf(account.user)).catch(memoryDb)
  const channel = typeof BroadcastChannel === 'undefined' ? undefined : new BroadcastChannel(databaseOf(account.user))
  const exclusive = navigator.locks && ((/** @type {() => Promise<void>} */ work) => navigator.locks.request(`${databaseOf(account.user)} flush`, work))
  const store = new Store({ api, db, channel, exclusive, onchange: draw })
  store.onsent = (entry, answer) => actions.noteVersions(entry.key, answer)
  store.onreminder = (reminder) => context && parts?.remind(context, reminder)
  context = makeContext(store, account)
  store.visible = document.visibilityState === 'visible'
  await store.start(first)
  void navigator.storage?.persist?.()
  draw()
}

/** The user has signed in, for the first time or again. */
async function enter() {
  const asked = context ? [] : api.request('GET', `/api/tasks?${firstOf(here().view)}`).catch(() => []) // meanwhile: a line may be slow
  const account = await whoAmI()
  if (context && context.account.user === account.user) return context.store.resume()
  context?.store.stop()
  context = null
  await open(account, await asked)
}

async function start() {
  setTheme(localStorage.getItem('taskwell theme') ?? 'system')
  await signIn?.arrive().catch((error) => signing?.noteProblem(error.message))
  const known = JSON.parse(localStorage.getItem(KNOWN) ?? 'null')
  const mayAsk = !signIn || signIn.session()
  try {
    if (known && mayAsk && known.mode === config.auth) {
      await open(known)
      void whoAmI().then((account) => account.user !== known.user && location.reload()).catch(() => {})
    } else if (mayAsk) await enter()
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    if (error.status !== 401) signing?.noteProblem((problem = error.message))
  }
  opening = false
  draw()
}

/** Nothing stays in this browser. */
async function signOut(force = false) {
  if (!context) return
  if (context.store.queue.length && !force) {
    context.dialog = 'signout'
    return draw()
  }
  const { user } = context.account
  context.store.stop()
  signIn?.forget()
  for (const name of Object.keys(localStorage)) if (name.startsWith(`taskwell ${root} `)) localStorage.removeItem(name)
  await forgetDb(databaseOf(user)).catch(() => {})
  for (const name of (await globalThis.caches?.keys()) ?? []) if (name.startsWith(`taskwell ${root} `)) await caches.delete(name)
  const registration = await navigator.serviceWorker?.getRegistration(`${root}/app`)
  await registration?.unregister()
  location.assign(`${root}/app`)
}

function serveOffline() {
  const worker = navigator.serviceWorker
  if (!worker) return
  const script = `${root}/app/sw.js`
  const policy = globalThis.trustedTypes?.createPolicy('taskwell', { createScriptURL: () => script })
  const before = worker.controller
  worker.addEventListener('controllerchange', () => {
    if (!before || !context) return
    context.updated = true
    draw()
  })
  void worker.register(/** @type {string} */ (policy?.createScriptURL('') ?? script), { scope: `${root}/app` }).catch(() => {})
}

window.addEventListener('popstate', () => {
  if (!context) return
  parts?.commit(context)
  const { view, task } = here()
  arrive(task ? (history.state?.view ?? context.view) : view, task)
})
window.addEventListener('keydown', (event) => context && context.store.status !== 'signin' && parts?.press(context, event) && scheduled && drawNow())
window.addEventListener('online', () => context?.store.resume())
window.addEventListener('resize', draw)
window.addEventListener('pagehide', () => context && (parts?.commit(context), context.store.leave()))
window.addEventListener('pageshow', () => context?.store.setVisible(true))
window.addEventListener('storage', (event) => event.key === KNOWN && event.newValue === null && location.reload())
document.addEventListener('visibilitychange', () => {
  context?.store.setVisible(document.visibilityState === 'visible')
  draw()
})
setInterval(() => wasHere !== clock({ api }) && draw(), 3_000)
/** What the first rows do not need. */
async function loadParts() {
  parts = await import('./parts.js')
  if (context) {
    context.words = understand
    if (context.view.name === 'trash') void parts.loadTrash(context)
  }
  config.ready = 'yes' // for tests: every part is there
  draw()
}

/** Quick add's words, by the server's clock. @param {string} text */
function understand(text) {
  const { parse, localNow } = /** @type {typeof import('./parts.js')} */ (parts)
  const names = context ? lists(context).map((list) => list.name) : []
  return parse(text, localNow(new Date(api.now())), names)
}

serveOffline()
void start().then(() => requestAnimationFrame(() => void loadParts()))
