/** What the server puts before the text of the service worker. */
declare const GIVEN: { root: string; version: string; files: string[] }

/** Browsers have it; the library of TypeScript's types has not. */
declare var trustedTypes: { createPolicy(name: string, rules: { createScriptURL: (text: string) => string }): { createScriptURL: (text: string) => unknown } } | undefined
