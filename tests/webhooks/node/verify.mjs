// Verifies a message from standard input, and prints its type.
import { readFileSync } from 'node:fs'
import { Webhook } from 'standardwebhooks'

const { secret, body, headers } = JSON.parse(readFileSync(0, 'utf8'))
console.log(new Webhook(secret).verify(body, headers).type)
