// Quick add: the dates, lists, labels and the priority that a line of text names, and the title that is left.
// The same grammar as `core/quick_words.py`, whose comments have the reasons; both run tests/quick/cases.json.

/**
 * @typedef {'date'|'time'|'recurrence'|'list'|'label'|'priority'|'description'} Kind
 * @typedef {{start: number, end: number, kind: Kind}} Span `text.slice(start, end)` is no part of the title.
 * @typedef {object} QuickWords
 * @property {string} title
 * @property {?string} due `2026-11-20`, or a local time `2026-11-20T18:00:00`
 * @property {?string} recurrence an RRULE value
 * @property {'next'|'completion'} recurrence_mode
 * @property {?string} list_name as it is written in `lists`
 * @property {string[]} labels
 * @property {?number} priority 1, 5, 9, or null
 * @property {?string} description
 * @property {string[]} unknown_lists names after a `#` that are of no list
 * @property {Span[]} spans in order, without overlaps
 * @property {?('nothing_left'|'too_long')} problem
 * @typedef {{start: number, coreEnd: number, end: number, raw: string, core: string, tail: string,
 *   quoted: ?string, lead: string}} Word
 * @typedef {{words: Word[], start: number, end: number, prefix: string}} Place
 */

export const TEXT_MAX_LENGTH = 1000
const LIST_MAX_WORDS = 8

// --- Tables -------------------------------------------------------------------------------------------------

/** @returns {Map<string, number>} */
const table = (text) =>
  new Map(
    text.trim().split('\n').flatMap((line) => {
      const [number, words] = line.split(':')
      return words.trim().split(' ').map((word) => [word, Number(number)])
    }),
  )
const set = (text) => new Set(text.trim().split(/\s+/))

const NUMBERS = table(`
1: a an one ein eine einen einem einer
2: two zwei
3: three drei
4: four vier
5: five fünf
6: six sechs
7: seven sieben
8: eight acht
9: nine neun
10: ten zehn
11: eleven elf
12: twelve zwölf`)
const WEEKDAYS = table(`
0: monday mon montag
1: tuesday tue tues dienstag
2: wednesday wed weds mittwoch
3: thursday thu thur thurs donnerstag
4: friday fri freitag
5: saturday sat samstag sonnabend
6: sunday sun sonntag`)
const SHORT_WEEKDAYS = new Map([...WEEKDAYS, ...table('0: mo\n1: di\n2: mi\n3: do\n4: fr\n5: sa\n6: so')])
const MONTHS = table(`
1: january jan januar jänner
2: february feb februar
3: march mar märz mär
4: april apr
5: may mai
6: june jun juni
7: july jul juli
8: august aug
9: september sep sept
10: october oct oktober okt
11: november nov
12: december dec dezember dez`)
const ORDINALS = table(`
1: first 1st ersten erste erster erstes
2: second 2nd zweiten zweite zweiter zweites
3: third 3rd dritten dritte dritter drittes
4: fourth 4th vierten vierte vierter viertes
5: fifth 5th fünften fünfte fünfter fünftes
-1: last letzten letzte letzter letztes`)
const UNITS = new Map(
  Object.entries({
    DAILY: 'day days tag tage tagen',
    WEEKLY: 'week weeks woche wochen',
    MONTHLY: 'month months monat monate monaten',
    YEARLY: 'year years jahr jahre jahren',
  }).flatMap(([unit, words]) => words.split(' ').map((word) => [word, unit])),
)
const LETTERS = { d: 'DAILY', w: 'WEEKLY', m: 'MONTHLY', y: 'YEARLY' }
const PARTS = table(`
540: morning morgen früh vormittag
720: mittag
840: afternoon nachmittag
1200: evening night abend`)
const PRIORITIES = { 1: 1, 2: 5, 3: 9, 4: null }

const NO_DATE_AFTER = set(
  'the a an my your his our their its of for to from about before after since until till last past first second ' +
    'third fourth fifth sixth 1st 2nd 3rd 4th 5th 6th black good cyber easter ash palm der die das den dem des ein eine ' +
    'einen einem für vor nach seit vom letzten letzte letzter ersten zweiten dritten vierten fünften',
)
const NO_MORGEN_AFTER = set('guten am jeden jeder diesen gestern schönen einen der zum')
const DOUBTFUL = set('mon wed sat sun weekend may mar march tom tod')
const NO_DOUBTFUL_AFTER = set('i he she we they you who it in under into mit with and or und')
const NO_TOM_AFTER = set(
  'call ask tell meet for to from email mail text see visit help invite remind of by thank phone message ping ' +
    'uncle mr give show let pay',
)
const AFTER_HOUR = set('with for in on and then to or but sharp mit für und zum zur beim bei')
const COUNTED = set(
  'prozent % euro € tag tage tagen stunde stunden minute minuten woche wochen monat monate monaten jahr ' +
    'jahre jahren kg km cm m grad punkte stellen',
)
const OPENERS = set(
  'at by um every jeden jede jedes alle until noon tonight p1 p2 p3 p4 mittags gegen starting',
)
const NO_NUMBER_AFTER = set(
  'version section chapter verse step page paragraph ratio score kapitel abschnitt seite nr no § v',
)
const RANGES = set('- – — to till until through bis')
const ANDS = set('and und & or oder')

