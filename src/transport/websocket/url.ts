/**
 * The URL of `text`; undefined if it is invalid. URL.canParse() is not used: once V8 has optimized
 * its caller, it rejects valid texts with letters such as é in Node.js 20.20.
 */
export function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}
