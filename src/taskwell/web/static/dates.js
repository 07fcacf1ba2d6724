// Days and times as the user sees them. A date is no instant: only a time in a zone has one.

/** @typedef {import('./types.js').Task} Task */

const pad = (/** @type {number} */ number) => String(number).padStart(2, '0')

/** Of Sunday and the days after it, of January and the months after it. The browser's own cost some 20 ms when they are first asked for. */
export const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ')
export const MONTHS = 'January February March April May June July August September October November December'.split(' ')

export const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone

/** Changes with the zone, whose name costs a millisecond. */
export const offsets = () => [0, 6].map((month) => new Date(2030, month).getTimezoneOffset()).join()

/** @param {Date} date */
export const dayOf = (date) => `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`

/** What a clock shows: the day, and the minute. @param {Date} date */
export const momentOf = (date) => `${dayOf(date)}T${pad(date.getHours())}:${pad(date.getMinutes())}`

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
  const moment = time_zone ? momentOf(new Date(due_at ? Date.parse(due_at) : instantOf(due, time_zone))) : due
  return { day: moment.slice(0, 10), time: moment.slice(11, 16) }
}

/** With the year, if that is another one. @param {string} day @param {string} today @param {number} [letters] of the month */
function sayDate(day, today, letters) {
  const [year, month, date] = day.split('-').map(Number)
  return `${date} ${MONTHS[month - 1].slice(0, letters)}${today.startsWith(`${year}-`) ? '' : ` ${year}`}`
}

/** @param {string} day @param {string} today */
export function sayDay(day, today) {
  const days = daysBetween(today, day)
  if (days === 0) return 'Today'
  if (days === 1) return 'Tomorrow'
  if (days === -1) return 'Yesterday'
  if (days > 1 && days < 7) return DAYS[weekday(day)].slice(0, 3)
  return sayDate(day, today, 3)
}

/** As a heading. @param {string} day @param {string} today */
export function headDay(day, today) {
  const days = daysBetween(today, day)
  const word = days === 1 ? 'Tomorrow · ' : days === 0 ? 'Today · ' : ''
  return `${word}${DAYS[weekday(day)]} ${sayDate(day, today)}`
}

/** @param {string} instant */
export const sayMoment = (instant) => new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(instant))