// --- Words --------------------------------------------------------------------------------------------------

const WHITE = new Set(
  '\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a' +
    '\u2028\u2029\u202f\u205f\u3000',
)
const LEADS = new Set('([{')
const TAILS = new Set(',;:.!?)]}…')
const QUOTES = new Map([['"', '"'], ['“', '”'], ['„', '“”'], ['«', '»'], ['»', '«']])
const MOST = 366

/** The words, and where the notes begin. @returns {{words: Word[], notes: number}} */
function split(text) {
  const last = new Map([...'"”“»«'].map((closer) => [closer, text.lastIndexOf(closer)]))
  const words = []
  let at = 0
  while (at < text.length) {
    if (WHITE.has(text[at])) at += 1
    else if (text.startsWith('//', at)) return { words, notes: at }
    else {
      words.push(wordAt(text, at, last))
      at = words.at(-1).end
    }
  }
  return { words, notes: text.length }
}

/** @returns {Word} */
function wordAt(text, start, last) {
  let coreStart = start
  while (LEADS.has(text[coreStart])) coreStart += 1
  const opening = coreStart + ('#@'.includes(text[coreStart] ?? ' ') ? 1 : 0)
  const closing = closingOf(text, opening, last)
  let end = closing === null ? opening : closing + 1
  while (end < text.length && !WHITE.has(text[end])) end += 1
  let coreEnd = end
  while (coreEnd > coreStart && TAILS.has(text[coreEnd - 1])) coreEnd -= 1
  const lead = text.slice(start, coreStart)
  const raw = text.slice(coreStart, coreEnd)
  const tail = text.slice(coreEnd, end)
  if (closing === null) return { start, coreEnd, end, raw, core: coreOf(raw), tail, quoted: null, lead }
  const whole = opening > coreStart && closing + 1 === coreEnd
  const quoted = whole ? text.slice(opening + 1, closing) : null
  return { start, coreEnd, end, raw, core: '', tail, quoted, lead }
}

function closingOf(text, opening, last) {
  const closers = QUOTES.get(text[opening]) ?? ''
  const found = [...closers].filter((closer) => last.get(closer) > opening)
  return found.length ? Math.min(...found.map((closer) => text.indexOf(closer, opening + 1))) : null
}

const coreOf = (raw) => raw.normalize('NFC').toLowerCase().replaceAll('’', "'")
const withSpaces = (text) => text.split('').map((character) => (WHITE.has(character) ? ' ' : character)).join('')
const pieces = (text) => withSpaces(text).split(' ').filter(Boolean)

function trimmed(text) {
  let start = 0
  while (WHITE.has(text[start])) start += 1
  return text.slice(start, trimmedEnd(text, start))
}

function trimmedEnd(text, start = 0) {
  let end = text.length
  while (end > start && WHITE.has(text[end - 1])) end -= 1
  return end
}

/** What two spellings of a name have in common. */
const fold = (text) =>
  text.normalize('NFC').toUpperCase().toLowerCase().replaceAll('ς', 'σ').normalize('NFC')

// --- Classes of words: what a word means, null if it is not of the class ------------------------------------

const whole = (pattern) => new RegExp(`^(?:${pattern})$`)
const reader = (pattern, value) => {
  const compiledOnce = whole(pattern)
  return (word) => {
    const found = compiledOnce.exec(word.core)
    return found ? value(found, word) : null
  }
}
const inTable = (map) => (word) => map.get(word.core) ?? null
const time = (hour, minute) => Number(hour) * 60 + Number(minute ?? 0)
const halfDay = (hour, minute) => (Number(hour) % 12) * 60 + Number(minute ?? 0)

const DAY = '([1-9]|[12][0-9]|3[01])(st|nd|rd|th)?'
const HOUR = '([01]?[0-9]|2[0-3])'
const HALF = '(0?[1-9]|1[0-2])(?:[:.]([0-5][0-9]))?'
const day = reader(DAY, (found) => Number(found[1]))
const number = (word) => {
  if (!/^[1-9][0-9]{0,2}$/.test(word.core)) return NUMBERS.get(word.core) ?? null
  return Number(word.core) <= MOST ? Number(word.core) : null
}
const weekdays = (word) => {
  const range = /^([a-z]+)[-–]([a-z]+)$/.exec(word.core)
  if (range) {
    const first = SHORT_WEEKDAYS.get(range[1])
    const last = SHORT_WEEKDAYS.get(range[2])
    if (first === undefined || last === undefined) return null
    return Array.from({ length: ((last - first + 7) % 7) + 1 }, (_, index) => (first + index) % 7)
  }
  const names = word.core.split(',')
  const found = names.length > 8 ? [undefined] : names.map((name) => SHORT_WEEKDAYS.get(name))
  return found.includes(undefined) ? null : found
}
const ordinal = (word) =>
  /^[1-5]$/.test(word.core) && word.tail === '.' ? Number(word.core) : (ORDINALS.get(word.core) ?? null)
