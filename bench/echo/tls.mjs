// @ts-check
/** TLS 1.3 for servers and clients, with the certificates of the tests. */
import { readFileSync } from 'node:fs';

const pem = (/** @type {string} */ name) =>
  readFileSync(new URL(`../../test/fixtures/tls/${name}.pem`, import.meta.url));

const minVersion = /** @type {const} */ ('TLSv1.3');
export const ofServer = { cert: pem('server'), key: pem('server.key'), minVersion };
export const ofClient = { ca: pem('authority'), minVersion };
