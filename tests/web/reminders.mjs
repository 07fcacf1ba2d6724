// What reminders.js says of reminders: `node reminders.mjs FOLDER`.

import assert from 'node:assert/strict'
import { pathToFileURL } from 'node:url'

const [folder] = process.argv.slice(2)
const { offered, sayReminder } = await import(pathToFileURL(`${folder}/reminders.js`))

const timed = { due: '2026-11-23T09:00:00', start: null, reminders: [] }
const dated = { due: '2026-11-23', start: '2026-11-20T08:00:00', reminders: [] }
const said = (trigger, task, from) => sayReminder({ trigger, from }, task)

assert.equal(said('PT0S', timed), 'At the time')
assert.equal(said('-PT15M', timed), '15 minutes before')
assert.equal(said('-P1DT2H', timed), '1 day 2 hours before')
assert.equal(said('P2W', timed), '2 weeks after')
assert.equal(said('PT9H', dated), '9:00 that day')
assert.equal(said('-PT15H', dated), '9:00 the day before')
assert.equal(said('-P6DT15H', dated), '9:00 7 days before')
assert.equal(said('-PT6H', dated), '18:00 the day before')
assert.equal(said('-PT1H', dated, 'start'), '1 hour before (start)')
assert.match(said('2031-11-20T08:45:00', timed), /20 Nov 2031.*08:45/)
assert.deepEqual(offered({ ...timed, reminders: [{ trigger: '-PT5M' }] }), ['PT0S', '-PT15M', '-PT1H', '-P1D'])
assert.deepEqual(offered({ due: null, start: null, reminders: [] }), [])
console.log(offered(dated).map((trigger) => said(trigger, dated)).join(', '))