const nth = (word) => (word.tail[0] === '.' || 'tdh'.includes(word.core.at(-1) ?? ' ') ? day(word) : null)
const germanNth = (word) => (/^[0-9]+$/.test(word.core) && word.tail[0] === '.' ? day(word) : null)
const DOTTED = '(0?[1-9]|[12][0-9]|3[01])\\.(0?[1-9]|1[0-2])'
const dotted = reader(`${DOTTED}(?:\\.(2[01][0-9]{2}|[0-9]{2}))?`, (found, word) => {
  if (found[3] === undefined && word.tail[0] !== '.') return null
  return [Number(found[1]), Number(found[2]), found[3] === undefined ? null : 2000 + (Number(found[3]) % 1000)]
})
const iso = reader(
  '(2[01][0-9][0-9])-([0-9]{2})-([0-9]{2})(?:t([01][0-9]|2[0-3]):([0-5][0-9])(?::00)?)?',
  (found) => [
    ...found.slice(1, 4).map(Number),
    found[4] === undefined ? null : time(found[4], found[5]),
  ],
)
const MERIDIEM = new Map([['am', 0], ['a.m', 0], ['pm', 720], ['p.m', 720]])

/** The class by its name: how it reads a word, and what may stand behind the core of the word. */
const CLASSES = new Map(
  Object.entries({
    num: [number],
    times: [reader('[1-9][0-9]{0,3}', (found) => Number(found[0]))],
    unit: [inTable(UNITS)],
    weekday: [inTable(WEEKDAYS)],
    weekdays: [weekdays],
    ordinal: [ordinal, ['', '.']],
    day: [day, ['', '.']],
    'day,': [day, ['', '.', ',']],
    nth: [nth, ['', '.']],
    'n.': [germanNth, ['.']],
    month: [inTable(MONTHS), ['', '.']],
    year: [reader('2[01][0-9][0-9]', (found) => Number(found[0]))],
    iso: [iso],
    dotted: [dotted],
    open: [reader(DOTTED, (found) => [Number(found[1]), Number(found[2]), null])],
    shift: [
      reader('\\+([1-9][0-9]{0,2})([dwmy])', (found) =>
        Number(found[1]) <= MOST ? [Number(found[1]), LETTERS[found[2]]] : null,
      ),
    ],
    hour: [reader(HOUR, (found) => time(found[1]))],
    minute: [reader('[0-5][0-9]', (found) => Number(found[0]))],
    clock: [reader(`${HOUR}:([0-5][0-9])`, (found) => time(found[1], found[2]))],
    'clock.': [reader(`${HOUR}\\.([0-5][0-9])`, (found) => time(found[1], found[2]))],
    half: [reader(HALF, (found) => halfDay(found[1], found[2]))],
    meridiem: [inTable(MERIDIEM)],
    half_day: [
      reader(`${HALF}([ap])\\.?m`, (found) => halfDay(found[1], found[2]) + (found[3] === 'p' ? 720 : 0)),
    ],
    part: [inTable(PARTS)],
  }).map(([name, [value, tails]]) => [name, { value, tails: tails ?? [''] }]),
)
const means = (name, word) => CLASSES.get(name).value(word) !== null

// --- Patterns -----------------------------------------------------------------------------------------------

/** `a|b` words, `<class>` a captured value, `<class+>` several, `[...]` what may be absent. */
const compiled = (text) =>
  text.match(/\[[^\]]*\]|[^ ]+/g).map((part) =>
    part.startsWith('[')
      ? { optional: true, elements: part.slice(1, -1).split(' ').map(elementOf) }
      : { optional: false, elements: [elementOf(part)] },
  )

function elementOf(text) {
  if (text.startsWith('<')) {
    const repeats = text.endsWith('+>')
    const read = CLASSES.get(text.slice(1, repeats ? -2 : -1))
    return { read, captures: true, repeats }
  }
  const names = new Set(text.replaceAll('!', '').split('|'))
  const tails = text.includes('!') ? ['', '!'] : ['']
  return { read: { value: (word) => (names.has(word.core) ? true : null), tails }, captures: false, repeats: false }
}

function match(pattern, words, start) {
  let at = start
  let tails = ['']
  const values = []
  for (const { optional, elements } of pattern) {
    const found = run(elements, words, at, at > start ? tails : null)
    if (found) {
      at = found.at
      tails = found.tails
      values.push(...found.values)
    } else if (optional) values.push(...elements.filter((element) => element.captures).map(() => null))
    else return null
  }
  return { end: at, values }
}

function run(elements, words, at, tails) {
  const values = []
  for (const element of elements) {
    let value = follows(words, at, tails) ? valueAt(element, words, at) : null
    if (value === null) return null
    at += 1
    tails = element.read.tails
    if (element.repeats) [value, at] = more(element, words, at, value)
    if (element.captures) values.push(value)
  }
  return { at, tails, values }
}

const valueAt = (element, words, at) => (words[at]?.core ? element.read.value(words[at]) : null)
const follows = (words, at, tails) =>
  tails === null || (at < words.length && tails.includes(words[at - 1].tail) && !words[at].lead)

function more(element, words, at, first) {
  const values = [first]
  const tails = [...element.read.tails, ',', '.,']
  while (at < words.length && tails.includes(words[at - 1].tail)) {
    const comma = words[at - 1].tail.includes(',')
    const conjunction = ANDS.has(words[at].core) && !words[at].tail
    const then = at + (conjunction ? 1 : 0)
    const value = comma || conjunction ? valueAt(element, words, then) : null
    if (value === null) break
    values.push(value)
    at = then + 1
  }
  return [values, at]
}

