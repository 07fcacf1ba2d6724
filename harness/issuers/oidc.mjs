/** An OpenID Connect provider. A client has the name of the algorithm that signs its access tokens. */

import { generateKeyPairSync } from 'node:crypto'
import { Provider } from 'oidc-provider'

import { serve } from './serve.mjs'

const KEYS = {
  RS256: ['rsa', { modulusLength: 2048 }],
  PS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
  EdDSA: ['ed25519'],
  Ed25519: ['ed25519'],
}
const SCOPE = 'tasks'
const { PAGE } = process.env // where the page is, if there is one

const keys = () =>
  Object.entries(KEYS).map(([alg, parameters]) => {
    const { privateKey } = generateKeyPairSync(...parameters)
    return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig' }
  })

const clients = (url) =>
  Object.keys(KEYS).map((alg) => ({
    client_id: alg,
    client_secret: 'known to all',
    grant_types: ['authorization_code', 'client_credentials'],
    redirect_uris: [`${url}/test/callback`],
    id_token_signed_response_alg: alg,
  }))

/** A page in the browser: it has no secret, and proves by PKCE that it is the one that asked. */
const page = (redirect) => ({
  client_id: 'page',
  token_endpoint_auth_method: 'none',
  grant_types: ['authorization_code', 'refresh_token'],
  redirect_uris: [redirect],
  id_token_signed_response_alg: 'RS256',
})

/** Whatever audience is asked for gets its JWT. */
const getResourceServerInfo = (_ctx, audience, client) => ({
  audience,
  scope: SCOPE,
  accessTokenFormat: 'jwt',
  jwt: { sign: { alg: client.idTokenSignedResponseAlg } },
})

/** Consent is given beforehand. */
async function loadExistingGrant({ oidc: { provider, client, session, params } }) {
  const grant = new provider.Grant({ accountId: session.accountId, clientId: client.clientId })
  grant.addOIDCScope('openid offline_access')
  grant.addResourceScope(params.resource, SCOPE)
  await grant.save()
  return grant
}

await serve(keys, (url, keys) => {
  const provider = new Provider(url, {
    clients: [...clients(url), ...(PAGE ? [page(PAGE)] : [])],
    clientBasedCORS: () => true,
    cookies: { keys: ['known to all'] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: { enabled: true, getResourceServerInfo },
    },
    findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    interactions: { url: () => '/test/login' },
    jwks: { keys },
    loadExistingGrant,
  })
  const answer = provider.callback()

  /** Whoever is hinted at is signed in. */
  async function login(request, response) {
    const { params } = await provider.interactionDetails(request, response)
    await provider.interactionFinished(request, response, {
      login: { accountId: params.login_hint ?? 'alice' },
      consent: {},
    })
  }

  return (request, response) => (request.url === '/test/login' ? login : answer)(request, response)
})
