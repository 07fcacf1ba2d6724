// What a view says when it has nothing to show.

import { html } from './vendor/lit.js'

/** @param {import('./types.js').Context} context */
export function empty(context) {
  const [title, hint] = context.empty.split('\n')
  return html`<div class="empty"><span class="empty-sign" aria-hidden="true"></span><p class="strong">${title}</p><p class="quiet">${hint}</p></div>`
}
