// Who is asking: nobody (stub), an API token, OpenID Connect with PKCE, or the cookie of one's own sign-in.

import { html, nothing } from './vendor/lit.js'
import { Problem } from './api.js'

/** @typedef {{kind: 'token' | 'oidc' | 'cookie', secret: string}} Session */

const encode = (/** @type {Uint8Array} */ bytes) => btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')
const random = () => encode(crypto.getRandomValues(new Uint8Array(32)))

/** @param {DOMStringMap} config what the server says in the page's `data-` attributes */
export function makeSignIn(config) {
  const root = config.root ?? ''
  const name = `taskwell ${root} session`
  const redirect = `${location.origin}${root}/app`
  /** @type {string | null} */
  let access = null
  /** @type {Promise<boolean> | null} */
  let renewing = null

  /** @returns {Session | null} */
  const session = () => JSON.parse(sessionStorage.getItem(name) ?? localStorage.getItem(name) ?? 'null')
  /** @param {Session} value @param {boolean} keep */
  function save(value, keep) {
    forget()
    ;(keep ? localStorage : sessionStorage).setItem(name, JSON.stringify(value))
  }
  function forget() {
    access = null
    sessionStorage.removeItem(name)
    localStorage.removeItem(name)
  }

  async function discover() {
    const address = `${config.issuer?.replace(/\/$/, '')}/.well-known/openid-configuration`
    const found = await fetch(address).then((answer) => (answer.ok ? answer.json() : null)).catch(() => null)
    if (!found) throw new Error('The sign-in server cannot be reached, or does not answer this page.')
    return found
  }

  /** Leave for the issuer. @param {boolean} keep */
  async function leave(keep) {
    if (!crypto.subtle) throw new Error('Signing in there needs https. An API token works without.')
    const { authorization_endpoint } = await discover()
    const [verifier, state] = [random(), random()]
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))
    const back = location.pathname + location.search
    sessionStorage.setItem(`${name} state`, JSON.stringify({ verifier, state, keep, back }))
    const query = new URLSearchParams({
      response_type: 'code', client_id: config.client ?? '', redirect_uri: redirect, scope: config.scope ?? 'openid', state,
      code_challenge: encode(new Uint8Array(digest)), code_challenge_method: 'S256',
      ...(config.audience && { resource: config.audience }), ...(config.scope?.includes('offline_access') && { prompt: 'consent' }),
    })
    location.assign(`${authorization_endpoint}?${query}`)
  }

  /** Back from the issuer: the address to show, or null where this is no such return. */
  async function arrive() {
    const query = new URLSearchParams(location.search)
    const kept = JSON.parse(sessionStorage.getItem(`${name} state`) ?? 'null')
    if (!kept || query.get('state') !== kept.state) return null
    sessionStorage.removeItem(`${name} state`)
    history.replaceState(null, '', kept.back)
    const iss = query.get('iss')
    const code = query.get('code')
    if (iss && iss !== config.issuer) throw new Error('Another server than the expected one has answered.') // RFC 9207
    if (!code) throw new Error(query.get('error_description') ?? 'The sign-in was not completed.')
    await exchange({ grant_type: 'authorization_code', code, redirect_uri: redirect, code_verifier: kept.verifier }, kept.keep)
    return kept.back
  }

  /** @param {Record<string, string>} fields @param {boolean} keep */
  async function exchange(fields, keep) {
    const { token_endpoint } = await discover()
    const body = new URLSearchParams({ client_id: config.client ?? '', ...(config.audience && { resource: config.audience }), ...fields })
    const answer = await fetch(token_endpoint, { method: 'POST', body }).catch(() => {
      throw new Problem(0, null)
    })
    const found = await answer.json().catch(() => ({}))
    if (!answer.ok) throw new Error(found.error_description ?? 'The sign-in server refused.')
    save({ kind: 'oidc', secret: found.refresh_token ?? fields.refresh_token ?? '' }, keep)
    access = found.access_token
  }

  async function byCookie() {
    const answer = await fetch(config.tokenUrl ?? '', { credentials: 'include' }).catch(() => null)
    const found = answer?.ok ? await answer.json().catch(() => null) : null
    if (!found?.token) throw new Error('You are not signed in there. Sign in to your app first, then try again.')
    save({ kind: 'cookie', secret: '' }, true)
    access = found.token
  }

  /** A new access token, once for all who wait for one. */
  function renew() {
    renewing ??= get().catch((error) => {
      if (error instanceof Problem) throw error
      return false
    }).finally(() => (renewing = null))
    return renewing
  }

  async function get() {
    const now = session()
    if (now?.kind === 'cookie') await byCookie()
    else if (now?.kind === 'oidc' && now.secret) {
      await exchange({ grant_type: 'refresh_token', refresh_token: now.secret }, Boolean(localStorage.getItem(name)))
    } else return false
    return true
  }

  /** The token of a request; null in stub mode. */
  async function bearer() {
    const now = config.auth === 'stub' ? null : session()
    if (!now) return null
    if (now.kind === 'token') return now.secret
    if (!access) await renew()
    return access
  }

  return { config, session, save, forget, leave, arrive, byCookie, renew, bearer }
}

