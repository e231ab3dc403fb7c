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

/** The near side sends bytes as they are; the far side inflates them into lines. */
export type InflatingPair = Pair<Buffer, Uint8Array, string, string>;

export class CompressedPairs {
  readonly #row: TransportRow;
  readonly #compression: 'deflate' | 'snappy';

  constructor(row: TransportRow, compression: 'deflate' | 'snappy') {
    this.#row = row;
    this.#compression = compression;
  }

  /** The near side compresses lines; the far side receives the compressed bytes. */
  compressing(
    compression: Compression = this.#compression,
  ): Promise<Pair<string, string, Buffer, Uint8Array>> {
    return pair(this.#row, { near: { compression }, far: { codec: raw() } });
  }

  inflating(far: object = {}): Promise<InflatingPair> {
    return pair(this.#row, {
      near: { codec: raw() },
      far: { compression: this.#compression, ...far },
    });
  }

  /** Both sides compress; lines by default. `far`: options of the far side alone. */
  both<In = string, Out = In>(
    side: object = {},
    far: object = {},
  ): Promise<Pair<In, Out, In, Out>> {
    const setup = { codec: lines() as never, compression: this.#compression, ...side };
    return pair<In, Out, In, Out>(this.#row, { near: setup, far: { ...setup, ...far } });
  }

  /** Waits until both sides of `failed` are closed. Then a second client must be served. */
  async expectServerContinues(failed: InflatingPair): Promise<void> {
    await failed.farEvents.closed.next();
    await failed.nearEvents.closed.next();
    failed.nearEvents.errors.dismiss();
    const setup = {
      ...setupOf(this.#row, new Recorder<string>('the second client')),
      compression: this.#compression,
    };
    await using client = await connectAs(this.#row, failed.server.address, setup);
    (await client.session()).write('from the second client');
    await until(
      () => failed.farEvents.messages.all.includes('from the second client'),
      'the server received the message of the second client',
    );
  }
}
