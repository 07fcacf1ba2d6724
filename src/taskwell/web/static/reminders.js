// Reminders in words, and those that the details offer.

import { sayMoment } from './dates.js'

/** @typedef {import('./types.js').Context} Context */
/** @typedef {import('./types.js').Task} Task */
/** @typedef {Task['reminders'][number]} Reminder */

const DURATION = /^(-?)P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$/
const UNITS = ['week', 'day', 'hour', 'minute', 'second']
/** What is offered of a time, and of a date, which begins at midnight. */
const OF_TIMES = ['PT0S', '-PT5M', '-PT15M', '-PT1H', '-P1D']
const OF_DATES = ['PT9H', '-PT6H', '-PT15H', '-P6DT15H']
const DAY = 1_440 // minutes

/** @param {Reminder} reminder @param {Pick<Task, 'start' | 'due'>} task */
export function sayReminder({ trigger, from }, { start, due }) {
  const [, sign, ...found] = DURATION.exec(trigger) ?? []
  if (!found.length) return sayMoment(trigger) // an instant, or a local time
  const numbers = found.map((number) => Number(number ?? 0))
  const [weeks, days, hours, minutes, seconds] = numbers
  const ofStart = !due || from === 'start'
  const end = ofStart && due ? ' (start)' : ''
  const minute = (((weeks * 7 + days) * 24 + hours) * 60 + minutes) * (sign ? -1 : 1)
  const before = -Math.floor(minute / DAY)
  const clock = minute + before * DAY
  if ((ofStart ? start : due)?.length === 10 && before >= 0 && !seconds)
    return `${Math.floor(clock / 60)}:${String(clock % 60).padStart(2, '0')} ${['that day', 'the day before'][before] ?? `${before} days before`}${end}`
  const said = numbers.map((number, unit) => (number ? `${number} ${UNITS[unit]}${number > 1 ? 's' : ''} ` : '')).join('')
  return `${said ? said + (sign ? 'before' : 'after') : 'At the time'}${end}`
}

/** Triggers that one choice adds. @param {Task} task */
export function offered({ due, start, reminders }) {
  const date = due ?? start
  const offers = !date ? [] : date.length === 10 ? OF_DATES : OF_TIMES
  return offers.filter((offer) => !reminders?.some(({ trigger }) => trigger === offer))
}

/** Show a reminder whose time has come. @param {Context} context @param {{task_id: string, kind: string}} reminder */
export function remind({ store, say }, { task_id, kind }) {
  const task = store.get('task', task_id)
  if (!task) return
  const body = kind === 'due' ? 'Due now' : 'Reminder'
  say(`${body}: “${task.title}”`)
  if (globalThis.Notification?.permission === 'granted') new Notification(task.title, { tag: task_id, body })
}
