/** leaks() and assertNoLeaks(): what this process still holds of the package. */
import { badOption, checkNames, checkNumber, type NamesOf } from '../core/options.js';
import { type ResourceKind, type ResourceTracker, resources } from '../core/resource-tracker.js';
import type { RpcChannel } from '../rpc/calls/channel.js';
import type { Call } from '../rpc/index.js';
import { isStreaming } from '../rpc/method-kind.js';
import type { Endpoint, Session } from '../transport/types.js';
import { fail } from './assertion.js';
import { CreationStack } from './creation-stack.js';
import { handlerRuns } from './handler-runs.js';
import { type Leak, leakReport } from './leak-report.js';
import { activeProcess, type SimulatedProcess } from './simulation/context.js';

export type { Leak };

/** Options of assertNoLeaks(). */
export interface LeakOptions {
  /** What may be left, such as the result of leaks() before a test. Default: nothing. */
  ignore?: readonly Leak[] | undefined;
  /** How long resources that are being closed may take, in ms. Default: 1,000. */
  timeout?: number | undefined;
}

const OPTION_NAMES = { ignore: true, timeout: true } satisfies NamesOf<LeakOptions>;

/** Milliseconds. */
export const LEAK_DEFAULTS = { timeout: 1_000 } satisfies LeakOptions;

/** Milliseconds between two checks of assertNoLeaks(). */
const CHECK_PERIOD = 2;
/**
 * Timers that are over are removed when this many are known, and then each time twice as many are
 * known as remained.
 */
const MIN_TIMERS = 1_000;

// A test may replace them.
const { setTimeout: callLater, performance } = globalThis;
const now = performance.now.bind(performance);

/** What is recorded of a resource that is open. */
interface OpenResource {
  readonly kind: ResourceKind;
  readonly stack: CreationStack | undefined;
  /** The simulated process that created it. */
  readonly process: SimulatedProcess | undefined;
}

/** The endpoint of a session, call, stream or handler. */
const endpoints = new WeakMap<Leak, object>();
/** Resources that assertNoLeaks() has reported. */
const reported = new WeakSet<object>();
const resourceOf = new WeakMap<Leak, object>();

class Resources implements ResourceTracker {
  readonly #open = new Map<object, OpenResource>();
  /** Weak: a timer that is over must not keep the objects of its callback and of its stack. */
  readonly #timers = new Set<WeakRef<NodeJS.Timeout>>();
  readonly #timerStacks = new WeakMap<NodeJS.Timeout, CreationStack>();
  readonly #ids = new WeakMap<object, number>();
  #lastId = 0;
  #timerLimit = MIN_TIMERS;

  onOpen(kind: ResourceKind, resource: object): void {
    if (kind === 'timer') this.#addTimer(resource as NodeJS.Timeout);
    else if (!this.#open.has(resource)) {
      // A channel without a session is a call of a mock stub.
      const hasStack =
        kind === 'endpoint' ||
        kind === 'consumer' ||
        (kind === 'channel' && (resource as RpcChannel).session === undefined);
      const stack = hasStack ? new CreationStack() : undefined;
      this.#open.set(resource, { kind, stack, process: activeProcess() });
    }
  }

  onClose(resource: object): void {
    this.#open.delete(resource);
  }

  #addTimer(timer: NodeJS.Timeout): void {
    this.#timers.add(new WeakRef(timer));
    this.#timerStacks.set(timer, new CreationStack());
    if (this.#timers.size < this.#timerLimit) return;
    this.#removeEndedTimers();
    this.#timerLimit = Math.max(MIN_TIMERS, this.#timers.size * 2);
  }

