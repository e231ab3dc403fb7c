/**
 * Replaces the timers, clocks and random numbers of the process. Code of a simulated process gets
 * the virtual ones, and all other code the real ones.
 */
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers';
import timersPromises from 'node:timers/promises';
import { promisify } from 'node:util';
import { activeProcess, type SimulatedProcess } from '../context.js';
import { cryptoFunctions } from './crypto.js';
import { promiseTimers } from './promise-timers.js';
import { VirtualTimer } from './timers.js';

/** A property of an object, and its value during a simulation. */
type Replacement = readonly [target: object, name: string, value: unknown];
type AnyFunction = (...given: never[]) => unknown;

/** Calls `virtual` in code of a simulated process, and the function of the system elsewhere. */
export function choose<F extends AnyFunction>(
  virtual: (process: SimulatedProcess, ...given: Parameters<F>) => unknown,
  real: F,
  self?: object,
): F {
  return function (this: unknown, ...given: Parameters<F>) {
    const process = activeProcess();
    return process === undefined ? real.apply(self ?? this, given) : virtual(process, ...given);
  } as unknown as F;
}

type Callback = (...given: unknown[]) => void;

/** `callback` with its arguments. Throws as Node.js does if it is no function. */
function bound(callback: Callback, given: unknown[]): () => void {
  if (typeof callback !== 'function') {
    const error = new TypeError('The "callback" argument must be of type function');
    throw Object.assign(error, { code: 'ERR_INVALID_ARG_TYPE' });
  }
  return given.length === 0 ? callback : () => callback(...given);
}

/** Cancels a timer of a simulated process in any code: its class says that it is virtual. */
function clearing(real: (timer: never) => void): (timer: unknown) => void {
  return (timer) => {
    const found =
      typeof timer === 'number' || typeof timer === 'string'
        ? activeProcess()?.timers.get(Number(timer))
        : timer;
    if (found instanceof VirtualTimer) found.cancel();
    else real(timer as never);
  };
}

function timerFunctions(): Record<string, unknown> {
  const { setTimeout, setInterval, setImmediate } = globalThis;
  const promises = promiseTimers(timersPromises);
  const start = choose<(callback: Callback, ms?: number, ...given: unknown[]) => unknown>(
    (process, callback, ms = 1, ...given) => new VirtualTimer(process, bound(callback, given), ms),
    setTimeout as never,
  );
  const startImmediate = choose<(callback: Callback, ...given: unknown[]) => unknown>(
    (process, callback, ...given) => new VirtualTimer(process, bound(callback, given), undefined),
    setImmediate as never,
  );
  return {
    setTimeout: Object.assign(start, { [promisify.custom]: promises.setTimeout }),
    setInterval: choose<(callback: Callback, ms?: number, ...given: unknown[]) => unknown>(
      (process, callback, ms = 1, ...given) =>
        new VirtualTimer(process, bound(callback, given), ms, true),
      setInterval as never,
    ),
    setImmediate: Object.assign(startImmediate, { [promisify.custom]: promises.setImmediate }),
    clearTimeout: clearing(globalThis.clearTimeout as never),
    clearInterval: clearing(globalThis.clearInterval as never),
    clearImmediate: clearing(globalThis.clearImmediate as never),
  };
}

/** The date of a host, in milliseconds since 1970. */
function dateOf({ world, host }: SimulatedProcess): number {
  return world.startDate + world.now + host.clockOffset;
}

function virtualDate(): DateConstructor {
  const RealDate = globalThis.Date;
  const now = choose(dateOf, RealDate.now);
  const proxy: DateConstructor = new Proxy(RealDate, {
    construct(target, given, newTarget) {
      const process = activeProcess();
      const isNow = given.length === 0 && process !== undefined;
      return Reflect.construct(
        target,
        isNow ? [dateOf(process)] : given,
        newTarget === proxy ? target : newTarget,
      );
    },
    apply: (target) => new target(now()).toString(),
    get: (target, name, receiver) => (name === 'now' ? now : Reflect.get(target, name, receiver)),
  });
  return proxy;
}

function hrtime(): typeof process.hrtime {
  const real = process.hrtime;
  const virtual = ({ world }: SimulatedProcess, before?: [number, number]): [number, number] => {
    const ms = world.now - (before === undefined ? 0 : before[0] * 1_000 + before[1] / 1e6);
    return [Math.floor(ms / 1_000), Math.round((ms % 1_000) * 1e6)];
  };
  return Object.assign(choose(virtual, real as AnyFunction), {
    bigint: choose(({ world }) => BigInt(world.now) * 1_000_000n, real.bigint),
  }) as typeof process.hrtime;
}

function abortAfter(process: SimulatedProcess, ms: number): AbortSignal {
  const controller = new AbortController();
  const end = (): void =>
    controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
  new VirtualTimer(process, end, ms);
  return controller.signal;
}

function replacements(): Replacement[] {
  const functions = timerFunctions();
  installedTimers = functions;
  const { performance } = globalThis;
  const { timeOrigin } = performance;
  const list: Replacement[] = [];
  for (const [name, value] of Object.entries(functions))
    list.push([globalThis, name, value], [timers, name, value]);
  for (const [name, value] of Object.entries(promiseTimers(timersPromises)))
    list.push([timersPromises, name, value]);
  for (const [target, name, value] of cryptoFunctions(choose)) list.push([target, name, value]);
  list.push(
    [globalThis, 'Date', virtualDate()],
    [performance, 'now', choose(({ world }) => world.now, performance.now, performance)],
    [performance, 'timeOrigin', () => activeProcess()?.world.startDate ?? timeOrigin],
    [process, 'hrtime', hrtime()],
    [Math, 'random', choose(({ world }) => world.mathRandom(), Math.random)],
    [AbortSignal, 'timeout', choose(abortAfter, AbortSignal.timeout, AbortSignal)],
  );
  return list;
}

/** The timer functions of the simulation that runs, by name. */
let installedTimers: Readonly<Record<string, unknown>> = {};

/** The names of those that other code has replaced since, such as fake timers. */
export function replacedTimers(): string[] {
  return Object.keys(installedTimers).filter(
    (name) => Reflect.get(globalThis, name) !== installedTimers[name],
  );
}

/** Replaces the globals. Returns the function that restores them. */
export function installGlobals(): () => void {
  const restores: (() => void)[] = [];
  const restoreAll = (): void => {
    for (const restore of restores.reverse()) restore();
    syncBuiltinESMExports();
  };
  try {
    for (const [target, name, value] of replacements()) restores.push(replace(target, name, value));
    syncBuiltinESMExports();
  } catch (error) {
    restoreAll();
    throw error;
  }
  return restoreAll;
}

function replace(target: object, name: string, value: unknown): () => void {
  const before = Object.getOwnPropertyDescriptor(target, name);
  Object.defineProperty(target, name, {
    configurable: true,
    enumerable: before?.enumerable ?? false,
    ...(name === 'timeOrigin' ? { get: value as () => unknown } : { value, writable: true }),
  });
  return () => {
    if (before === undefined) Reflect.deleteProperty(target, name);
    else Object.defineProperty(target, name, before);
  };
}
