/** Replays the logs of consumers and providers into the history checker, and measures. */
import { History, type RecordedCall } from '../simulation/history.js';

/**
 * Milliseconds after its deadline in which a call of a real process may end, besides the stalls of
 * the process.
 */
const TOLERANCE = 250;

interface Entry {
  /** Where it belongs in the replay. */
  readonly order: number;
  /** When it was written. */
  readonly at: number;
  readonly fields: readonly string[];
}

export interface ConsumerLog {
  readonly name: string;
  readonly lines: readonly string[];
  /** When the process was killed. */
  readonly crashedAt?: number | undefined;
}

/** One consumer, with the lengths of its lists. All times are in milliseconds. */
export interface ConsumerTimeline {
  readonly name: string;
  /** When calls began. */
  readonly begun: readonly number[];
  /** When the successful calls began. */
  readonly succeeded: readonly number[];
  readonly lists: readonly { readonly at: number; readonly length: number }[];
  /** The longest time without a success while it made calls, in milliseconds. */
  readonly outage: number;
}

export interface LogReport {
  readonly calls: number;
  readonly failed: number;
  readonly doubled: number;
  readonly lost: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly violations: readonly string[];
  readonly timelines: readonly ConsumerTimeline[];
}

function entryOf(line: string): Entry {
  const fields = line.split(' ');
  const [type, first, second] = fields;
  // A stall counts from its beginning: the calls that it has delayed end after it.
  if (type === 'stall') return { order: Number(first), at: Number(second), fields };
  const at = Number(type === 'nodes' ? first : second);
  return { order: at, at, fields };
}

/** `runs`: the ids in the logs of the providers. */
export function checkLogs(consumers: readonly ConsumerLog[], runs: readonly string[]): LogReport {
  let time = 0;
  const history = new History(() => time);
  const calls = new Map<string, RecordedCall>();
  const timelines = new Map(
    consumers.map(({ name }) => [
      name,
      {
        begins: [] as number[],
        successes: [] as number[],
        lists: [] as ConsumerTimeline['lists'][number][],
      },
    ]),
  );
  const wrong: string[] = [];
  const entries = consumers.flatMap(({ name, lines, crashedAt }) => {
    const own = lines.map((line) => ({ ...entryOf(line), name }));
    if (crashedAt !== undefined)
      own.push({ order: Number.POSITIVE_INFINITY, at: crashedAt, fields: ['crash'], name });
    return own;
  });
  entries.sort((one, other) => one.order - other.order);
  for (const { name, at, fields } of entries) {
    const [type, id = '', , third = '', fourth = '', ...rest] = fields;
    const timeline = timelines.get(name);
    time = at;
    if (type === 'begin') {
      const kind = rest.join(' ');
      const [isIdempotent, isOneway] = [kind.endsWith('read'), kind.endsWith('note')];
      const call = { kind: `${kind}, ${fourth}`, host: name, isIdempotent, isOneway };
      calls.set(id, history.begin(call, Number(third) + TOLERANCE));
      timeline?.begins.push(at);
    } else if (type === 'end') {
      const call = calls.get(id);
      if (call === undefined) throw new Error(`the log of ${name} ends the unknown call ${id}`);
      if (third.startsWith('WRONG_ANSWER')) wrong.push(`call ${id} (${call.kind}): ${third}`);
      const error = third === 'OK' ? undefined : { code: third, unsent: fourth === 'true' };
      history.end(call, error);
      if (error === undefined) timeline?.successes.push(at);
    } else if (type === 'stall') history.hostResumed(name);
    else if (type === 'crash') history.hostCrashed(name);
    else if (type === 'nodes') timeline?.lists.push({ at, length: Number(fields[2]) });
  }
  for (const id of runs) history.run(calls.get(id)?.id ?? id);
  history.check();
  const all = [...calls.values()];
  return {
    calls: all.length,
    failed: all.filter(({ outcomes }) => outcomes[0]?.code !== undefined).length,
    doubled: all.filter(({ isIdempotent, runs }) => isIdempotent && runs > 1).length,
    lost: all.filter(isLost).length,
    counts: Object.fromEntries(history.counts),
    violations: [...history.violations, ...wrong],
    timelines: [...timelines].map(([name, { begins, successes, lists }]) => ({
      name,
      begun: begins,
      succeeded: all
        .filter((call) => call.host === name && hasSucceeded(call))
        .map(({ startedAt }) => startedAt),
      lists,
      outage: longestGap(begins, successes),
    })),
  };
}

function hasSucceeded({ outcomes: [outcome] }: RecordedCall): boolean {
  return outcome !== undefined && outcome.code === undefined;
}

/** A oneway call that was sent and did not run. */
function isLost(call: RecordedCall): boolean {
  return call.isOneway === true && hasSucceeded(call) && call.runs === 0;
}

/** From the first call to the last one. */
function longestGap(begins: readonly number[], successes: readonly number[]): number {
  const [first, last] = [begins[0], begins.at(-1)];
  if (first === undefined || last === undefined) return 0;
  const times = [first, ...successes.filter((at) => at < last), last];
  return Math.max(...times.slice(1).map((at, i) => at - (times[i] as number)));
}
