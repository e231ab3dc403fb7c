/**
 * The URL of `text`; undefined if it is invalid. URL.canParse() is not used: in some versions of
 * Node.js it accepts a text that new URL() rejects.
 */
export function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}
