/**
 * A typed client of taskwell: openapi-fetch with the types of the server's OpenAPI document, and what makes it handy.
 */
import createClient, { type Client } from 'openapi-fetch'
import type { components, paths } from './schema.js'

export type { components, paths } from './schema.js'
export type Task = components['schemas']['TaskRead']
export type TaskDeleted = components['schemas']['TaskDeleted']
export type TaskCreate = components['schemas']['TaskCreate']
export type TaskUpdate = components['schemas']['TaskUpdate']
export type ChangePage = components['schemas']['ChangePage']
export type Problem = components['schemas']['Problem']
export type Taskwell = Client<paths>

/** The server refused. A program decides by `problem.type`, a person is shown `problem.detail`. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError'

  constructor(
    readonly problem: Problem,
    readonly response: Response,
  ) {
    super(`${problem.type}: ${problem.detail}`)
  }
}

/** A client of the server at this URL. A token that expires is given by a function, which is asked before each request. */
export function connect(baseUrl: string, token?: string | (() => string | Promise<string>)): Taskwell {
  const client = createClient<paths>({ baseUrl })
  if (token !== undefined) {
    client.use({
      async onRequest({ request }) {
        request.headers.set('Authorization', `Bearer ${typeof token === 'string' ? token : await token()}`)
        return request
      },
    })
  }
  return client
}

type Answer<T> = { data?: T; error?: unknown; response: Response }

/** What was asked for. Throws a ProblemError if the answer is a problem. */
export async function expect<T>(answering: Promise<Answer<T>>): Promise<T> {
  const answer = await answering
  if (isProblem(answer.error)) throw new ProblemError(answer.error, answer.response)
  if (!answer.response.ok) throw new Error(`status ${answer.response.status}, and no problem`)
  return answer.data as T
}

/** Every task of a list, page by page; `page` asks for the one at a cursor. */
export async function* pages(page: (cursor?: string) => Promise<Answer<Task[]>>): AsyncGenerator<Task> {
  let cursor: string | undefined
  do {
    const answer = await page(cursor)
    yield* await expect(Promise.resolve(answer))
    const next = /<([^>]*)>; rel="next"/.exec(answer.response.headers.get('Link') ?? '')?.[1]
    cursor = next && (new URL(next, answer.response.url).searchParams.get('cursor') ?? undefined)
  } while (cursor !== undefined)
}

/** Bring the copy of the tasks up to date; `changes` asks for what has changed since, without `types`. Keep what is returned for the next time. */
export async function sync(
  changes: (since?: string) => Promise<Answer<ChangePage>>,
  copy: Map<string, Task>,
  since?: string,
): Promise<string> {
  for (;;) {
    const answer = await changes(since)
    if (answer.response.status === 410 && since !== undefined) {
      copy.clear()
      since = undefined
      continue
    }
    const page = await expect(Promise.resolve(answer))
    for (const change of page.changes) {
      if ('type' in change) continue
      if ('deleted' in change) copy.delete(change.id)
      else copy.set(change.id, change)
    }
    since = page.next
    if (!page.more) return since
  }
}

function isProblem(value: unknown): value is Problem {
  return typeof value === 'object' && value !== null && 'type' in value && 'detail' in value
}