// --- Days: numbers of days since 1970-01-01 -----------------------------------------------------------------

const MS = 86_400_000
const dayNumber = (year, month, of) => Date.UTC(year, month - 1, of) / MS
const parts = (of) => {
  const date = new Date(of * MS)
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() }
}
const weekdayOf = (of) => (((of + 3) % 7) + 7) % 7
const lengthOf = (year, month) => new Date(Date.UTC(year, month, 0)).getUTCDate()
const pad = (value, length = 2) => String(value).padStart(length, '0')
const isoText = (of) => {
  const { year, month, day: number_ } = parts(of)
  return `${pad(year, 4)}-${pad(month)}-${pad(number_)}`
}
const range = (length) => Array.from({ length }, (_, index) => index)
const on = (of, minutes = null) => ({ day: of, minutes })

const dateOf = (year, month, of) => (of <= lengthOf(year, month) ? dayNumber(year, month, of) : null)

function coming(today, month, of, year = null) {
  const years = year ? [year] : range(9).map((index) => parts(today).year + index)
  const found = years.map((number_) => dateOf(number_, month, of)).find((one) => one !== null && (year || one >= today))
  return found === undefined ? null : on(found)
}

const comingNth = (today, of) => on(range(62).map((index) => today + index).find((one) => parts(one).day === of))
const weekdayAfter = (today, weekday) => on(today + ((weekday - weekdayOf(today) + 6) % 7) + 1)

function later(today, count, unit) {
  if (unit === 'DAILY' || unit === 'WEEKLY') return on(today + count * (unit === 'WEEKLY' ? 7 : 1))
  const { year, month, day: of } = parts(today)
  const months = month - 1 + count * (unit === 'YEARLY' ? 12 : 1)
  const [thenYear, thenMonth] = [year + Math.floor(months / 12), (months % 12) + 1]
  return on(dayNumber(thenYear, thenMonth, Math.min(of, lengthOf(thenYear, thenMonth))))
}

function next(today, unit) {
  const { year, month } = parts(today)
  const starts = {
    DAILY: today,
    WEEKLY: today - weekdayOf(today),
    MONTHLY: dayNumber(year, month, 1),
    YEARLY: dayNumber(year, 1, 1),
  }
  return later(starts[unit], 1, unit)
}

const weekend = (today) => on(today + ((5 - weekdayOf(today) + 7) % 7))
const endOfMonth = (today) => on(dayNumber(parts(today).year, parts(today).month + 1, 0))
const endOfYear = (today) => on(dayNumber(parts(today).year, 12, 31))
const today = (of) => on(of)

// --- Where a phrase stands ----------------------------------------------------------------------------------

const before = (place) => (place.start ? place.words[place.start - 1].core : '')
const after = (place, count = 0) =>
  place.words[place.end - 1].tail ? null : (place.words[place.end + count] ?? null)

function standsAlone(place) {
  const word = after(place)
  return word === null || '#@!'.includes(word.raw[0] ?? ' ') || opens(word)
}

const opens = (word) =>
  OPENERS.has(word.core) || ['clock', 'half_day', 'dotted', 'iso'].some((name) => means(name, word))

function isRange(place) {
  const [sign, then] = [after(place), after(place, 1)]
  if (!sign || !then || !RANGES.has(sign.core)) return false
  return /^[0-9]/.test(then.core) || means('weekday', then)
}

const german = (place) => ['am', 'bis', 'bis zum', 'zum', 'ab', 'ab dem', 'fällig am'].includes(place.prefix)
const free = (place) => !['am', 'zum', 'bis zum', 'on', 'on the', 'by the', 'ab dem'].includes(place.prefix)
const noNumber = (place) => !NO_NUMBER_AFTER.has(before(place))
const onThe = (place) =>
  ['on the', 'by the', 'on', 'by'].includes(place.prefix) &&
  (standsAlone(place) || AFTER_HOUR.has(after(place).raw))
const germanDay = (place) => german(place) && place.prefix !== 'ab'
const noGreeting = (place) => free(place) && !NO_MORGEN_AFTER.has(before(place))
const noMan = (place) => {
  const word = place.words[place.end - 1]
  const isName = word.raw !== word.core || NO_TOM_AFTER.has(before(place)) || NO_DOUBTFUL_AFTER.has(before(place))
  return !isName && !place.prefix && standsAlone(place)
}
const doubtful = (place) => {
  if (place.prefix || !DOUBTFUL.has(place.words[place.end - 1].core)) return true
  return standsAlone(place) && !NO_DOUBTFUL_AFTER.has(before(place))
}
const dayMonth = (place) => {
  const month = place.words.slice(place.start, place.end).find((word) => DOUBTFUL.has(word.core))
  return place.prefix !== '' || !month || /^[A-Z]/.test(month.raw) || standsAlone(place)
}
const monthDay = (place) =>
  place.prefix !== '' || !DOUBTFUL.has(place.words[place.start].core) || standsAlone(place)

// --- Dates --------------------------------------------------------------------------------------------------