  /** Removes the timers that are over, and returns the others. */
  #removeEndedTimers(): NodeJS.Timeout[] {
    const running: NodeJS.Timeout[] = [];
    for (const reference of this.#timers) {
      const timer = reference.deref();
      if (timer !== undefined && isRunning(timer)) running.push(timer);
      else this.#timers.delete(reference);
    }
    return running;
  }

  leaks(): Leak[] {
    // A simulated process that has crashed or stopped holds nothing, but closes nothing either.
    for (const [resource, { process }] of this.#open)
      if (process?.isDead) this.#open.delete(resource);
    return [
      ...[...this.#open].flatMap(([resource, record]) => this.#describe(resource, record)),
      ...this.#removeEndedTimers().map((timer) =>
        this.#leak('timer', 'timer', timer, String(this.#timerStacks.get(timer))),
      ),
    ];
  }

  /** What a simulated process holds, without its timers. */
  heldBy(owner: SimulatedProcess): Leak[] {
    return [...this.#open].flatMap(([resource, record]) =>
      record.process === owner ? this.#describe(resource, record) : [],
    );
  }

  #describe(resource: object, { kind, stack }: OpenResource): Leak[] {
    if (kind === 'consumer') return [this.#leak(kind, 'consumer', resource, String(stack))];
    if (kind === 'endpoint') {
      const { type, address } = resource as Endpoint<unknown>;
      const place = type === 'server' ? `at ${address}` : `of ${address}`;
      const run = handlerRuns.get(address);
      const text = run === undefined ? `${type} ${place}` : `${type} of ${run}`;
      return [this.#leak(type, text, resource, String(stack))];
    }
    if (kind === 'channel') return this.#callsOf(resource as RpcChannel, stack);
    const { id, localAddress, remoteAddress, endpoint } = resource as Session<unknown>;
    const text = `session ${id} of a ${endpoint.type}, from ${localAddress} to ${remoteAddress}`;
    return [this.#leak('session', text, resource, this.#stackOf(endpoint), endpoint)];
  }

  #stackOf(endpoint: object | undefined): string {
    return String((endpoint && this.#open.get(endpoint)?.stack) ?? '');
  }

  #callsOf({ inFlight, peer, session }: RpcChannel, ownStack: CreationStack | undefined): Leak[] {
    const endpoint = session?.endpoint;
    const stack = ownStack === undefined ? this.#stackOf(endpoint) : String(ownStack);
    const nameOf = ({ method }: Call): string => `${method.service}.${method.name}`;
    return [
      ...inFlight.made.map((call) => {
        const kind = isStreaming(call.method.kind) ? 'stream' : 'call';
        return this.#leak(kind, `${kind} ${nameOf(call)} to ${peer}`, call, stack, endpoint);
      }),
      ...inFlight.served.map((call) =>
        this.#leak('handler', `handler ${nameOf(call)} for ${peer}`, call, stack, endpoint),
      ),
    ];
  }

  #leak(
    kind: Leak['kind'],
    description: string,
    resource: object,
    stack: string,
    endpoint?: object,
  ): Leak {
    let id = this.#ids.get(resource);
    if (id === undefined) {
      id = ++this.#lastId;
      this.#ids.set(resource, id);
    }
    const leak = { kind, description, stack, id };
    resourceOf.set(leak, resource);
    if (endpoint !== undefined) endpoints.set(leak, endpoint);
    return leak;
  }
}

/** False for the timers of fake clocks too: they do not keep anything of the system. */
function isRunning(timer: NodeJS.Timeout): boolean {
  return (timer as { _destroyed?: boolean })._destroyed === false;
}

const tracked = new Resources();
resources.tracker = tracked;

/**
 * What the process holds of this package: servers, clients and consumers that are not closed, open
 * sessions, calls and streams in flight, and running timers. What was created before
 * `getty-ts/testing` was imported is not known.
 */
export function leaks(): Leak[] {
  return tracked.leaks();
}

/** What a simulated process holds, in the form of leaks(), without its timers. */
export function heldBy(process: SimulatedProcess): Leak[] {
  return tracked.heldBy(process);
}

/**
 * Waits until leaks() has only what `ignore` has, and what an earlier call has reported. Rejects
 * with an AssertionError if that takes more than `timeout` ms. Its message has the endpoints,
 * consumers and calls with their stacks, and what each of them still holds. Use it after each test
 * and its clean-up. With vitest:
 *
 * ```ts
 * beforeEach(() => {
 *   onTestFinished(() => assertNoLeaks());
 * });
 * ```
 *
 * Each resource is reported once, so a test that fails before its clean-up does not make the next
 * ones fail. While it is open, its further sessions and calls and all timers are not reported.
 * Rejects with BAD_OPTION.
 */
export async function assertNoLeaks(options: LeakOptions = {}): Promise<void> {
  checkNames('assertNoLeaks()', options, OPTION_NAMES);
  const { ignore = [], timeout = LEAK_DEFAULTS.timeout } = options;
  if (!Array.isArray(ignore)) throw badOption('ignore', ignore, 'what leaks() returned');
  checkNumber('timeout', timeout, 0, Number.POSITIVE_INFINITY);
  const ignored = new Set(ignore.map(({ id }) => id));
  const end = now() + timeout;
  for (;;) {
    const left = notReported(leaks()).filter(({ id }) => !ignored.has(id));
    if (left.length === 0) return;
    if (now() >= end) {
      for (const leak of left) reported.add(resourceOf.get(leak) as object);
      fail(leakReport(left, holderOf), [], left);
    }
    await new Promise((resolve) => callLater(resolve, CHECK_PERIOD));
  }
}

/** Equal for what ends together: a run of callHandler(), an endpoint, or the resource itself. */
function holderOf(leak: Leak): unknown {
  const holder = endpoints.get(leak) ?? resourceOf.get(leak);
  const { address } = holder as Partial<Endpoint<unknown>>;
  return address !== undefined && handlerRuns.has(address) ? address : holder;
}

function isReported(resource: object | undefined): boolean {
  return resource !== undefined && reported.has(resource);
}

/** Leaves out what was reported, and what belongs to that. */
function notReported(all: readonly Leak[]): Leak[] {
  const isNew = (leak: Leak): boolean =>
    !isReported(resourceOf.get(leak)) && !isReported(endpoints.get(leak));
  const found = all.filter(isNew);
  // Reported sessions share the timers of the process with all others, and may make new ones.
  const hasReported = all.some((leak) => leak.kind !== 'timer' && !isNew(leak));
  return hasReported ? found.filter(({ kind }) => kind !== 'timer') : found;
}
