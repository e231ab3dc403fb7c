/** Random bytes of node:crypto and Web Crypto from the seed, so that ids do not change a trace. */
import crypto from 'node:crypto';
import type { SimulatedProcess } from '../context.js';

type AnyFunction = (...given: never[]) => unknown;
/** choose() of globals.ts. */
type Choose = <F extends AnyFunction>(
  virtual: (process: SimulatedProcess, ...given: Parameters<F>) => unknown,
  real: F,
  self?: object,
) => F;
type Done<T> = (error: null, value: T) => void;

/** Fills the bytes of `view` with random numbers of the seed. */
function fill<T extends ArrayBufferView>({ world }: SimulatedProcess, view: T): T {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(world.cryptoRandom() * 256);
  return view;
}

function uuid(process: SimulatedProcess): string {
  const bytes = fill(process, Buffer.alloc(16));
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** Returns `value`, or passes it to `done` in a later turn, as node:crypto does. */
function give<T>(value: T, done: Done<T> | undefined): T | undefined {
  if (done === undefined) return value;
  setImmediate(done, null, value);
  return undefined;
}

function integer(
  { world }: SimulatedProcess,
  first: number,
  second?: number | Done<number>,
  third?: Done<number>,
): number | undefined {
  const [min, max] = typeof second === 'number' ? [first, second] : [0, first];
  const done = typeof second === 'function' ? second : third;
  return give(min + Math.floor(world.cryptoRandom() * (max - min)), done);
}

/** The functions to replace, with their objects and names. */
export function cryptoFunctions(
  choose: Choose,
): (readonly [target: object, name: string, value: unknown])[] {
  const web = globalThis.crypto;
  const bytes = (process: SimulatedProcess, size: number, done?: Done<Buffer>) =>
    give(fill(process, Buffer.alloc(size)), done);
  return [
    [crypto, 'randomBytes', choose(bytes, crypto.randomBytes as AnyFunction)],
    [crypto, 'randomInt', choose(integer, crypto.randomInt as AnyFunction)],
    [crypto, 'randomUUID', choose(uuid, crypto.randomUUID as AnyFunction)],
    [web, 'randomUUID', choose(uuid, web.randomUUID as AnyFunction, web)],
    [web, 'getRandomValues', choose(fill, web.getRandomValues as AnyFunction, web)],
  ];
}
