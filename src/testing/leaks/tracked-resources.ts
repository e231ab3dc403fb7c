/** What this process holds of the package: it listens to core/resource-tracker.ts. */
import type { ResourceKind, ResourceTracker } from '../../core/resource-tracker.js';
import type { RpcChannel } from '../../rpc/calls/channel.js';
import type { Call } from '../../rpc/index.js';
import { isStreaming } from '../../rpc/method-kind.js';
import type { Endpoint, Session } from '../../transport/types.js';
import { CreationStack } from '../creation-stack.js';
import { activeProcess, type SimulatedProcess } from '../simulation/context.js';
import { handlerRuns } from './handler-runs.js';
import type { Leak } from './leak-report.js';

/**
 * Timers that are over are removed when this many are known, and then each time twice as many are
 * known as remained.
 */
const MIN_TIMERS = 1_000;
/** The same for sessions that ended before their handlers. */
const MIN_ENDED_CHANNELS = 100;

/** What is recorded of a resource that is open. */
interface OpenResource {
  readonly kind: ResourceKind;
  readonly stack: CreationStack | undefined;
  /** The simulated process that created it. */
  readonly process: SimulatedProcess | undefined;
}

/** A channel whose session ended while handlers of it were running. */
interface EndedChannel {
  readonly endpoint: object | undefined;
  /** Of its endpoint, which may be closed too. */
  readonly stack: CreationStack | undefined;
  /** For whom the handlers run: the peer, or a run of callHandler(). */
  readonly purpose: string;
  readonly process: SimulatedProcess | undefined;
}

/** The endpoint of a session, call, stream or handler. */
export const endpoints = new WeakMap<Leak, object>();
/** Of a call or stream: its CallMade. Of a handler: its ServerCall. */
export const resourceOf = new WeakMap<Leak, object>();
/** Handlers of sessions that have ended. They have no timer. */
export const isOfEndedSession = new WeakSet<Leak>();

export class TrackedResources implements ResourceTracker {
  readonly #open = new Map<object, OpenResource>();
  readonly #endedChannels = new Map<RpcChannel, EndedChannel>();
  #endedChannelLimit = MIN_ENDED_CHANNELS;
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
    const record = this.#open.get(resource);
    this.#open.delete(resource);
    if (record?.kind === 'channel') this.#keepHandlers(resource as RpcChannel, record.process);
  }

  /** Handlers that ignore their signal run on when their session has closed. */
  #keepHandlers(channel: RpcChannel, process: SimulatedProcess | undefined): void {
    if (channel.inFlight.served.length === 0) return;
    const endpoint = channel.session?.endpoint;
    const stack = endpoint && this.#open.get(endpoint)?.stack;
    const run = endpoint && handlerRuns.get(endpoint.address);
    const purpose = run === undefined ? `for ${channel.peer}` : `of ${run}`;
    this.#endedChannels.set(channel, { endpoint, stack, purpose, process });
    if (this.#endedChannels.size < this.#endedChannelLimit) return;
    this.#removeEndedHandlers();
    this.#endedChannelLimit = Math.max(MIN_ENDED_CHANNELS, this.#endedChannels.size * 2);
  }

  #removeEndedHandlers(): void {
    for (const [channel, { process }] of this.#endedChannels)
      if (process?.isDead || channel.inFlight.served.length === 0)
        this.#endedChannels.delete(channel);
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
    this.#removeEndedHandlers();
    return [
      ...[...this.#open].flatMap(([resource, record]) => this.#describe(resource, record)),
      ...[...this.#endedChannels].flatMap(([channel, record]) => this.#handlersOf(channel, record)),
      ...this.#removeEndedTimers().map((timer) =>
        this.#leak('timer', 'timer', timer, String(this.#timerStacks.get(timer))),
      ),
    ];
  }

  /** What a simulated process holds, without its timers. */
  heldBy(owner: SimulatedProcess): Leak[] {
    const isHeld = ([, record]: [object, { process: unknown }]): boolean =>
      record.process === owner;
    return [
      ...[...this.#open].filter(isHeld).flatMap((entry) => this.#describe(...entry)),
      ...[...this.#endedChannels].filter(isHeld).flatMap((entry) => this.#handlersOf(...entry)),
    ];
  }

  /** The handlers that run although their session has ended. */
  #handlersOf({ inFlight }: RpcChannel, { endpoint, stack, purpose }: EndedChannel): Leak[] {
    return inFlight.served.map((call) => {
      const text = `handler ${nameOf(call)} ${purpose} still runs after the end of its session`;
      const leak = this.#leak('handler', text, call, String(stack ?? ''), endpoint);
      isOfEndedSession.add(leak);
      return leak;
    });
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
    return [
      ...inFlight.made.map((made) => {
        const kind = isStreaming(made.call.method.kind) ? 'stream' : 'call';
        const text = `${kind} ${nameOf(made.call)} to ${peer}`;
        return this.#leak(kind, text, made, stack, endpoint);
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

const nameOf = ({ method }: Call): string => `${method.service}.${method.name}`;

/** False for the timers of fake clocks too: they do not keep anything of the system. */
function isRunning(timer: NodeJS.Timeout): boolean {
  return (timer as { _destroyed?: boolean })._destroyed === false;
}
