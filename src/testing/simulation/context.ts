/**
 * Which simulated process the running code belongs to. Every promise callback, timer and other
 * async resource belongs to the process whose code created it.
 */
import { AsyncResource, createHook, executionAsyncResource } from 'node:async_hooks';
import { CreationStack } from '../creation-stack.js';
import { exchangeModuleState, type ModuleState } from './module-state.js';
import { nameOfResource } from './system-resources.js';
import { UncaughtErrors } from './uncaught-errors.js';
import type { World } from './world.js';

const OWNER = Symbol('simulatedProcess');
/** The owner of the callbacks that drive the simulation. */
const DRIVER = Symbol('driver');
/** Undefined: code that does not belong to the simulation. */
type Owner = SimulatedProcess | typeof DRIVER | undefined;
type Owned = { [OWNER]?: Owner };

const NO_SOCKETS =
  'a simulation has no sockets: use connect() and serve() with sim://host:port or simudp://host:port, and replace a server outside by a host of the simulation';
const NO_THREADS = 'a simulation has none: run the code on a host of its own';

let current: Owner;
/** The owners of the code that the running async callbacks have interrupted. */
let interrupted: Owner[] = [];
/** The owner of the async callback that has ended last. Node.js ends some before it reports. */
let lastLeft: Owner;
/** Whose module state the modules have. The driver uses none, so it changes nothing. */
let loaded: SimulatedProcess | undefined;
/** The module state of the code that belongs to no simulated process. */
const outside: ModuleState = [];

/** The process of the running code. Undefined: the code does not belong to a process. */
export function activeProcess(): SimulatedProcess | undefined {
  return current === DRIVER ? undefined : current;
}

function switchTo(next: Owner): void {
  current = next;
  if (next === DRIVER || next === loaded) return;
  exchangeModuleState(loaded?.moduleState ?? outside, next?.moduleState ?? outside);
  loaded = next;
}

const hook = createHook({
  init(_id, type, _trigger, resource) {
    if (current === undefined || current === DRIVER) return;
    (resource as Owned)[OWNER] = current;
    if (current.world.systemResources.add(type, resource))
      current.failForRealIo(
        nameOfResource(type),
        type === 'WORKER' || type === 'PROCESSWRAP' ? NO_THREADS : undefined,
      );
  },
  before() {
    interrupted.push(current);
    switchTo((executionAsyncResource() as Owned)[OWNER]);
  },
  after() {
    lastLeft = current;
    const next = interrupted.pop();
    // At the end of an event no code runs: the next event loads the state that it needs.
    if (next === undefined && interrupted.length === 0) current = undefined;
    else switchTo(next);
  },
});

const uncaughtErrors = new UncaughtErrors({
  onRejection(reason, promise) {
    const owner = (promise as Owned)[OWNER];
    if (!(owner instanceof SimulatedProcess)) return false;
    owner.fail('rejected a promise that nothing handled', reason);
    return true;
  },
  onException(error) {
    const owner = interrupted.length > 0 ? current : lastLeft;
    if (!(owner instanceof SimulatedProcess)) return false;
    owner.failForException(error);
    return true;
  },
});

/** From now on the process of running code is known. Call it from code outside of a simulation. */
export function startTracking(): void {
  hook.enable();
  uncaughtErrors.start();
}

export function stopTracking(): void {
  hook.disable();
  uncaughtErrors.stop();
  interrupted = [];
  lastLeft = undefined;
  switchTo(undefined);
}

/** Makes `timer` a timer of the driver. */
export function ownByDriver(timer: object): void {
  (timer as Owned)[OWNER] = DRIVER;
}

/**
 * Call it in a timer of the driver. It leaves the processes of callbacks that have thrown: Node.js
 * does not report their end.
 */
export function enterDriver(): void {
  interrupted = [undefined];
  switchTo(DRIVER);
}

/** A connection or socket of a process. */
interface ProcessSocket {
  /** The host is gone. */
  abandon(): void;
  /** The process is dead, and its system closes the socket. Undefined: as abandon(). */
  closeBySystem?(): void;
}

/** One process of a host, from its start to its crash. */
export class SimulatedProcess {
  readonly world: World;
  /** Owns the clock, which a restart does not change. */
  readonly host: { readonly name: string; clockOffset: number };
  readonly moduleState: ModuleState = [];
  /** Timers that have not fired, by their ids. */
  readonly timers = new Map<number, { readonly due: number; cancel(): void }>();
  /** Connections and sockets of this process. */
  readonly sockets = new Set<ProcessSocket>();
  isDead = false;
  isPaused = false;
  /** Callbacks that became due while the process was paused. */
  #deferred: [AsyncResource, () => void][] = [];
  readonly #root: AsyncResource;

  constructor(world: World, host: SimulatedProcess['host']) {
    this.world = world;
    this.host = host;
    this.#root = this.resource('SIMULATEDPROCESS');
  }

  /** A new async resource of this process. Its async context is that of the running code. */
  resource(type: string): AsyncResource {
    const before = current;
    switchTo(this);
    try {
      return new AsyncResource(type);
    } finally {
      switchTo(before);
    }
  }

  /** Runs `fn` as code of this process, also while it is paused. */
  enter<T>(fn: () => T): T {
    return this.#root.runInAsyncScope(fn);
  }

  /**
   * Calls `callback` in `resource`, a resource of this process, as an event of its event loop:
   * after resume() if the process is paused, and never if it is dead.
   */
  dispatch(callback: () => void, resource = this.#root): void {
    if (this.isDead) return;
    if (this.isPaused) {
      this.#deferred.push([resource, callback]);
      return;
    }
    try {
      resource.runInAsyncScope(callback);
    } catch (error) {
      this.failForException(error);
    }
  }

  /** Ends the simulation, unless the process is dead. `what` follows the name of the host. */
  fail(what: string, error: unknown): void {
    if (!this.isDead) this.world.fail(`${this.host.name} ${what}`, error);
  }

  /** A real process ends then. */
  failForException(error: unknown): void {
    this.fail('threw an exception that nothing caught', error);
  }

  /** `what`: the address or the name of the resource. */
  failForRealIo(what: string, hint = NO_SOCKETS): void {
    const stack = new CreationStack();
    const error = new Error(hint);
    // The frames of an Error may be those of this package and of Node.js alone.
    error.stack = `Error: ${hint}\n${stack}`;
    const place = stack.programFrames[0]?.trim() ?? '';
    const use = 'uses a socket, thread or process of the system';
    this.world.fail(`${this.host.name} ${use} (${what}) ${place}`.trim(), error);
  }

  /** How many events wait for resume(). */
  get deferredEvents(): number {
    return this.#deferred.length;
  }

  resume(): void {
    this.isPaused = false;
    const deferred = this.#deferred;
    this.#deferred = [];
    for (const [resource, callback] of deferred)
      this.world.schedule(0, () => this.dispatch(callback, resource));
  }

  /** `isSystemAlive`: the system of the host closes the connections of the process. */
  kill(isSystemAlive = false): void {
    this.isDead = true;
    this.#deferred = [];
    for (const timer of [...this.timers.values()]) timer.cancel();
    for (const socket of this.sockets) {
      if (isSystemAlive && socket.closeBySystem !== undefined) socket.closeBySystem();
      else socket.abandon();
    }
    this.sockets.clear();
  }
}
