// Light, dark, or as the system says.

/** @param {string} value */
export function setTheme(value) {
  if (value === 'light' || value === 'dark') document.documentElement.dataset.theme = value
  else delete document.documentElement.dataset.theme
}
