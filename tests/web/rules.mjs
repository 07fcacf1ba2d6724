// What rules.js says of rules, and that it is read back: `node rules.mjs FOLDER`. It prints each in words.

import assert from 'node:assert/strict'
import { pathToFileURL } from 'node:url'

const [folder] = process.argv.slice(2)
const load = (name) => import(pathToFileURL(`${folder}/${name}`))
const { asQuickWords, readRule, sayRule } = await load('rules.js')
const { parse } = await load('words.js')

const task = { due: '2026-11-23', recurrence_mode: 'next' }
for (const recurrence of ['FREQ=DAILY', 'FREQ=DAILY;COUNT=1', 'FREQ=WEEKLY;BYDAY=MO;COUNT=1', 'FREQ=DAILY;INTERVAL=2;COUNT=5']) {
  const said = sayRule({ ...task, recurrence })
  assert.equal(readRule(parse(asQuickWords(said), '2026-11-20T10:30', []), task)?.recurrence, recurrence)
  console.log(said)
}
