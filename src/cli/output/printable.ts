/**
 * Makes text of other programs safe for a terminal. A node chooses its names and messages, and a
 * control character in them could move the cursor, hide text or run a command of the terminal.
 */

/** The most characters of one name, address or other value in a table. */
export const MAX_CELL = 160;
/** The most characters of a message. */
export const MAX_MESSAGE = 2_000;

/** Ranges of a regular expression; C0 is not among them. */
const UNSAFE_RANGES = [
  // DEL and C1.
  String.raw`\u007f-\u009f`,
  // Separators of lines, marks and overrides of the direction of text.
  String.raw`\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069`,
  // Characters without width or ink.
  String.raw`\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065`,
  String.raw`\u206a-\u206f\u2800\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e0fff}`,
  // Surrogates that have no partner.
  String.raw`\p{Cs}`,
].join('');
const UNSAFE = new RegExp(String.raw`[\u0000-\u001f${UNSAFE_RANGES}]`, 'gu');
/** Without C0: JSON.stringify() escapes it in strings, and indents with line feeds. */
const UNSAFE_IN_JSON = new RegExp(`[${UNSAFE_RANGES}]`, 'gu');

/** As JSON escapes it. Characters above U+FFFF have two UTF-16 units. */
const escapeOf = (character: string): string =>
  character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');

/** `text`, with an ellipsis if it is longer than `limit`. */
export function cut(text: string, limit: number): string {
  return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
}

/** The longest text of a value among others. */
const MAX_VALUE = 80;
const shownObjects = new WeakMap<object, string>();

/** A value as JSON, cut. A large value that is shown often costs its size once. */
export function shown(value: unknown, limit = MAX_VALUE): string {
  if (typeof value === 'string') return cut(JSON.stringify(value.slice(0, limit)), limit);
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'undefined';
  const text = shownObjects.get(value) ?? cut(JSON.stringify(value), MAX_MESSAGE);
  shownObjects.set(value, text);
  return cut(text, limit);
}

/** `text` on one line, without characters that control a terminal, and at most `limit` long. */
export function printable(text: string, limit = MAX_CELL): string {
  // The cut comes first, so that a long text costs no more than a short one.
  return cut(cut(text, limit).replace(UNSAFE, escapeOf), limit);
}

/**
 * `value` as JSON that is safe for a terminal: characters that could control it are escaped as JSON
 * allows. `indent`: how many spaces each level is indented; 0: everything is on one line.
 */
export function jsonText(value: unknown, indent = 0): string {
  return (JSON.stringify(value, undefined, indent) ?? 'null').replace(UNSAFE_IN_JSON, escapeOf);
}