const form = (text, value, holds = () => true) => ({ pattern: compiled(text), value, holds })
const NEXT = 'next|nächste|nächsten|nächster|nächstes|kommende|kommenden|kommender|kommendes'
const THIS = 'this|diese|diesen|dieser|dieses'
const fromDotted = (of, [number_, month, year]) => coming(of, month, number_, year)
const fromIso = (of, [year, month, number_, minutes]) => {
  const known = month >= 1 && month <= 12 && number_ ? dateOf(year, month, number_) : null
  return known === null ? null : on(known, minutes)
}
const never = () => on(null)
const inDays = (count) => (of) => later(of, count, 'DAILY')
const DATES = [
  form('<iso>', fromIso),
  form('<dotted>', fromDotted, noNumber),
  form('<open>', fromDotted, german),
  form('<day> [of] <month> [<year>]', (of, number_, month, year) => coming(of, month, number_, year), dayMonth),
  form('<month> <day,> <year>', (of, month, number_, year) => coming(of, month, number_, year)),
  form('<month> <day>', (of, month, number_) => coming(of, month, number_), monthDay),
  form('<nth>', comingNth, onThe),
  form('<n.>', comingNth, germanDay),
  form('tonight', (of) => on(of, 1200), free),
  form('this <part>', on, free),
  form('heute <part>', on, free),
  form('today|heute', today, free),
  form('tod', today, noMan),
  form('[the] day after tomorrow', inDays(2), free),
  form('übermorgen|uebermorgen', inDays(2), free),
  form('tomorrow', inDays(1), free),
  form('morgen', inDays(1), noGreeting),
  form('tom', inDays(1), noMan),
  form(`${NEXT} weekend|wochenende`, (of) => weekend(next(of, 'WEEKLY').day)),
  form(`[${THIS}] [the] weekend`, weekend, doubtful),
  form(`${THIS} wochenende`, weekend),
  form('wochenende', weekend, german),
  form(`${NEXT} <unit>`, next),
  form(`${NEXT}|${THIS} <weekday>`, weekdayAfter),
  form('<weekday>', weekdayAfter, doubtful),
  form('in <num> <unit>', later),
  form('<shift>', (of, [count, unit]) => later(of, count, unit)),
  form('end of [the] month', endOfMonth),
  form('end of [the] year', endOfYear),
  form('eom|monatsende', endOfMonth),
  form('eoy|jahresende', endOfYear),
  form('ende des monats', endOfMonth),
  form('ende des jahres', endOfYear),
  form('no date', never),
  form('ohne datum', never),
  form('kein datum', never),
]
const PREFIXES = [
  'due on', 'due by', 'due', 'on the', 'on', 'by the', 'by', 'at the', 'over the', 'fällig am', 'am',
  'bis zum', 'bis', 'zum', 'ab dem', 'ab', 'starting on', 'starting',
].map((text) => [text, compiled(text)])
const FROM = ['from', compiled('from')]
const PART = compiled('[in the] <part>')
const AT = compiled('at|um|by|gegen|ab|bis')

function firstOf(forms, words, start, at, context = [], prefix = '') {
  for (const { pattern, value, holds } of forms) {
    const found = match(pattern, words, at)
    if (!found || !holds({ words, start, end: found.end, prefix })) continue
    const meant = value(...context, ...found.values)
    if (meant !== null) return { end: found.end, value: meant }
  }
  return null
}

const coreBefore = (words, start) => (start && !words[start - 1].tail ? words[start - 1].core : '')

function dateAt(words, start, of, chained) {
  for (const [name, pattern] of chained ? [FROM, ...PREFIXES] : PREFIXES) {
    const prefix = match(pattern, words, start)
    const found = prefix && dateBehind(words, start, prefix.end, of, name)
    if (found) return found
  }
  if (NO_DATE_AFTER.has(coreBefore(words, start)) && !chained) return null
  return dateBehind(words, start, start, of, '')
}

function dateBehind(words, start, at, of, prefix) {
  if (at > start && (words[at - 1].tail || words[at]?.lead)) return null
  const found = firstOf(DATES, words, start, at, [of], prefix)
  if (!found || isRange({ words, start, end: found.end })) return null
  const part = words[found.end - 1].tail ? null : match(PART, words, found.end)
  if (!part || found.value.day === null) return found
  return { end: part.end, value: { ...found.value, minutes: part.values[0] } }
}

// --- Times --------------------------------------------------------------------------------------------------

const englishAm = (place) => {
  const then = after(place)
  if (place.words[place.end - 1].core !== 'am' || !then) return true
  const isGerman = ['tag', 'woch', 'abend', 'morgen', 'wochenende'].some((end) => then.core.endsWith(end))
  return !isGerman && !means('dotted', then) && !means('n.', then)
}
const atHour = (place) =>
  standsAlone(place) ||
  AFTER_HOUR.has(after(place).raw) ||
  (['date', 'recurrence'].includes(place.prefix) && /^[a-z]/.test(after(place).raw))
const umHour = (place) => !COUNTED.has(after(place)?.core)
const same = (value) => value
const TIMES = [
  form('<half_day>', same),
  form('<half> <meridiem>', (minutes, added) => minutes + added, englishAm),
  form('<clock> [uhr]', same),
  form('<clock.> uhr', same),
  form('<hour> uhr [<minute>]', (hour, minute) => hour + (minute ?? 0)),
  form('noon|midday|mittags', () => 720),
]
const TIMES_AT = {
  at: [...TIMES, form("<hour> [o'clock]", same, atHour)],
  um: [...TIMES, form('<clock.>', same), form('<hour>', same, umHour)],
}
const NO_TIME_AFTER = new Set([...NO_NUMBER_AFTER, ...RANGES, 'from', 'von'])
NO_TIME_AFTER.delete('bis')

