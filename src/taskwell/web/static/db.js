// What the page keeps in the browser: the copy as one text, and the writes that were not sent, one record each.

/** @typedef {import('./types.js').Entry} Entry */

const VERSION = 1

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })

/** Of one server and user. Where the browser keeps nothing, everything lives as long as the page. @param {string} name */
export async function openDb(name) {
  const opened = indexedDB.open(name, VERSION)
  opened.onupgradeneeded = () => {
    opened.result.createObjectStore('copy')
    opened.result.createObjectStore('queue', { keyPath: 'key' })
    opened.result.createObjectStore('failed', { keyPath: 'key' })
  }
  const db = await done(opened)
  db.onversionchange = () => db.close() // another page signs out
  /** @param {string} store */
  const table = (store) => db.transaction(store).objectStore(store)
  /** Committed at once: a page that goes away aborts what still waits for its events. @param {string} store @param {(table: IDBObjectStore) => unknown} work @returns {Promise<void>} */
  const write = (store, work) =>
    new Promise((resolve, reject) => {
      const transaction = db.transaction(store, 'readwrite')
      transaction.oncomplete = () => resolve()
      transaction.onabort = () => reject(transaction.error)
      work(transaction.objectStore(store))
      transaction.commit()
    })
  return {
    /** @returns {Promise<{copy: string | undefined, queue: Entry[], failed: Entry[]}>} */
    async load() {
      const copy = done(table('copy').get('copy'))
      const queue = done(table('queue').getAll())
      const failed = done(table('failed').getAll())
      return { copy: await copy, queue: await queue, failed: await failed }
    },
    /** @param {string} text */
    saveCopy: (text) => write('copy', (table) => table.put(text, 'copy')),
    /** @param {'queue' | 'failed'} store @param {Entry} entry */
    put: (store, entry) => write(store, (table) => table.put(entry)),
    /** @param {'queue' | 'failed'} store @param {string} key */
    remove: (store, key) => write(store, (table) => table.delete(key)),
    close: () => db.close(),
  }
}

/** For where there is no IndexedDB, such as a private window of some browsers. */
export function memoryDb() {
  /** @type {{queue: Map<string, Entry>, failed: Map<string, Entry>}} */
  const tables = { queue: new Map(), failed: new Map() }
  /** @type {string | undefined} */
  let copy
  return {
    load: async () => ({ copy, queue: [...tables.queue.values()], failed: [...tables.failed.values()] }),
    saveCopy: async (/** @type {string} */ text) => void (copy = text),
    put: async (/** @type {'queue' | 'failed'} */ store, /** @type {Entry} */ entry) =>
      void tables[store].set(entry.key, structuredClone(entry)),
    remove: async (/** @type {'queue' | 'failed'} */ store, /** @type {string} */ key) => void tables[store].delete(key),
    close: () => {},
  }
}

/** @param {string} name */
export const forgetDb = (name) => done(indexedDB.deleteDatabase(name))
