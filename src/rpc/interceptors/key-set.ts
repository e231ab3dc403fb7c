/** The key sets of jwt(): their limits, and the request for one at a URL. */
import type { JSONWebKeySet } from 'jose';
import { parseJson } from '../../transport/codecs/json-text.js';

/** A token without `kid` is tried with each key. A key that cannot be imported costs the most. */
export const MAX_KEYS = 100;
/** Of a key set at a URL. It has room for MAX_KEYS RSA keys with their certificates. */
const MAX_BYTES = 1024 * 1024;
/** Of a key set at a URL: values and names, as parseJson() counts them. */
const MAX_OBJECTS = 10_000;
/** Milliseconds until the whole key set must be there. */
const REQUEST_TIMEOUT = 5_000;

/** Throws if the set has more than MAX_KEYS keys. */
export function checkKeyCount(set: JSONWebKeySet): void {
  const count = Array.isArray(set?.keys) ? set.keys.length : 0;
  if (count > MAX_KEYS)
    throw new Error(`the key set has ${count} keys; at most ${MAX_KEYS} are accepted`);
}

/**
 * Requests the key set at `from`, without redirects. Rejects unless the status is 200, and for more
 * than MAX_BYTES or MAX_OBJECTS. The result is any JSON value.
 */
export async function requestKeySet(from: URL): Promise<JSONWebKeySet> {
  const response = await fetch(from, {
    headers: { accept: 'application/json, application/jwk-set+json' },
    redirect: 'manual',
    signal: AbortSignal.timeout(REQUEST_TIMEOUT),
  });
  const { status, body } = response;
  if (status !== 200 || body === null) {
    await body?.cancel();
    throw new Error(`the server of the key set answered with the status ${status}`);
  }
  const bytes = await readAll(body);
  return parseJson(bytes, 0, bytes.length, MAX_OBJECTS) as JSONWebKeySet;
}

async function readAll(body: ReadableStream<Uint8Array>): Promise<Buffer> {
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (let step = await reader.read(); !step.done; step = await reader.read()) {
    chunks.push(step.value);
    size += step.value.length;
    if (size > MAX_BYTES) {
      await reader.cancel();
      throw new Error(`the key set has more than ${MAX_BYTES} bytes`);
    }
  }
  return Buffer.concat(chunks, size);
}
