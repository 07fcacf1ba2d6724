// What words.js, given as a file, says of the texts on the standard input: a line of JSON for each line.
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const { localNow, parse } = await import(pathToFileURL(process.argv[2]))
if (localNow(new Date(2026, 0, 2, 3, 4, 59)) !== '2026-01-02T03:04') throw new Error('localNow')
for (const line of readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  const { now, text, lists } = JSON.parse(line)
  const { spans, ...said } = parse(text, now, lists)
  const marks = spans.map(({ start, end, kind }) => [text.slice(start, end), kind])
  console.log(JSON.stringify({ ...said, marks }))
}
