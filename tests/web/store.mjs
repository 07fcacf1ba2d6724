// The store of the page in Node, against a server: `node store.mjs FOLDER URL`. It prints what held.

import assert from 'node:assert/strict'
import { pathToFileURL } from 'node:url'

const [folder, url] = process.argv.slice(2)
const load = (name) => import(pathToFileURL(`${folder}/${name}`))
const { Store } = await load('store.js')
const { makeApi, uuid } = await load('api.js')
const { memoryDb } = await load('db.js')

const api = makeApi(url)
let online = true
const fetched = globalThis.fetch
globalThis.fetch = (...given) => (online ? fetched(...given) : Promise.reject(new TypeError('offline')))

async function until(condition) {
  for (let round = 0; round < 600; round++) {
    if (condition()) return
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  assert.fail(`it did not come about: ${condition}`)
}

async function begin() {
  await api.request('DELETE', '/api/users/default').catch(() => {})
  const store = new Store({ api, db: memoryDb(), onchange: () => {} })
  await store.start()
  await until(() => store.status === 'live')
  return store
}

const settled = (store) => until(() => store.queue.length === 0 && store.status === 'live')
const create = (store, title, fields = {}) => {
  const id = uuid()
  store.add({ op: 'create', kind: 'task', id, fields: { title, ...fields } })
  return id
}
const update = (store, id, fields, before = {}) => store.add({ op: 'update', kind: 'task', id, fields, before })
const read = (id) => api.request('GET', `/api/tasks/${id}`)
const titles = (store) => store.tasks().map((task) => task.title).sort()

const tests = {
  async 'creates, changes, deletes and restores'(store) {
    const id = create(store, 'Buy milk')
    update(store, id, { labels_add: ['shop'], completed: true })
    assert.deepEqual(store.get('task', id).labels, ['shop'])
    await settled(store)
    assert.equal((await read(id)).completed, true)
    const record = store.get('task', id)
    store.add({ op: 'delete', kind: 'task', id })
    assert.equal(store.get('task', id), undefined)
    await settled(store)
    store.add({ op: 'restore', kind: 'task', id, record })
    assert.equal(store.get('task', id).title, 'Buy milk')
    await settled(store)
    assert.deepEqual((await read(id)).labels, ['shop'])
    assert.deepEqual(store.failed, [])
  },
  async 'sends what was written offline, once and in order'(store) {
    online = false
    for (let number = 0; number < 20; number++) create(store, `Task ${number}`)
    await until(() => store.status === 'offline')
    assert.equal(store.queue.length, 20)
    online = true
    store.resume()
    await settled(store)
    const history = await api.request('GET', '/api/history?limit=100')
    const order = history.reverse().map((record) => record.changes.title[1])
    assert.deepEqual(order, [...Array(20).keys()].map((number) => `Task ${number}`))
  },
  async 'keeps what others wrote to other fields'(store) {
    const id = create(store, 'Buy milk')
    await settled(store)
    online = false
    update(store, id, { title: 'Buy oat milk' }, { title: 'Buy milk' })
    online = true
    await api.request('PATCH', `/api/tasks/${id}`, { body: { priority: 1 } })
    store.resume()
    await settled(store)
    const { title, priority } = await read(id)
    assert.deepEqual([title, priority, store.failed.length], ['Buy oat milk', 1, 0])
  },
  async 'asks where both have changed the title'(store) {
    const id = create(store, 'Buy milk')
    await settled(store)
    online = false
    update(store, id, { title: 'Mine' }, { title: 'Buy milk' })
    online = true
    await api.request('PATCH', `/api/tasks/${id}`, { body: { title: 'Theirs' } })
    store.resume()
    await until(() => store.failed.length === 1)
    assert.deepEqual(store.failed[0].theirs, { title: 'Theirs' })
    assert.equal((await read(id)).title, 'Theirs')
    await store.again(store.failed[0])
    await settled(store)
    assert.deepEqual([(await read(id)).title, store.failed.length], ['Mine', 0])
  },
  async 'folds what was to be changed into what could not be created'(store) {
    online = false
    const id = create(store, 'u'.repeat(300))
    update(store, id, { priority: 5 })
    online = true
    store.resume()
    await until(() => store.failed.length === 1)
    await settled(store)
    await store.again(store.failed[0], { title: 'Shorter' })
    await settled(store)
    const { title, priority } = await read(id)
    assert.deepEqual([title, priority], ['Shorter', 5])
  },
  async 'moves to where the server says'(store) {
    const ids = []
    for (const title of 'ABCD') ids.push(create(store, title))
    store.add({ op: 'move', kind: 'task', id: ids[3], fields: { before: ids[1] } })
    store.add({ op: 'move', kind: 'task', id: ids[0], fields: { after: ids[2] } })
    const shown = () => store.tasks().sort((one, other) => (one.position < other.position ? -1 : 1)).map((task) => task.title)
    assert.deepEqual(shown(), ['D', 'B', 'C', 'A'])
    await settled(store)
    assert.deepEqual(shown(), ['D', 'B', 'C', 'A'])
    assert.deepEqual(titles(store), ['A', 'B', 'C', 'D'])
  },
}

for (const [name, test] of Object.entries(tests)) {
  const store = await begin()
  await test(store)
  store.stop()
  console.log(name)
}
process.exit()
