/** What the hosts of a simulation wait for: a part of the message when a scenario is not done. */
import { createHook, executionAsyncId } from 'node:async_hooks';
import type { CallMade } from '../../rpc/calls/channel.js';
import type { Call } from '../../rpc/index.js';
import { counted } from '../assertion.js';
import { CreationStack } from '../creation-stack.js';
import type { Leak } from '../leaks/leak-report.js';
import { heldBy } from '../leaks/leaks.js';
import { resourceOf } from '../leaks/tracked-resources.js';
import { activeProcess, type SimulatedProcess } from './context.js';
import { formatTime } from './durations.js';
import type { Host } from './types.js';

/** How many hosts the report has, and how many lines of each kind it has of one host. */
const MAX_HOSTS = 20;
const MAX_LINES = 10;
/** What most often holds up a scenario comes first. */
const ORDER: readonly Leak['kind'][] = ['call', 'stream', 'handler', 'session'];

const OF_CALLS: readonly Leak['kind'][] = ['call', 'stream', 'handler'];

/** The part of a ServerCall that is used here. */
type CallServed = Call & { readonly sequenceLow: number };

interface PendingAwait {
  readonly process: SimulatedProcess;
  readonly stack: CreationStack;
  /** Virtual milliseconds since the start. */
  readonly since: number;
}

/** Records each `await` until it ends, and where each timer was created: the option `stacks`. */
export class StackRecorder {
  readonly #now: () => number;
  /** By async id, in the order in which they began. */
  readonly #awaits = new Map<number, PendingAwait>();
  readonly #timers = new WeakMap<object, CreationStack>();
  readonly #hook = createHook({
    init: (id, type, trigger, resource) => {
      const process = activeProcess();
      if (process === undefined) return;
      if (type === 'Timeout') this.#timers.set(resource, new CreationStack());
      // The promise of an `await`, or of then(), follows another promise, its trigger.
      else if (type === 'PROMISE' && trigger !== executionAsyncId())
        this.#awaits.set(id, { process, stack: new CreationStack(), since: this.#now() });
    },
    before: (id) => {
      this.#awaits.delete(id);
    },
    promiseResolve: (id) => {
      this.#awaits.delete(id);
    },
  });

  /** `now`: virtual milliseconds since the start. */
  constructor(now: () => number) {
    this.#now = now;
  }

  start(): void {
    this.#hook.enable();
  }

  stop(): void {
    this.#hook.disable();
  }

  /** The frame of the program that has created a timer. */
  placeOf(timer: object): string | undefined {
    return placeOf(this.#timers.get(timer));
  }

  /** The awaits of a process, one for each line of the program, the oldest first. */
  awaitsOf(process: SimulatedProcess): string[] {
    const found = new Map<string, string>();
    for (const { process: owner, stack, since } of this.#awaits.values()) {
      const place = owner === process ? placeOf(stack) : undefined;
      if (place === undefined) continue;
      // A call and its await are two columns of one line.
      const line = place.replace(/:\d+(\)?)$/, '$1');
      if (!found.has(line)) found.set(line, `await since ${formatTime(since)} ${place}`);
    }
    return [...found.values()];
  }
}

/** Such as `at scenario (/test/orders.test.ts:12:9)`. Undefined: no code of the program. */
function placeOf(stack: CreationStack | undefined): string | undefined {
  return stack?.programFrames[0]?.trim().replace(/^at async /, 'at ');
}

/** A host, with its present process. */
type ReportedHost = Pick<Host, 'name' | 'state'> & {
  readonly process: SimulatedProcess | undefined;
};

/** `recorder`: undefined without the option `stacks`. */
export function stallReport(
  scenarioHosts: Iterable<ReportedHost>,
  recorder: StackRecorder | undefined,
): string {
  const lines = limited(
    [...scenarioHosts].map((host) => reportOf(host, recorder).join('\n')),
    MAX_HOSTS,
  );
  const hint =
    recorder === undefined
      ? ['to see each await and where each timer was created: simulate({ stacks: true, … })']
      : [];
  return ['hosts:', ...lines.map((line) => `  ${line}`), ...hint].join('\n');
}

function reportOf(
  { name, state, process }: ReportedHost,
  recorder: StackRecorder | undefined,
): string[] {
  if (process === undefined) return [`${name}: ${state}`];
  // Those that became due during a pause are among the deferred events.
  const timers = [...process.timers.values()]
    .filter(({ due }) => due >= process.world.now)
    .sort((one, other) => one.due - other.due);
  const facts = [state as string];
  if (process.deferredEvents > 0)
    facts.push(`${counted(process.deferredEvents, 'event')} until resume()`);
  if (timers[0] !== undefined)
    facts.push(`${counted(timers.length, 'timer')}, the next at ${formatTime(timers[0].due)}`);
  const rank = ({ kind }: Leak): number =>
    ORDER.includes(kind) ? ORDER.indexOf(kind) : ORDER.length;
  const held = heldBy(process).sort((one, other) => rank(one) - rank(other));
  const places = timers.flatMap((timer) => {
    const place = recorder?.placeOf(timer);
    return place === undefined ? [] : [`timer for ${formatTime(timer.due)} ${place}`];
  });
  const details = [
    ...limited(recorder?.awaitsOf(process) ?? [], MAX_LINES),
    ...limited(held.map(textOf), MAX_LINES),
    ...limited(places, MAX_LINES),
  ];
  return [`${name}: ${facts.join(', ')}`, ...details.map((detail) => `    ${detail}`)];
}

/** A call or handler has its start, and the digits of its request in the trace. */
function textOf(leak: Leak): string {
  const { description, kind } = leak;
  if (!OF_CALLS.includes(kind)) return description;
  const resource = resourceOf.get(leak) as CallMade | CallServed;
  const { sequenceLow } = resource;
  // Virtual milliseconds.
  const { deadline, timeout } = 'call' in resource ? resource.call : resource;
  const request =
    sequenceLow === undefined
      ? ''
      : `, request ${(sequenceLow >>> 0).toString(16).padStart(8, '0')}`;
  const hasStart = deadline !== undefined && timeout !== undefined;
  return `${description}${request}${hasStart ? ` since ${formatTime(deadline - timeout)}` : ''}`;
}

function limited(lines: readonly string[], max: number): string[] {
  const more = lines.length - max;
  return more > 0 ? [...lines.slice(0, max), `and ${more} more`] : [...lines];
}
