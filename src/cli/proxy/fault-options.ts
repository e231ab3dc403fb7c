/** The options for the faults that `getty proxy` makes. */
import { show } from '../../core/options.js';
import type { Direction, Faults, ProxyFaults } from '../../testing/proxy/index.js';
import { UsageError } from '../failure.js';
import { parseChoice, parseDuration, parseInteger, readDuration } from '../option-values.js';
import type { Framing } from './traffic-record.js';

/** Milliseconds. */
interface Delay {
  readonly latency: number;
  readonly jitter: number | undefined;
}

export interface FaultOptions {
  readonly latency?: Delay;
  readonly jitter?: Delay;
  readonly bandwidth?: number;
  readonly slice?: number;
  readonly blocked?: boolean;
  readonly halfOpen?: boolean;
  readonly limit?: number;
  readonly resetAfter?: number;
  readonly loss?: number;
  readonly duplication?: number;
  readonly reordering?: number;
  readonly direction?: Direction | 'both';
  readonly seed?: number;
}

/** The part of commander's Command that this file needs. */
interface OptionTarget {
  option(flags: string, description: string): unknown;
  option<T>(flags: string, description: string, parse: (text: string) => T): unknown;
}

export const FAULT_DIRECTIONS = ['both', 'toServer', 'toClient'] as const;
const DEFAULT_SEED = 1;
const STREAM_FAULTS = { slice: '--slice', halfOpen: '--half-open' } as const;
const DATAGRAM_FAULTS = {
  loss: '--loss',
  duplication: '--duplication',
  reordering: '--reordering',
} as const;

export function addFaultOptions(command: OptionTarget): void {
  const bytes = (flags: string, description: string): unknown => {
    const [name = ''] = flags.split(' ');
    return command.option(flags, description, (text) => parseBytes(name, text));
  };
  const share = (name: string, what: string): unknown =>
    command.option(`${name} <share>`, `${what}, such as 0.01 or 1%`, (text) =>
      parseShare(name, text),
    );
  command.option('--latency <delay>', 'delay all bytes, such as 50ms or 50±10ms', (text) =>
    parseDelay('--latency', text),
  );
  command.option('--jitter <delay>', 'add a random delay up to this', (text) =>
    parseDelay('--jitter', text),
  );
  bytes('--bandwidth <bytes>', 'bytes per second of each connection, such as 100k');
  bytes('--slice <bytes>', 'the most bytes that arrive at once; streams only');
  bytes('--limit <bytes>', 'reset a connection after so many bytes');
  command.option('--reset-after <duration>', 'reset a connection after this time', (text) =>
    parseDuration('--reset-after', text),
  );
  command.option('--half-open', 'pass no end and no reset on; streams only');
  command.option('--blocked', 'accept connections, and pass nothing');
  share('--loss', 'lose this part of the datagrams');
  share('--duplication', 'send this part of the datagrams twice');
  share('--reordering', 'let the next datagram overtake this part');
  command.option(
    '--direction <direction>',
    'the faults are for: both, toServer, toClient (default: both)',
    (text) => parseChoice('--direction', text, FAULT_DIRECTIONS),
  );
  command.option('--seed <number>', 'determines the random choices (default: 1)', (text) =>
    parseInteger('--seed', text, 0, Number.MAX_SAFE_INTEGER),
  );
}

export const seedOf = ({ seed = DEFAULT_SEED }: FaultOptions): number => seed;

/** Throws UsageError for a fault that the transport does not have. */
export function faultsOf(options: FaultOptions, framing: Framing): ProxyFaults {
  const { latency, jitter, direction = 'both' } = options;
  const isDatagrams = framing === 'datagrams';
  const excluded: Readonly<Record<string, string>> = isDatagrams ? STREAM_FAULTS : DATAGRAM_FAULTS;
  for (const [name, flag] of Object.entries(excluded))
    if (options[name as keyof FaultOptions] !== undefined)
      throw new UsageError(
        isDatagrams
          ? `${flag}: it is a fault of streams, and TARGET has udp://`
          : `${flag}: it is a fault of datagrams, and TARGET does not have udp://`,
      );
  if (jitter?.jitter !== undefined)
    throw new UsageError('--jitter: expected a delay without ±, such as 10ms');
  if (latency?.jitter !== undefined && jitter !== undefined)
    throw new UsageError('--latency, --jitter: got two jitters, expected one of them');
  const faults: Faults = {
    latency: latency?.latency,
    jitter: latency?.jitter ?? jitter?.latency,
    bandwidth: options.bandwidth,
    slice: options.slice,
    blocked: options.blocked,
    halfOpen: options.halfOpen,
    limit: options.limit,
    resetAfter: options.resetAfter,
    loss: options.loss,
    duplication: options.duplication,
    reordering: options.reordering,
  };
  return direction === 'both' ? faults : { [direction]: faults };
}

const BYTE_UNITS: Readonly<Record<string, number>> = {
  k: 1_000,
  M: 1_000_000,
  G: 1_000_000_000,
  Ki: 1_024,
  Mi: 1_048_576,
  Gi: 1_073_741_824,
};
/** Milliseconds: one day. */
const MAX_DELAY = 86_400_000;

/**
 * `50ms`, `2s`, `50±10ms`, `1s±200ms`. ± is a random time around the delay. A delay without a unit
 * has that of the time after ±.
 */
export function parseDelay(name: string, text: string): Delay {
  const [delayText = '', spreadText, ...rest] = text.split(/±|\+-/);
  const [unit = ''] = /[a-z]*$/.exec(spreadText ?? '') ?? [];
  const delay = readDuration(delayText) ?? readDuration(delayText + unit) ?? Number.NaN;
  const around = spreadText === undefined ? 0 : (readDuration(spreadText) ?? Number.NaN);
  if (rest.length > 0 || !(delay + around <= MAX_DELAY) || around > delay)
    throw new UsageError(
      `${name}: got ${show(text)}, expected a delay such as 50ms, 2s or 50±10ms, at most a day`,
    );
  if (spreadText === undefined) return { latency: delay, jitter: undefined };
  // The proxy adds a random time from 0 to `jitter` to the latency.
  return { latency: delay - around, jitter: 2 * around };
}

/** `1500`, `100k`, `2Mi`. */
export function parseBytes(name: string, text: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(k|M|G|Ki|Mi|Gi)?$/.exec(text) ?? [];
  const bytes = Math.round(
    Number(amount) * (unit === undefined ? 1 : (BYTE_UNITS[unit] as number)),
  );
  if (bytes >= 1 && bytes <= Number.MAX_SAFE_INTEGER) return bytes;
  throw new UsageError(
    `${name}: got ${show(text)}, expected bytes such as 1500, 100k (100,000) or 64Ki (65,536)`,
  );
}

/** `0.01` or `1%`. */
export function parseShare(name: string, text: string): number {
  const [, amount, percent] = /^(\d*\.?\d+)(%)?$/.exec(text) ?? [];
  const share = Number(amount) / (percent === undefined ? 1 : 100);
  if (share >= 0 && share <= 1) return share;
  throw new UsageError(`${name}: got ${show(text)}, expected a part such as 0.01 or 1%`);
}
