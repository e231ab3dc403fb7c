/** Replays the logs of consumers and providers into the history checker, and measures. */
import { History, type RecordedCall } from '../simulation/history.js';
import { StallTime } from './stall-time.js';

/**
 * Milliseconds after its deadline in which a call of a real process may end, besides the stalls of
 * the process.
 */
const TOLERANCE = 200;

interface Entry {
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
  return { at: Number(fields[0] === 'nodes' ? fields[1] : fields[2]), fields };
}

/** How much longer the calls of one consumer took because its process did not run, by their ids. */
function stallsOfCalls(lines: readonly string[]): ReadonlyMap<string, number> {
  const entries = lines.map(entryOf);
  const stalls = new StallTime(
    entries.flatMap(({ at, fields: [type, begin] }) =>
      type === 'stall' ? [[Number(begin), at] as const] : [],
    ),
  );
  const begins = new Map<string, number>();
  const found = new Map<string, number>();
  for (const { at, fields } of entries) {
    const [type, id = ''] = fields;
    if (type === 'begin') begins.set(id, at);
    else if (type === 'end') found.set(id, stalls.between(begins.get(id) ?? at, at));
  }
  return found;
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
    const stalls = stallsOfCalls(lines);
    const own = lines.map((line) => ({ ...entryOf(line), name, stalls }));
    if (crashedAt !== undefined) own.push({ at: crashedAt, fields: ['crash'], name, stalls });
    return own;
  });
  entries.sort((one, other) => one.at - other.at);
  for (const { name, at, fields, stalls } of entries) {
    const [type, id = '', , third = '', fourth = '', ...rest] = fields;
    const timeline = timelines.get(name);
    time = at;
    if (type === 'begin') {
      const kind = rest.join(' ');
      const [isIdempotent, isOneway] = [kind.endsWith('read'), kind.endsWith('note')];
      const call = { kind: `${kind}, ${fourth}`, host: name, isIdempotent, isOneway };
      calls.set(id, history.begin(call, Number(third) + TOLERANCE + (stalls.get(id) ?? 0)));
      timeline?.begins.push(at);
    } else if (type === 'end') {
      const call = calls.get(id);
      if (call === undefined) throw new Error(`the log of ${name} ends the unknown call ${id}`);
      if (third.startsWith('WRONG_ANSWER')) wrong.push(`call ${id} (${call.kind}): ${third}`);
      const error = third === 'OK' ? undefined : { code: third, unsent: fourth === 'true' };
      history.end(call, error);
      if (error === undefined) timeline?.successes.push(at);
    } else if (type === 'crash') history.hostCrashed(name);
    else if (type === 'nodes') timeline?.lists.push({ at, length: Number(fields[2]) });
  }
  for (const id of runs) history.run(calls.get(id)?.id ?? id, 'a provider');
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
