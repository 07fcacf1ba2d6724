// The types of words.js, for `tsc` alone. Never served.
export interface QuickWords {
  title: string
  due: string | null
  recurrence: string | null
  recurrence_mode: 'next' | 'completion'
  list_name: string | null
  labels: string[]
  priority: number | null
  description: string | null
  unknown_lists: string[]
  spans: { start: number; end: number; kind: string }[]
  problem: 'nothing_left' | 'too_long' | null
}
export function localNow(date?: Date): string
export function parse(text: string, now: string, lists?: string[]): QuickWords
