// Days and times as the user sees them. A date is no instant: only a time in a zone has one.

/** @typedef {import('./types.js').Task} Task */

const pad = (/** @type {number} */ number) => String(number).padStart(2, '0')

export const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone

/** @param {Date} date */
export const dayOf = (date) => `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`

/** @param {string} day @param {number} days */
export function addDays(day, days) {
  const date = new Date(`${day}T12:00:00`)
  date.setDate(date.getDate() + days)
  return dayOf(date)
}

/** @param {string} day 0 is Sunday */
export const weekday = (day) => new Date(`${day}T12:00:00`).getDay()

/** @param {string} from @param {string} to */
export const daysBetween = (from, to) => Math.round((Date.parse(`${to}T00:00Z`) - Date.parse(`${from}T00:00Z`)) / 86_400_000)

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map()

/** What clocks in a zone show at an instant, as if it were UTC. @param {number} instant @param {string} name */
function shown(instant, name) {
  let format = formats.get(name)
  if (!format) {
    format = new Intl.DateTimeFormat('sv', { timeZone: name, dateStyle: 'short', timeStyle: 'medium' })
    formats.set(name, format)
  }
  return Date.parse(`${format.format(instant).replace(' ', 'T')}Z`)
}

/** The instant of a local time in a zone; where clocks leave it out, by the offset before. @param {string} local @param {string} name */
function instantOf(local, name) {
  const wanted = Date.parse(`${local}Z`)
  const before = wanted - (shown(wanted - 86_400_000, name) - (wanted - 86_400_000))
  const after = wanted - (shown(wanted + 86_400_000, name) - (wanted + 86_400_000))
  return shown(before, name) === wanted || shown(after, name) !== wanted ? before : after
}

/** When a task is due on the clock of this device. @param {Pick<Task, 'due' | 'due_at' | 'time_zone'>} task @returns {{day: string, time: string | null} | null} */
export function dueOf({ due, due_at, time_zone }) {
  if (!due) return null
  if (due.length === 10) return { day: due, time: null }
  if (!time_zone) return { day: due.slice(0, 10), time: due.slice(11, 16) }
  const date = new Date(due_at ? Date.parse(due_at) : instantOf(due, time_zone))
  return { day: dayOf(date), time: `${pad(date.getHours())}:${pad(date.getMinutes())}` }
}

// Of a day, not of an instant: the device's zone, which may change, must not move it.
const format = (/** @type {Intl.DateTimeFormatOptions} */ options) => new Intl.DateTimeFormat('en-GB', { ...options, timeZone: 'UTC' })
const short = format({ weekday: 'short' })
const long = format({ weekday: 'long', day: 'numeric', month: 'long' })
const month = format({ day: 'numeric', month: 'short' })
const year = format({ day: 'numeric', month: 'short', year: 'numeric' })
const noon = (/** @type {string} */ day) => new Date(`${day}T12:00:00Z`)

/** @param {string} day @param {string} today */
export function sayDay(day, today) {
  const days = daysBetween(today, day)
  if (days === 0) return 'Today'
  if (days === 1) return 'Tomorrow'
  if (days === -1) return 'Yesterday'
  if (days > 1 && days < 7) return short.format(noon(day))
  return (day.slice(0, 4) === today.slice(0, 4) ? month : year).format(noon(day))
}

/** As a heading. @param {string} day @param {string} today */
export function headDay(day, today) {
  const days = daysBetween(today, day)
  const word = days === 1 ? 'Tomorrow · ' : days === 0 ? 'Today · ' : ''
  return word + long.format(noon(day)) + (day.slice(0, 4) === today.slice(0, 4) ? '' : ` ${day.slice(0, 4)}`)
}

/** @param {string} instant */
export const sayMoment = (instant) => new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(instant))
