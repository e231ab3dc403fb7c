// @ts-check
/** Starts, queries and ends the processes of a measurement. They all end with this process. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */

/** How late a child's answer may be, and how long its end may take, in ms. */
const PATIENCE = 15_000;
const END = 3_000;

/** @type {Set<ChildProcess>} */
const children = new Set();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));

/**
 * The next message of a child. Rejects when it exits, or when the message is late.
 * @param {ChildProcess} child
 * @returns {Promise<any>}
 */
export function nextMessage(child, milliseconds = 0) {
  return new Promise((resolve, reject) => {
    const name = child.spawnargs.slice(2).join(' ');
    const done = () => {
      clearTimeout(timer);
      child.off('message', message).off('exit', exit);
    };
    const message = (/** @type {unknown} */ word) => resolve(done() ?? word);
    const exit = () => reject(done() ?? new Error(`the process '${name}' ended`));
    const timer = setTimeout(
      () => reject(done() ?? new Error(`the process '${name}' does not answer`)),
      milliseconds + PATIENCE,
    );
    child.on('message', message).on('exit', exit);
  });
}

/**
 * Fork a program of this folder, and wait for its first message, the address of a server.
 * @param {string} program
 * @param {string[]} args
 */
export function start(program, ...args) {
  return startWith([], program, ...args);
}

/**
 * Like start(), with flags for Node.js.
 * @param {string[]} flags
 * @param {string} program
 * @param {string[]} args
 */
export function startWith(flags, program, ...args) {
  return launch(program, args, { flags });
}

/**
 * Like start(). `flags`: for Node.js. `command`: a program, and its first arguments, that runs the
 * process. `runtime`: the path of another runtime than Node.js, which gets no flags. `patience`:
 * how late the first message may be, in ms more than usual.
 * @typedef {{ flags?: string[], command?: string[], runtime?: string, patience?: number }} Launch
 */

/** @param {string} program @param {string[]} args @param {Launch} launch */
export async function launch(program, args, { flags = [], command = [], runtime, patience }) {
  const path = fileURLToPath(new URL(program, import.meta.url));
  const nodeFlags = runtime === undefined ? ['--expose-gc', ...flags, ...process.execArgv] : [];
  const [execPath = '', ...execArgv] = [...command, runtime ?? process.execPath, ...nodeFlags];
  const stdio = /** @type {const} */ (['ignore', 'inherit', 'inherit', 'ipc']);
  const child = fork(path, args, { stdio: [...stdio], execPath, execArgv });
  children.add(child);
  child.once('exit', () => children.delete(child));
  try {
    return { child, address: await nextMessage(child, patience) };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

/** @param {ChildProcess} child */
export async function stop(child) {
  if (!children.has(child)) return;
  child.disconnect();
  await Promise.race([once(child, 'exit'), wait(END, undefined, { ref: false })]);
  child.kill('SIGKILL');
}

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? Number(sorted[middle])
    : (Number(sorted[middle - 1]) + Number(sorted[middle])) / 2;
}

export const machine = () => `Node ${process.version}, ${availableParallelism()} cores`;
