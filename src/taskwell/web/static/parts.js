// What is loaded once the first rows are on the screen.

export { commit, details, fit } from './task.js'
export { dialogs, loadTrash, search, trash, unsaved } from './pages.js'
export { grab } from './gestures.js'
export { more } from './more.js'
export { open, palette, chooseDue, chooseLabel, chooseList } from './palette.js'
export { press } from './keys.js'
export { localNow, parse } from './words.js'
export { remind } from './reminders.js'
