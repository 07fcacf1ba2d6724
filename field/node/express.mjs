// node express.mjs PORT SERVER: what webpack-dev-server and Next.js do to what they pass on: compress it.
import compression from 'compression'
import express from 'express'
import { createProxyMiddleware } from 'http-proxy-middleware'

const [port, target] = process.argv.slice(2)
const app = express()
app.use(compression())
app.use(createProxyMiddleware({ target, xfwd: true }))
app.listen(Number(port), '127.0.0.1')
