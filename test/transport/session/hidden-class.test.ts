/**
 * The setups of all sessions have one hidden class. Otherwise V8 looks up each field anew, which
 * costs a fifth of the speed of 512 connections.
 */
import { setFlagsFromString } from 'node:v8';
import { expect, it } from 'vitest';
import { lines } from '../../../src/transport/index.js';
import {
  type ResolvedSetup,
  resolveSetup,
} from '../../../src/transport/session/session-options.js';

setFlagsFromString('--allow-natives-syntax');
const haveSameMap = new Function('a', 'b', 'return %HaveSameMap(a, b)') as (
  a: object,
  b: object,
) => boolean;

it.each([
  ['without options', {}],
  ['with options', { idleTimeout: 1_000, name: 'gateway' }],
])('setups %s have one hidden class', (_, options) => {
  // V8 optimizes the shape of the objects after some calls.
  const setups = Array.from(
    { length: 50 },
    (): ResolvedSetup<string, string> =>
      resolveSetup({ codec: lines(), listener: { onMessage() {} }, ...options }),
  );
  const others = setups.slice(-20).filter((setup) => !haveSameMap(setup, setups.at(-1) as object));
  expect(others).toHaveLength(0);
});
