/** Decodes the connections of a proxy, and writes their records. */
import { messageOf } from '../../core/errors.js';
import type { Direction, ProxyObserver } from '../../testing/proxy/index.js';
import { ConnectionDecoder, type DecoderSettings } from './connection-decoder.js';
import { DecodeTurns } from './decode-turns.js';
import type { RecordWriter } from './record-writer.js';
import type { FrameRecord, TrafficRecord } from './traffic-record.js';

interface ObservedConnection {
  /** Undefined: it has failed. */
  decoder: ConnectionDecoder | undefined;
  readonly turns: DecodeTurns;
}

const now = (): string => new Date().toISOString();

export class TrafficObserver implements ProxyObserver {
  readonly #settings: DecoderSettings;
  readonly #writer: RecordWriter;
  readonly #connections = new Map<number, ObservedConnection>();
  /** The ends of connections whose bytes are not decoded yet. */
  readonly #ending = new Set<Promise<void>>();

  constructor(settings: DecoderSettings, writer: RecordWriter) {
    this.#settings = settings;
    this.#writer = writer;
  }

  onOpen(connection: number, peer: string): void {
    const report = (direction: Direction, describe: () => FrameRecord): void =>
      this.#writer.write(() => ({ time: now(), connection, direction, ...describe() }));
    const observed: ObservedConnection = {
      decoder: new ConnectionDecoder(this.#settings, report),
      turns: new DecodeTurns(this.#settings.framing, (direction, bytes) =>
        this.#decode(connection, observed, direction, bytes),
      ),
    };
    this.#connections.set(connection, observed);
    this.#write({ connection, kind: 'open', text: peer });
  }

  onBytes(connection: number, direction: Direction, bytes: Buffer): Promise<void> | undefined {
    return this.#connections.get(connection)?.turns.add(direction, bytes);
  }

  #decode(
    connection: number,
    observed: ObservedConnection,
    direction: Direction,
    bytes: Buffer,
  ): void {
    try {
      observed.decoder?.onBytes(direction, bytes);
    } catch (error) {
      // A fault of the decoder must not end the connection.
      observed.decoder = undefined;
      const text = `from here on: ${messageOf(error)}`;
      this.#write({ connection, direction, kind: 'undecoded', text });
    }
  }

  onClose(connection: number, error: Error | undefined, failed: Direction | undefined): void {
    const observed = this.#connections.get(connection);
    this.#connections.delete(connection);
    const ending = observed?.turns.end(() => {
      observed.decoder?.onClose();
      const side = failed === 'toServer' ? 'the client' : 'the target';
      const text = error === undefined ? undefined : `${side}: ${messageOf(error)}`;
      this.#write({ connection, kind: 'close', text });
    });
    if (ending === undefined) return;
    this.#ending.add(ending);
    void ending.then(() => this.#ending.delete(ending));
  }

  /** Resolves when the bytes of all closed connections are decoded. */
  async end(): Promise<void> {
    await Promise.all(this.#ending);
  }

  onRefused(connection: number, peer: string): void {
    this.#write({ connection, kind: 'refused', text: `${peer} too many connections`.trim() });
  }

  #write(record: Omit<TrafficRecord, 'time'>): void {
    this.#writer.write(() => ({ time: now(), ...record }));
  }
}