function timeAt(words, start, of, behind) {
  const prefix = match(AT, words, start) ? words[start].core : ''
  const joined = prefix && !words[start].tail && start + 1 < words.length && !words[start + 1].lead
  const word = coreBefore(words, start)
  if (NO_TIME_AFTER.has(word) || (prefix === 'bis' && (/^[0-9]/.test(word) || word === 'uhr'))) return null
  const forms = joined ? (TIMES_AT[prefix] ?? TIMES) : TIMES
  const found = firstOf(forms, words, start, joined ? start + 1 : start, [], behind)
  if (!found || (behind && untilAt(words, found.end, of))) return found
  return isRange({ words, start, end: found.end }) ? null : found
}

// --- Recurrence ---------------------------------------------------------------------------------------------

const rule = (unit, interval = 1, more_ = {}) => ({
  unit, interval, weekdays: [], nth: null, month: null, monthDays: [], minutes: null, fromCompletion: false, ...more_,
})
const sorted = (numbers) => [...new Set(numbers)].sort((one, other) => one - other)
const onWeekdays = (found, interval = 1) => rule('WEEKLY', interval, { weekdays: sorted(found.flat()) })
const nthWeekday = (which, weekday) => rule('MONTHLY', 1, { weekdays: [weekday], nth: which })
const onDays = (days) => rule('MONTHLY', 1, { monthDays: sorted(days) })
const everyUnit = (count, unit) => rule(unit, count ?? 1)
const everyNthUnit = (which, unit) => {
  if (unit === 'DAILY' && Math.abs(which) === 1) return onDays([which])
  return which > 1 ? rule(unit, which) : null
}
const everyDate = (of, month) => (of <= lengthOf(2000, month) ? rule('YEARLY', 1, { month, monthDays: [of] }) : null)
const EVERY = 'every!|jeden!|jede!|jedes!|jeder!'
const ON = 'on|am'
const aloneOrFirst = (place) => place.start === 0 || standsAlone(place)
const RULES = [
  form(`${EVERY} month|monat ${ON} [the] <ordinal> <weekday>`, nthWeekday),
  form(`${EVERY} month|monat ${ON} [the] <nth+>`, onDays),
  form(`${EVERY} week|woche ${ON} <weekdays+>`, (days) => onWeekdays(days)),
  form(`${EVERY}|alle! <num> weeks|wochen ${ON} <weekdays+>`, (count, days) => onWeekdays(days, count)),
  form(`${EVERY} other|second|zweite week|woche ${ON} <weekdays+>`, (days) => onWeekdays(days, 2)),
  form(`${EVERY} [<num>] <unit>`, everyUnit),
  form('alle! <num> <unit>', everyUnit),
  form(`${EVERY} other <unit>`, (unit) => rule(unit, 2)),
  form(`${EVERY} <ordinal> <unit> [of the month] [im monat] [des monats]`, everyNthUnit),
  form(`${EVERY} other <weekdays+>`, (days) => onWeekdays(days, 2)),
  form('jeden! <ordinal> <weekday> im|des monat|monats', nthWeekday),
  form('jeden! <ordinal> <weekday>', (which, weekday) =>
    Math.abs(which) === 1 ? nthWeekday(which, weekday) : onWeekdays([weekday], which),
  ),
  form('every! <ordinal> <weekday> [of the month]', nthWeekday),
  form(`${EVERY} weekday|weekdays|workday|workdays|werktag`, () => onWeekdays([0, 1, 2, 3, 4])),
  form(`${EVERY} weekend|wochenende`, () => onWeekdays([5])),
  form(`${EVERY} <weekdays+>`, (days) => onWeekdays(days)),
  form(`${EVERY} <day> [of] <month>`, everyDate),
  form(`${EVERY} <month> <day>`, (month, of) => everyDate(of, month)),
  form(`${EVERY} <nth+> of|im|des [the] month|monat|monats`, onDays),
  form(`${EVERY} <nth+>`, onDays, standsAlone),
  form(`${EVERY} <part>`, (minutes) => rule('DAILY', 1, { minutes })),
  form('after|nach <num> <unit>', (count, unit) => rule(unit, count, { fromCompletion: true }), aloneOrFirst),
]
const COUNTS = [form('for <times> time|times', same), form('für|insgesamt <times> mal', same)]
const UNTIL = compiled('until|till|bis [zum]')
const NAMES = ['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU']

function ruleAt(words, start) {
  const found = firstOf(RULES, words, start, start)
  if (!found || words[start].tail !== '!') return found
  return { end: found.end, value: { ...found.value, fromCompletion: true } }
}

const countAt = (words, start) => firstOf(COUNTS, words, start, start)

function untilAt(words, start, of) {
  const prefix = match(UNTIL, words, start)
  const found = prefix && dateBehind(words, start, prefix.end, of, prefix.end - start > 1 ? 'bis zum' : 'bis')
  return found && found.value.day !== null ? found : null
}

