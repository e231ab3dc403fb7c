/** A record of the traffic between two peers: one line for people, or one JSON object. */
import type { Direction } from '../../testing/proxy/index.js';
import { jsonText, MAX_CELL, printable } from '../output/printable.js';

/** A frame or another event of a connection. Its texts may have control characters of a peer. */
export interface TrafficRecord {
  /** ISO 8601. */
  readonly time: string;
  readonly connection: number;
  /** Undefined: the record is about the whole connection. */
  readonly direction?: Direction | undefined;
  /** The kind of a frame, or `open`, `close`, `refused`, `handshake`, `bytes`, … */
  readonly kind: string;
  /** The whole sequence, in decimal. */
  readonly sequence?: string | undefined;
  /** The low half of the sequence, in hex, for people. JSON has no such field. */
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
  /** Milliseconds from the request to this frame, which ends the call. */
  readonly duration?: number | undefined;
  readonly body?: unknown;
  /** A body that is no JSON, or is longer than the limit. */
  readonly bodyText?: string | undefined;
  /** The first bytes of what is no frame, in hex. */
  readonly hex?: string | undefined;
  readonly text?: string | undefined;
}

/** How the frames of a connection are separated. */
export type Framing = 'stream' | 'datagrams' | 'websocket';
/** A record without its time, connection and direction, which TrafficObserver adds. */
export type FrameRecord = Omit<TrafficRecord, 'time' | 'connection' | 'direction'>;
/** Reports a record. `describe` is not called if the output has no room for the record. */
export type ReportRecord = (direction: Direction, describe: () => FrameRecord) => void;

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
  // All frames without a body have about the same size, so it is not shown.
  const size = bodyBytes ?? (sequence === undefined ? bytes : undefined);
  return size === undefined ? undefined : `${size} ${size === 1 ? 'byte' : 'bytes'}`;
}

function bodyText({ body, bodyText: text }: TrafficRecord, maxBody: number): string | undefined {
  if (text !== undefined) return printable(text, maxBody);
  return body === undefined ? undefined : printable(jsonText(body), maxBody);
}