/** @typedef {ReturnType<typeof makeSignIn>} SignIn */

let problem = ''
let busy = false

/** The screen. @param {SignIn} signIn @param {number} waiting @param {() => Promise<void>} entered @param {() => void} draw */
export function signInScreen(signIn, waiting, entered, draw) {
  const { config } = signIn
  /** @param {() => Promise<void>} work */
  const attempt = async (work) => {
    problem = ''
    busy = true
    draw()
    try {
      await work()
      await entered()
    } catch (error) {
      problem = /** @type {Error} */ (error).message
    }
    busy = false
    draw()
  }
  const keep = () => Boolean(/** @type {HTMLInputElement | null} */ (document.getElementById('keep'))?.checked)
  const withToken = (/** @type {any} */ event) => {
    event.preventDefault()
    const secret = event.target.elements.token.value.trim()
    if (secret) void attempt(async () => signIn.save({ kind: 'token', secret }, keep()))
  }
  const away = () => attempt(() => signIn.leave(keep()).then(() => new Promise(() => {})))
  return html`<main class="signin"><div class="signin-box">
    <h1><img class="logo" src=${document.querySelector('link[rel=icon]')?.getAttribute('href')} alt="" width="40" height="40"> taskwell</h1>
    <p>${waiting ? `Sign in again. ${waiting === 1 ? 'One change waits and is' : `${waiting} changes wait and are`} kept.` : 'Sign in to see your tasks.'}</p>
    ${problem ? html`<p class="error" role="alert">${problem}</p>` : nothing}
    ${config.client ? html`<button type="button" class="primary" ?disabled=${busy} @click=${away}>Sign in</button>` : nothing}
    ${config.tokenUrl ? html`<button type="button" class="primary" ?disabled=${busy} @click=${() => attempt(signIn.byCookie)}>Continue as signed in</button>` : nothing}
    ${config.client || config.tokenUrl ? html`<p class="or">or</p>` : nothing}
    <form @submit=${withToken}><input type="text" name="username" autocomplete="username" value="API token" hidden><label for="token">API token</label>
      <input id="token" name="token" type="password" autocomplete="current-password" placeholder="tw_…" required>
      <button type="submit" class=${config.client || config.tokenUrl ? '' : 'primary'} ?disabled=${busy}>Use the token</button></form>
    <label class="keep"><input id="keep" type="checkbox"> Keep me signed in on this device</label>
    <p class="quiet">A token is made with <code>taskwell tokens create</code>, or by the API.</p>
  </div></main>`
}

/** @param {string} text */
export function noteProblem(text) {
  problem = text
}