function anchored(of, begin) {
  if (of.fromCompletion || of.weekdays.length || of.monthDays.length) return of
  const { month, day: number_ } = parts(begin)
  return {
    DAILY: of,
    WEEKLY: { ...of, weekdays: [weekdayOf(begin)] },
    MONTHLY: { ...of, monthDays: [number_] },
    YEARLY: { ...of, month, monthDays: [number_] },
  }[of.unit]
}

const firstDay = (of, begin) => range(400).map((index) => begin + index).find((one) => falls(of, one)) ?? begin

function falls(of, one) {
  const { year, month, day: number_ } = parts(one)
  const last = lengthOf(year, month)
  if (of.month !== null && of.month !== month) return false
  if (of.monthDays.length) {
    return of.monthDays.some((wanted) => number_ === (wanted === -1 ? last : Math.min(wanted, last)))
  }
  if (of.weekdays.length && !of.weekdays.includes(weekdayOf(one))) return false
  const fromEnd = number_ + 7 > last ? -1 : null
  return of.nth === null || of.nth === Math.floor((number_ - 1) / 7) + 1 || of.nth === fromEnd
}

function ruleText(of) {
  const [first] = of.monthDays
  const isLate = of.monthDays.length === 1 && first > 28
  const days = isLate ? range(first - 27).map((index) => 28 + index) : of.monthDays
  const members = [
    ['FREQ', of.unit],
    ['INTERVAL', of.interval > 1 ? of.interval : ''],
    ['BYMONTH', of.month ?? ''],
    ['BYMONTHDAY', days.join()],
    ['BYDAY', of.weekdays.map((weekday) => `${of.nth ?? ''}${NAMES[weekday]}`).join()],
    ['BYSETPOS', isLate ? '-1' : ''],
  ]
  return members.filter(([, value]) => value !== '').map(([name, value]) => `${name}=${value}`).join(';')
}

// --- Which words mean something -----------------------------------------------------------------------------

function itemsOf(words, of, lists) {
  const items = []
  let at = 0
  let chain = null
  let behind = ''
  while (at < words.length) {
    const item = itemAt(words, at, of, lists, chain, behind)
    if (!item) {
      at += 1
      chain = null
      behind = ''
      continue
    }
    behind = item.kind
    if (item.kind === 'recurrence') chain = item.start
    items.push(item)
    at = item.end
  }
  return items
}

function itemAt(words, at, of, lists, chain, behind) {
  const item = (kind, found) => found && { kind, start: at, end: found.end, value: found.value, rule: chain }
  const chained = chain !== null
  return (
    signAt(words, at, lists) ??
    item('recurrence', ruleAt(words, at)) ??
    (chained ? item('bound', untilAt(words, at, of) ?? countAt(words, at)) : null) ??
    item('date', dateAt(words, at, of, chained)) ??
    item('time', timeAt(words, at, of, behind))
  )
}

function signAt(words, at, lists) {
  const { raw } = words[at]
  const item = (kind, value) => ({ kind, start: at, end: at + 1, value, rule: null })
  if (raw.startsWith('#')) return listAt(words, at, lists)
  if (raw.startsWith('@')) {
    const label = labelOf(words[at])
    return label ? item('label', label) : null
  }
  return /^[!p][1-4]$/.test(raw) ? item('priority', PRIORITIES[raw[1]]) : null
}

function labelOf(word) {
  if (word.quoted !== null) return pieces(word.quoted).join(' ') || null
  const name = word.raw.slice(1)
  return word.core && name && !name.includes('@') && !/^[0-9]/.test(name) && !QUOTES.has(name[0]) ? name : null
}

function listAt(words, at, lists) {
  const item = (end, value) => ({ kind: 'list', start: at, end, value, rule: null })
  const { quoted } = words[at]
  if (quoted !== null) {
    const name = lists.get(fold(pieces(quoted).join(' ')))
    return name ? item(at + 1, name) : null
  }
  let best = null
  let behind = ''
  for (let end = at; end < Math.min(at + LIST_MAX_WORDS, words.length); end += 1) {
    const word = words[end]
    if (end > at && (word.lead || !word.core)) break
    const raw = end > at ? word.raw : word.raw.slice(1)
    for (const candidate of [raw, raw + word.tail]) {
      const name = lists.get(fold(behind + candidate))
      if (name) best = item(end + 1, name)
    }
    behind += `${raw}${word.tail} `
  }
  return best
}

function unknownLists(words, items) {
  const taken = new Set(items.flatMap((item) => range(item.end - item.start).map((index) => item.start + index)))
  return words
    .filter((word, index) => word.raw.startsWith('#') && !taken.has(index))
    .map((word) => word.quoted || word.raw.slice(1))
    .filter((name) => !/^[0-9]*$/.test(name) && !QUOTES.has(name[0]))
}

function foldedLists(lists) {
  const folded = new Map()
  for (const name of lists) {
    const key = fold(pieces(name).join(' '))
    if (key && !folded.has(key)) folded.set(key, name)
  }
  return folded
}

function distinct(names) {
  const found = new Map()
  for (const name of names) if (!found.has(fold(name))) found.set(fold(name), name)
  return [...found.values()]
}

