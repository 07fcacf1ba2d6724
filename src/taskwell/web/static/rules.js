// A recurrence in words: in those that quick add reads, where it has some.

import { DAYS, MONTHS, zone } from './dates.js'

/** @typedef {import('./types.js').Task} Task */

const UNITS = /** @type {Record<string, string>} */ ({ MINUTELY: 'minute', HOURLY: 'hour', DAILY: 'day', WEEKLY: 'week', MONTHLY: 'month', YEARLY: 'year' })
/** By their names in a rule. */
const BY_NAME = Object.fromEntries(DAYS.map((day) => [day.slice(0, 2).toUpperCase(), day]))
const PLACES = /** @type {Record<string, string>} */ ({ 1: 'first', 2: 'second', 3: 'third', 4: 'fourth', 5: 'fifth', '-1': 'last' })

const all = (/** @type {string[]} */ words) => words.join(', ').replace(/, ([^,]*)$/, ' and $1')
const nth = (/** @type {string} */ day) => day + (/^1\d$/.test(day) ? 'th' : (['th', 'st', 'nd', 'rd'][Number(day.at(-1))] ?? 'th'))

/** On which days of a month; the last one of 28 to n is the nth, or the last of a shorter month. @param {Record<string, string>} by */
function monthDays({ BYMONTHDAY = '', BYSETPOS }) {
  const days = BYMONTHDAY.split(',')
  if (!BYSETPOS) return days.every((day) => /^[1-9]/.test(day)) ? days : null
  return BYSETPOS === '-1' && '28,29,30,31'.startsWith(BYMONTHDAY) ? [days[days.length - 1]] : null
}

/** Undefined: there are no words for it. @param {string} every @param {boolean} single @param {string} unit @param {Record<string, string>} by */
function sayDays(every, single, unit, by) {
  const names = Object.keys(by).filter((name) => name !== 'BYSETPOS').sort().join()
  const kind = `${unit} ${names}`
  if (!names && !by.BYSETPOS) return every
  if (kind === 'week BYDAY' && !by.BYSETPOS) {
    const days = by.BYDAY.split(',').map((day) => BY_NAME[day])
    if (days.includes(/** @type {any} */ (undefined))) return
    const said = by.BYDAY === 'MO,TU,WE,TH,FR' ? 'weekday' : all(days)
    return single ? `every ${said}` : said !== 'weekday' ? `${every} on ${said}` : `${every} on ${all(days)}`
  }
  if (kind === 'month BYDAY' && !by.BYSETPOS) {
    const [, place, day] = /^(-?\d)(..)$/.exec(by.BYDAY) ?? []
    if (!PLACES[place] || !BY_NAME[day]) return
    return `${single && Math.abs(Number(place)) === 1 ? 'every' : `${every} on the`} ${PLACES[place]} ${BY_NAME[day]}`
  }
  const days = monthDays(by)
  if (kind === 'month BYMONTHDAY') {
    if (single && (by.BYMONTHDAY === '-1' || (by.BYSETPOS && days?.[0] === '31'))) return 'every last day of the month'
    return days ? `${every} on the ${all(days.map(nth))}` : undefined
  }
  const month = MONTHS[Number(by.BYMONTH) - 1]
  if (kind === 'year BYMONTH,BYMONTHDAY' && month && days?.length === 1) return `${single ? 'every' : `${every} on`} ${days[0]} ${month}`
}

/** @param {Task} task */
export function sayRule({ recurrence, recurrence_mode }) {
  if (!recurrence) return ''
  const { FREQ, INTERVAL = '1', COUNT, UNTIL, WKST, ...by } = Object.fromEntries(recurrence.toUpperCase().split(';').map((part) => part.split('=')))
  const unit = UNITS[FREQ]
  const single = INTERVAL === '1'
  let said = unit && sayDays(`every ${single ? unit : `${INTERVAL} ${unit}s`}`, single, unit, by)
  if (!said) return recurrence
  if (recurrence_mode === 'completion') said = Object.keys(by).length ? said.replace('every', 'every!') : `after ${INTERVAL} ${unit}${single ? '' : 's'}`
  const [, year, month, day] = /^(\d{4})(\d\d)(\d\d)/.exec(UNTIL) ?? []
  if (year) said += ` until ${Number(day)} ${MONTHS[Number(month) - 1]?.slice(0, 3)} ${year}`
  return said + (COUNT === '1' ? ' once' : COUNT ? ` for ${COUNT} times` : '')
}

/** A rule in words as quick add reads it, behind a title. There "once" alone would be a word of titles. @param {string} text */
export const asQuickWords = (text) => `x ${text.replace(/ once$/i, ' for 1 time')}`

/** The fields that words change; null: they are not understood. @param {import('./words.js').QuickWords | undefined} words behind a title `x` @param {Task} task */
export function readRule(words, task) {
  const kinds = words?.spans.map(({ kind }) => kind) ?? []
  if (!words?.recurrence || words.title !== 'x' || kinds.some((kind) => !['recurrence', 'date', 'time'].includes(kind))) return null
  const isEach = task.recurrence_mode === 'each' && words.recurrence_mode === 'next'
  /** @type {Record<string, any>} */
  const fields = { recurrence: words.recurrence, recurrence_mode: isEach ? 'each' : words.recurrence_mode }
  const known = kinds.includes('date') ? null : (task.due ?? task.start)
  const due = words.due ?? ''
  if (known && due.length === 10) return fields
  fields.due = (known ?? due).slice(0, 10) + (due.slice(10) || (task.due?.slice(10) ?? ''))
  if (fields.due.length > 10) fields.time_zone = task.time_zone ?? zone()
  return fields
}
