// Requests to the REST API: bearer tokens, problems, the clock of the server, and the stream of events.

/** An answer that is no success (RFC 9457), or none at all: then `status` is 0. */
export class Problem extends Error {
  /** @param {number} status @param {any} body @param {Headers} [headers] */
  constructor(status, body, headers) {
    super(body?.detail ?? (status ? `The server answered ${status}.` : 'There is no connection to the server.'))
    this.status = status
    this.type = String(body?.type ?? '')
    this.retryAfter = Number(headers?.get('retry-after') ?? 0)
  }
}

/** An id whose first part is its time (UUIDv7). Not `randomUUID`: browsers have that over https alone. */
export function uuid(time = Date.now()) {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  for (let place = 5, rest = time; place >= 0; place--, rest = Math.floor(rest / 256)) bytes[place] = rest % 256
  bytes[6] = (bytes[6] & 0x0f) | 0x70
  bytes[8] = (bytes[8] & 0x3f) | 0x80
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

const SILENT_MS = 40_000 // the server writes a comment every 15 s
const OFF_MS = 90_000 // of a clock that is wrong; less is the way's delay

/** @param {() => Promise<string | null>} bearer gives a token; @param {() => Promise<boolean>} renew gets a new one */
export function makeApi(/** @type {string} */ root, bearer = async () => /** @type {string | null} */ (null), renew = async () => false) {
  let offset = 0 // of the server's clock to this one's

  /** @param {string} method @param {string} path @param {Record<string, string>} headers @param {string} [body] @param {AbortSignal} [signal] */
  async function send(method, path, headers, body, signal) {
    const token = await bearer()
    /** @type {Record<string, string>} */
    const all = { ...headers, ...(token && { Authorization: `Bearer ${token}` }) }
    if (body !== undefined) all['Content-Type'] = 'application/json'
    const answer = await fetch(root + path, { method, headers: all, body, signal, cache: 'no-store' }).catch((error) => {
      throw signal?.aborted ? error : new Problem(0, null)
    })
    const date = Date.parse(answer.headers.get('date') ?? '')
    if (date) offset = Math.abs(date - Date.now()) > OFF_MS ? date - Date.now() : 0
    return answer
  }

  /** @param {string} method @param {string} path @param {{body?: unknown, headers?: Record<string, string>, signal?: AbortSignal}} [options] */
  async function open(method, path, { body, headers = {}, signal } = {}) {
    const text = body === undefined ? undefined : JSON.stringify(body)
    let answer = await send(method, path, headers, text, signal)
    if (answer.status === 401 && (await renew())) answer = await send(method, path, headers, text, signal)
    if (answer.ok) return answer
    throw new Problem(answer.status, await answer.json().catch(() => null), answer.headers)
  }

  /** The answer's JSON; null if it has no body. @param {string} method @param {string} path @param {{body?: unknown, headers?: Record<string, string>, signal?: AbortSignal}} [options] @returns {Promise<any>} */
  async function request(method, path, options) {
    const answer = await open(method, path, options)
    if (answer.status === 204) return null
    const body = await answer.json().catch(() => {
      throw new Problem(0, null) // it broke off
    })
    const completion = answer.headers.get('completion') // no member of the task
    return completion ? Object.defineProperty(body, 'completion', { value: completion }) : body
  }

  /**
   * Follow the changes after a cursor, until the stream ends or is silent for too long.
   * @param {string} since @param {(name: string, id: string, record: any) => void} take @param {AbortSignal} signal
   */
  async function stream(since, take, signal) {
    const own = new AbortController()
    const stop = () => own.abort()
    signal.addEventListener('abort', stop)
    let watchdog = setTimeout(stop, SILENT_MS)
    try {
      const answer = await open('GET', '/api/events', { headers: { 'Last-Event-ID': since }, signal: own.signal })
      const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).getReader()
      const decoder = new TextDecoder()
      for (let rest = '', read; !(read = await reader.read()).done; ) {
        clearTimeout(watchdog)
        watchdog = setTimeout(stop, SILENT_MS)
        const events = (rest + decoder.decode(read.value, { stream: true })).split('\n\n')
        rest = events.pop() ?? ''
        for (const event of events) {
          const found = /^id: (.*)\nevent: (.*)\ndata: (.*)$/m.exec(event)
          if (found) take(found[2], found[1], JSON.parse(found[3]))
        }
      }
    } catch (error) {
      if (error instanceof Problem) throw error
      if (!signal.aborted) throw new Problem(0, null)
    } finally {
      clearTimeout(watchdog)
      signal.removeEventListener('abort', stop)
    }
  }

  return { request, stream, now: () => Date.now() + offset }
}
