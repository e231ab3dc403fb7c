/** Decodes the connections of a proxy, and writes their records. */
import { messageOf } from '../../core/errors.js';
import type { Direction, ProxyObserver } from '../../testing/proxy/index.js';
import { ConnectionDecoder, type DecoderSettings } from './connection-decoder.js';
import type { RecordWriter } from './record-writer.js';
import type { FrameRecord, TrafficRecord } from './traffic-record.js';

const now = (): string => new Date().toISOString();

export class TrafficObserver implements ProxyObserver {
  readonly #settings: DecoderSettings;
  readonly #writer: RecordWriter;
  readonly #decoders = new Map<number, ConnectionDecoder>();

  constructor(settings: DecoderSettings, writer: RecordWriter) {
    this.#settings = settings;
    this.#writer = writer;
  }

  onOpen(connection: number, peer: string): void {
    const report = (direction: Direction, describe: () => FrameRecord): void =>
      this.#writer.write(() => ({ time: now(), connection, direction, ...describe() }));
    this.#decoders.set(connection, new ConnectionDecoder(this.#settings, report));
    this.#write({ connection, kind: 'open', text: peer });
  }

  onBytes(connection: number, direction: Direction, bytes: Buffer): void {
    try {
      this.#decoders.get(connection)?.onBytes(direction, bytes);
    } catch (error) {
      // A fault of the decoder must not end the connection.
      this.#decoders.delete(connection);
      const text = `from here on: ${messageOf(error)}`;
      this.#write({ connection, direction, kind: 'undecoded', text });
    }
  }

  onClose(connection: number, error: Error | undefined, failed: Direction | undefined): void {
    this.#decoders.get(connection)?.onClose();
    this.#decoders.delete(connection);
    const side = failed === 'toServer' ? 'the client' : 'the target';
    const text = error === undefined ? undefined : `${side}: ${messageOf(error)}`;
    this.#write({ connection, kind: 'close', text });
  }

  onRefused(connection: number, peer: string): void {
    this.#write({ connection, kind: 'refused', text: `${peer} too many connections`.trim() });
  }

  #write(record: Omit<TrafficRecord, 'time'>): void {
    this.#writer.write(() => ({ time: now(), ...record }));
  }
}
