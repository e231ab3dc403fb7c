/**
 * Makes text of other programs safe for a terminal. A node chooses its names and messages, and a
 * control character in them could move the cursor, hide text or run a command of the terminal.
 */

/** The most characters of one name, address or other value in a table. */
export const MAX_CELL = 160;
/** The most characters of a message. */
export const MAX_MESSAGE = 2_000;

/**
 * Control characters (C0, DEL and C1), separators of lines, marks and overrides of the direction of
 * text, characters without width, and surrogates that have no partner.
 */
const UNSAFE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to escape
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\p{Cs}]/gu;

/** As UNSAFE without C0: JSON.stringify() escapes it in strings, and indents with line feeds. */
const UNSAFE_IN_JSON =
  /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\p{Cs}]/gu;

const escapeOf = (character: string): string =>
  `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

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
