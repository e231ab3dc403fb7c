/** Reads the status of a server and of its provider, of which nothing is trusted. */
import type {
  EventLoopDelay,
  ProviderState,
  ProviderStatus,
  PublishedEntry,
  ServerStatus,
} from '../../rpc/index.js';
import { type Fields, own } from './checked-fields.js';
import { fail, fields, list, number, optionalText, text } from './introspection-answer.js';

const STATES: readonly ProviderState[] = ['published', 'waiting', 'draining'];
/** The most reasons of refusals that are read. */
const MAX_REASONS = 100;

/** The answer of the method `status`. Throws INTERNAL. */
export function readStatus(answer: unknown): ServerStatus {
  const status = fields(answer, 'status');
  const process = fields(own(status, 'process'), 'process');
  const provider = own(status, 'provider');
  return {
    time: number(status, 'time'),
    process: {
      pid: number(process, 'pid'),
      uptime: number(process, 'uptime'),
      nodeVersion: text(process, 'nodeVersion'),
      version: optionalText(process, 'version'),
      rss: number(process, 'rss'),
      heapUsed: number(process, 'heapUsed'),
      eventLoopDelay: readDelay(own(process, 'eventLoopDelay')),
    },
    sessions: number(status, 'sessions'),
    refusals: readRefusals(own(status, 'refusals')),
    provider: provider === undefined ? undefined : readProviderStatus(provider),
  };
}

function readDelay(value: unknown): EventLoopDelay | undefined {
  if (value === undefined) return undefined;
  const delay = fields(value, 'event loop delay');
  return { p50: number(delay, 'p50'), p99: number(delay, 'p99'), max: number(delay, 'max') };
}

function readRefusals(value: unknown): ServerStatus['refusals'] {
  const refusals = fields(value, 'refusals');
  // A server of another version may have other reasons. No prototype, for `__proto__`.
  const counts: Record<string, number> = Object.create(null);
  for (const reason of Object.keys(refusals).slice(0, MAX_REASONS))
    counts[reason] = number(refusals, reason);
  return counts as ServerStatus['refusals'];
}

/** The status of a provider: also the answer of the admin service. Throws INTERNAL. */
export function readProviderStatus(answer: unknown): ProviderStatus {
  const status = fields(answer, 'status of the provider');
  const state = text(status, 'state');
  return {
    state: STATES.find((each) => each === state) ?? fail('an unknown state'),
    reason: optionalText(status, 'reason'),
    id: text(status, 'id'),
    total: number(status, 'total'),
    entries: list(own(status, 'entries'), 'entries').map(readEntry),
  };
}

function readEntry(value: unknown): PublishedEntry {
  const entry: Fields = fields(value, 'entry');
  const codec = text(entry, 'codec');
  return {
    service: text(entry, 'service'),
    version: text(entry, 'version'),
    group: text(entry, 'group'),
    codec: codec === 'json' || codec === 'protobuf' ? codec : fail('an unknown codec'),
    address: text(entry, 'address'),
    weight: number(entry, 'weight'),
    isPublished: own(entry, 'isPublished') === true,
  };
}
