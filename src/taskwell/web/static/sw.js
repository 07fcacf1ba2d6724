// The service worker: the page and its files from the cache, so that it opens without a network. Never the API.
// The server puts `const GIVEN = {root, version, files}` before this text.

const PREFIX = `taskwell ${GIVEN.root} `
const CACHE = PREFIX + GIVEN.version
const PAGE = `${GIVEN.root}/app`
const FILES = new Set(GIVEN.files)
const worker = /** @type {any} */ (self)

worker.addEventListener('install', (/** @type {any} */ event) => {
  worker.skipWaiting()
  event.waitUntil(
    caches.open(CACHE).then((cache) =>
      cache.addAll([new Request(PAGE, { cache: 'no-cache' }), ...GIVEN.files]),
    ),
  )
})

async function takeOver() {
  const names = await caches.keys()
  const old = names.filter((name) => name.startsWith(PREFIX) && name !== CACHE)
  await Promise.all(old.map((name) => caches.delete(name)))
  await worker.clients.claim()
}

worker.addEventListener('activate', (/** @type {any} */ event) => event.waitUntil(takeOver()))

worker.addEventListener('fetch', (/** @type {any} */ event) => {
  const path = new URL(event.request.url).pathname
  const isPage = event.request.mode === 'navigate' && (path === PAGE || path.startsWith(`${PAGE}/`))
  if (event.request.method !== 'GET' || !(isPage || FILES.has(path))) return
  event.respondWith(
    caches
      .open(CACHE)
      .then((cache) => cache.match(isPage ? PAGE : event.request))
      .then((found) => found ?? fetch(event.request)),
  )
})
