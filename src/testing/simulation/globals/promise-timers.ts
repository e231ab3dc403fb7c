/** node:timers/promises for simulated processes. */
import type timersPromises from 'node:timers/promises';
import { activeProcess, type SimulatedProcess } from '../context.js';
import { VirtualTimer } from './timers.js';

interface WaitOptions {
  readonly signal?: AbortSignal;
}

function abortError(signal: AbortSignal): Error {
  const error = new Error('The operation was aborted', { cause: signal.reason });
  return Object.assign(error, { name: 'AbortError', code: 'ABORT_ERR' });
}

/** Resolves with `value` after `ms`, undefined for an immediate. */
function wait<T>(
  process: SimulatedProcess,
  ms: number | undefined,
  value: T,
  { signal }: WaitOptions = {},
): Promise<T> {
  if (signal?.aborted) return Promise.reject(abortError(signal));
  return new Promise((resolve, reject) => {
    const timer = new VirtualTimer(
      process,
      () => {
        signal?.removeEventListener('abort', abort);
        resolve(value);
      },
      ms,
    );
    const abort = (): void => {
      timer.cancel();
      reject(abortError(signal as AbortSignal));
    };
    signal?.addEventListener('abort', abort, { once: true });
  });
}

async function* ticks<T>(ms: number, value: T, options?: WaitOptions): AsyncGenerator<T> {
  for (;;) yield await wait(activeProcess() as SimulatedProcess, ms, value, options);
}

/** The functions of node:timers/promises, by name. `real`: those of the system. */
export function promiseTimers(real: typeof timersPromises): Record<string, unknown> {
  const { setTimeout, setImmediate, setInterval } = real;
  return {
    setTimeout(ms = 1, value?: unknown, options?: WaitOptions) {
      const process = activeProcess();
      return process === undefined
        ? setTimeout(ms, value, options)
        : wait(process, ms, value, options);
    },
    setImmediate(value?: unknown, options?: WaitOptions) {
      const process = activeProcess();
      return process === undefined
        ? setImmediate(value, options)
        : wait(process, undefined, value, options);
    },
    setInterval(ms = 1, value?: unknown, options?: WaitOptions) {
      return activeProcess() === undefined
        ? setInterval(ms, value, options)
        : ticks(ms, value, options);
    },
  };
}
