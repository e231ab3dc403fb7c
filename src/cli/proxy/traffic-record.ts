/** What passes between two peers, as one line for people or one object of JSON. */
import type { Direction } from '../../testing/proxy/index.js';
import { jsonText, MAX_CELL, printable } from '../output/printable.js';

/** Something that happened on a connection. Texts are those of a peer: they are not printable. */
export interface TrafficRecord {
  /** ISO 8601. */
  readonly time: string;
  readonly connection: number;
  /** Undefined: it is about the connection. */
  readonly direction?: Direction | undefined;
  /** The kind of a frame, or `open`, `close`, `refused`, `handshake`, `bytes`, … */
  readonly kind: string;
  /** The whole sequence, in decimal. */
  readonly sequence?: string | undefined;
  /** The low half of the sequence, in hex. Only for people. */
  readonly shortSequence?: string | undefined;
  readonly service?: string | undefined;
  readonly method?: string | undefined;
  readonly version?: string | undefined;
  /** `oneway` or `noReply`. Undefined: the caller waits for an answer. */
  readonly callKind?: string | undefined;
  readonly codec?: string | undefined;
  /** Milliseconds. */
  readonly timeout?: number | undefined;
  readonly code?: string | undefined;
  readonly message?: string | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** The bytes that a credit grants. */
  readonly credit?: number | undefined;
  /** Bytes of the whole frame, or of what is no frame. */
  readonly bytes?: number | undefined;
  readonly bodyBytes?: number | undefined;
  /** Milliseconds from the request to this frame. */
  readonly duration?: number | undefined;
  readonly body?: unknown;
  /** A body that is no JSON, or is longer than the limit. */
  readonly bodyText?: string | undefined;
  /** The first bytes of what is no frame. */
  readonly hex?: string | undefined;
  readonly text?: string | undefined;
}

/** How the bytes of a connection are divided. */
export type Framing = 'stream' | 'datagrams' | 'websocket';
/** A record without what all records of a direction have. */
export type Finding = Omit<TrafficRecord, 'time' | 'connection' | 'direction'>;
/** Gets a function, which is not called if there is no room for a record. */
export type Report = (direction: Direction, describe: () => Finding) => void;

const ARROWS: Readonly<Record<Direction, string>> = { toServer: '→', toClient: '←' };
/** Columns for `heartbeat`, the longest of the frequent kinds. */
const KIND_COLUMNS = 9;
/** The most characters of all metadata, and of a message. */
const MAX_TEXT = 400;

export function recordJson({ shortSequence: _, ...record }: TrafficRecord): string {
  return jsonText(record);
}

/** One printable line. `maxBody`: characters. */
export function recordLine(record: TrafficRecord, maxBody: number): string {
  const { connection, direction, kind, message, metadata } = record;
  const parts = [
    timeText(record.time),
    `#${connection} ${direction === undefined ? ' ' : ARROWS[direction]}`,
    kind.padEnd(KIND_COLUMNS),
    record.shortSequence,
    methodText(record),
    record.callKind,
    record.code,
    message ? printable(JSON.stringify(message), MAX_TEXT) : undefined,
    record.codec,
    record.timeout === undefined ? undefined : `timeout ${record.timeout} ms`,
    record.credit === undefined ? undefined : `${record.credit} bytes more`,
    sizeText(record),
    record.duration === undefined ? undefined : `${record.duration.toFixed(1)} ms`,
    metadata === undefined ? undefined : printable(jsonText(metadata), MAX_TEXT),
    record.hex,
    record.text === undefined ? undefined : printable(record.text, MAX_TEXT),
    bodyText(record, maxBody),
  ];
  return parts
    .filter((part) => part !== undefined && part !== '')
    .join('  ')
    .trimEnd();
}

function timeText(time: string): string {
  const date = new Date(time);
  return `${date.toTimeString().slice(0, 8)}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

function methodText({ service, method, version }: TrafficRecord): string | undefined {
  if (service === undefined) return undefined;
  const suffix = version === undefined ? '' : ` ${printable(version)}`;
  return printable(`${service}.${method}`, 2 * MAX_CELL) + suffix;
}

function sizeText({ bodyBytes, bytes, sequence }: TrafficRecord): string | undefined {
  // The size of a frame without a body says nothing.
  const size = bodyBytes ?? (sequence === undefined ? bytes : undefined);
  return size === undefined ? undefined : `${size} ${size === 1 ? 'byte' : 'bytes'}`;
}

function bodyText({ body, bodyText: text }: TrafficRecord, maxBody: number): string | undefined {
  if (text !== undefined) return printable(text, maxBody);
  return body === undefined ? undefined : printable(jsonText(body), maxBody);
}
