/** Pairs of sessions over a compressed connection. */
import { type Compression, lines, raw } from '../../../src/transport/index.js';
import { Recorder } from '../../fixtures/recorder.js';
import {
  connectAs,
  type Pair,
  pair,
  setupOf,
  TRANSPORTS,
  type TransportRow,
} from '../../fixtures/transports.js';
import { until } from '../../fixtures/waiting.js';

/** Text of 880 bytes that compresses well. */
export const WORDS = 'the quick brown fox jumps over the lazy dog '.repeat(20);

/** The transports of streams, without compression. */
export const STREAM_TRANSPORTS = TRANSPORTS.filter(
  ({ options, isMessageTransport }) => options.compression === undefined && !isMessageTransport,
);

/** The client sends bytes as they are; the server inflates them into lines. */
export type InflatingPair = Pair<Buffer, Uint8Array, string, string>;

export class CompressedPairs {
  readonly #row: TransportRow;
  readonly #compression: 'deflate' | 'snappy';

  constructor(row: TransportRow, compression: 'deflate' | 'snappy') {
    this.#row = row;
    this.#compression = compression;
  }

  /** The client compresses lines; the server receives the compressed bytes. */
  compressing(
    compression: Compression = this.#compression,
  ): Promise<Pair<string, string, Buffer, Uint8Array>> {
    return pair(this.#row, { clientSide: { compression }, serverSide: { codec: raw() } });
  }

  inflating(serverSide: object = {}): Promise<InflatingPair> {
    return pair(this.#row, {
      clientSide: { codec: raw() },
      serverSide: { compression: this.#compression, ...serverSide },
    });
  }

  /** Both sides compress; lines by default. `serverSide`: options of the server alone. */
  both<In = string, Out = In>(
    side: object = {},
    serverSide: object = {},
  ): Promise<Pair<In, Out, In, Out>> {
    const setup = { codec: lines() as never, compression: this.#compression, ...side };
    return pair<In, Out, In, Out>(this.#row, {
      clientSide: setup,
      serverSide: { ...setup, ...serverSide },
    });
  }

  /**
   * Waits until both sides of `failed` are closed. Then a second client must be served, if the
   * transport has more than one session.
   */
  async expectServerContinues(failed: InflatingPair): Promise<void> {
    await failed.serverEvents.closed.next();
    await failed.clientEvents.closed.next();
    failed.clientEvents.errors.dismiss();
    if (this.#row.hasOneSession) return;
    const setup = {
      ...setupOf(this.#row, new Recorder<string>('the second client')),
      compression: this.#compression,
    };
    await using client = await connectAs(this.#row, failed.server.address, setup);
    (await client.session()).write('from the second client');
    await until(
      () => failed.serverEvents.messages.all.includes('from the second client'),
      'the server received the message of the second client',
    );
  }
}
