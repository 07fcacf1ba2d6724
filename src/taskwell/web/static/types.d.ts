// The types of the scripts, which are JavaScript: `tsc` checks them by their comments. Never served.
import type { components } from 'taskwell-api'

type Schemas = components['schemas']

/** `waiting`: a change of it is not on the server yet. The server adds what is optional here. */
export type Task = Schemas['TaskRead'] & {
  waiting?: boolean
  recurrence?: string | null
  deleted_at?: string
}
export type List = Schemas['ListRead'] & { waiting?: boolean }
export type Label = { name: string; color: string | null; position: string | null; version: number; waiting?: boolean }
export type Kind = 'task' | 'list' | 'label'

/** A write, before it is queued. `record`: what a restore brings back. `before`: what the fields were. */
export interface Write {
  op: 'create' | 'update' | 'delete' | 'restore' | 'move' | 'rename' | 'undo' | 'skip' | 'batch'
  kind: Kind
  id: string
  fields?: Record<string, any>
  before?: Record<string, any>
  record?: any
  writes?: Write[]
  versions?: number[]
}

/** A queued write. `key`: its Idempotency-Key; entries are sent in the order of their keys. */
export interface Entry extends Write {
  key: string
  at: number
  problem?: { status: number; detail: string }
  theirs?: Record<string, any>
}

export type View = { name: string; id?: string; q?: string }
export type Item = { head: string; count?: number } | { task: Task; depth: number; parent?: string }
export type Store = import('./store.js').Store
export type Api = ReturnType<typeof import('./api.js').makeApi>

export interface Choice {
  value: string
  text: string
  hint?: string
  color?: string | null
}

export interface Palette {
  title: string
  placeholder: string
  choices: (typed: string) => Choice[]
  pick: (value: string) => void
}

/** What all parts of the screen share. */
export interface Context {
  store: Store
  api: Api
  root: string
  view: View
  items: Item[]
  title: string
  empty: string[]
  openTask: string | null
  focused: string | null
  selected: Set<string>
  lingering: Map<string, number>
  palette: Palette | null
  dialog: 'help' | 'settings' | 'signout' | null
  sidebarOpen: boolean
  toast: { text: string; undo: boolean } | null
  account: { user: string; email: string | null; mode: string }
  trash: Task[] | null
  history: { id: string; records: any[] | null; error?: string } | null
  updated: boolean
  draw: () => void
  go: (view: View) => void
  show: (id: string | null) => void
  focusRow: (id: string | null) => void
  focusField: (id: string) => void
  say: (text: string, undo?: boolean) => void
  choose: (palette: Palette) => void
  grab: (event: PointerEvent) => void
  signOut: (force?: boolean) => void
  words: ((text: string) => import('./words.js').QuickWords) | null
}