/** All labels, and of each other kind the last. */
function chosen(items) {
  const last = new Map(items.map((item) => [item.kind, item]))
  const [recurs, bound, date] = ['recurrence', 'bound', 'date'].map((kind) => last.get(kind))
  if (bound && bound.rule !== recurs?.start) last.delete('bound')
  if (date && date.value.day === null && !recurs) last.delete('time')
  return items.filter((item) => item.kind === 'label' || last.get(item.kind) === item)
}

// --- The title ----------------------------------------------------------------------------------------------

const BRACKETS = { '(': ')', '[': ']', '{': '}' }
const absorbedOf = (tail) => /^[,;:.]*/.exec(tail)[0].length

function restOf(words, items) {
  const spans = []
  const last = tailOfItems(words, items)
  let title = ''
  let at = 0
  let glued = true
  const add = (text) => {
    title += (glued ? '' : ' ') + text
  }
  const addWords = (until) => {
    for (const word of words.slice(at, until)) {
      add(word.lead + word.raw + word.tail)
      glued = false
    }
  }
  for (const item of items) {
    addWords(item.start)
    const { span, lead, tail } = spanOf(words[item.start], words[item.end - 1], item.kind, !title)
    if (item.start >= last && !lead && /[,;]$/.test(title)) {
      title = title.slice(0, -1).replace(/ +$/, '')
      span.start = words[item.start - 1].end - 1
    }
    spans.push(span)
    if (lead) {
      add(lead)
      glued = true
    }
    title += tail
    at = item.end
  }
  addWords(words.length)
  return { title: withSpaces(title), spans }
}

function tailOfItems(words, items) {
  let at = words.length
  for (const item of [...items].reverse()) {
    if (item.end !== at) break
    at = item.start
  }
  return at
}

function spanOf(first, last, kind, isFirst) {
  let { lead } = first
  let absorbed = absorbedOf(last.tail)
  const closing = last.tail[absorbed]
  if (lead && closing && closing === BRACKETS[lead.at(-1)]) {
    lead = lead.slice(0, -1)
    absorbed += 1 + absorbedOf(last.tail.slice(absorbed + 1))
  }
  if (isFirst && !lead) absorbed = last.tail.length
  const shown = kind === 'bound' ? 'recurrence' : kind
  const span = { start: first.start + lead.length, end: last.coreEnd + absorbed, kind: shown }
  return { span, lead, tail: last.tail.slice(absorbed) }
}

// --- The whole ----------------------------------------------------------------------------------------------

/** The local time of a device, for `parse`. */
export const localNow = (date = new Date()) =>
  `${pad(date.getFullYear(), 4)}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}` +
  `T${pad(date.getHours())}:${pad(date.getMinutes())}`

/**
 * What a text says at that local time.
 * @param {string} text
 * @param {string} now such as `2026-11-20T10:30`
 * @param {Iterable<string>} [lists] the names that a `#` may name
 * @returns {QuickWords}
 */
export function parse(text, now, lists = []) {
  const nothing = {
    due: null, recurrence: null, recurrence_mode: 'next', list_name: null, labels: [], priority: null,
    description: null, unknown_lists: [], spans: [], problem: null,
  }
  if ([...text].length > TEXT_MAX_LENGTH) {
    return { ...nothing, title: pieces(text).join(' '), problem: 'too_long' }
  }
  const { words, notes } = split(text)
  const [year, month, number_, hour, minute] = now.split(/[-T:]/).map(Number)
  const clock = { day: dayNumber(year, month, number_), minutes: hour * 60 + minute }
  const found = itemsOf(words, clock.day, foldedLists(lists))
  const items = chosen(found)
  const { title, spans } = restOf(words, items)
  if (notes < text.length) spans.push({ start: notes, end: trimmedEnd(text), kind: 'description' })
  const named = Object.fromEntries(items.map((item) => [item.kind, item.value]))
  return {
    ...nothing,
    title,
    list_name: named.list ?? null,
    labels: distinct(items.filter((item) => item.kind === 'label').map((item) => item.value)),
    priority: named.priority ?? null,
    description: trimmed(text.slice(notes + 2)) || null,
    unknown_lists: unknownLists(words, [...items, ...found.filter((item) => item.kind === 'list')]),
    spans,
    problem: title ? null : 'nothing_left',
    ...datesOf(clock, named),
  }
}

function datesOf(clock, named) {
  const said = named.date ?? on(null)
  const minutes = named.time ?? said.minutes ?? named.recurrence?.minutes ?? null
  const isOver = minutes !== null && minutes < clock.minutes
  const notPast = clock.day + (isOver ? 1 : 0)
  if (!named.recurrence) {
    return { due: dueText(!named.date && minutes !== null ? notPast : said.day, minutes) }
  }
  const begin = said.day ?? notPast
  const recurs = anchored(named.recurrence, begin)
  return {
    due: dueText(firstDay(recurs, begin), minutes),
    recurrence: ruleText(recurs) + boundText(named.bound),
    recurrence_mode: recurs.fromCompletion ? 'completion' : 'next',
  }
}

function dueText(of, minutes) {
  if (of === null) return null
  return minutes === null ? isoText(of) : `${isoText(of)}T${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}:00`
}

function boundText(bound) {
  if (bound === undefined) return ''
  return typeof bound === 'number' ? `;COUNT=${bound}` : `;UNTIL=${isoText(bound.day).replaceAll('-', '')}`
}
