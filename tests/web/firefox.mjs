// A visit in Firefox: `node firefox.mjs PROGRAM ADDRESS`. It ends with 1 if something is not as expected.
import assert from 'node:assert/strict'
import puppeteer from 'puppeteer-core'

const [executablePath, address] = process.argv.slice(2)
const browser = await puppeteer.launch({ browser: 'firefox', executablePath, headless: true })
try {
  const page = await browser.newPage()
  /** @type {string[]} */
  const told = []
  page.on('console', (message) => told.push(`${message.type()}: ${message.text()}`))
  page.on('pageerror', (error) => told.push(String(error)))
  await page.setViewport({ width: 1280, height: 800 })
  // The page itself says when it is ready; a busy machine takes its time.
  const patient = { waitUntil: 'domcontentloaded', timeout: 90_000 }
  await page.goto(`${address}/app/inbox`, patient)
  await upToDate(page)

  await add(page, 'Call mum tomorrow 18:00 @phone !1')
  await add(page, 'Buy milk')
  await shown(page, 'Call mum', 'Buy milk')
  await press(page, 'Escape', 'j', 'j', ' ')
  await page.waitForSelector('.row.is-done')
  await press(page, 'z')
  await page.waitForFunction(() => !document.querySelector('.row.is-done'))
  await press(page, 'Enter')
  const title = await page.waitForSelector('textarea[aria-label="Title"]')
  await title?.click({ count: 3 })
  await page.keyboard.type('Buy oat milk')
  await press(page, 'Enter', 'Escape')
  await shown(page, 'Call mum', 'Buy oat milk')
  await upToDate(page)

  await page.reload(patient)
  await upToDate(page) // keys are heard from then on
  await shown(page, 'Call mum', 'Buy oat milk')
  await press(page, '/')
  await page.keyboard.type('oat')
  await shown(page, 'Buy oat milk')
  await upToDate(page)
  assert.deepEqual(told, [])
} finally {
  await browser.close()
}

/** @param {import('puppeteer-core').Page} page */
function upToDate(page) {
  const isUp = () => document.querySelector('#sidebar .status')?.textContent?.includes('Up to date') && 'ready' in document.documentElement.dataset
  return page.waitForFunction(isUp)
}

/** @param {import('puppeteer-core').Page} page @param {string} text */
async function add(page, text) {
  const field = await page.waitForSelector('#add')
  await field?.click()
  await page.keyboard.type(text)
  await press(page, 'Enter')
  await upToDate(page)
}

/** @param {import('puppeteer-core').Page} page @param {...import('puppeteer-core').KeyInput} keys */
async function press(page, ...keys) {
  for (const key of keys) await page.keyboard.press(key)
}

/** The titles of all rows. @param {import('puppeteer-core').Page} page @param {...string} titles */
function shown(page, ...titles) {
  const isShown = (/** @type {string} */ expected) => [...document.querySelectorAll('#rows .title')].map((row) => row.textContent?.trim()).join('\n') === expected
  return page.waitForFunction(isShown, {}, titles.join('\n')).catch(async (problem) => {
    const found = await page.evaluate(() => document.querySelector('#app')?.textContent?.replace(/\s+/g, ' '))
    throw new Error(`not ${titles.join(', ')}: ${found}`, { cause: problem })
  })
}
