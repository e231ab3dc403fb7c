/** The chunks recorded from Go programs with raw DEFLATE. */
import { describe, expect, test } from 'vitest';
import { serve } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawPeer, RawServer } from '../../fixtures/raw-peer.js';
import { connectOnce, freeMemoryAddress, TestService, testService } from '../../fixtures/rpc.js';
import {
  CHUNKINGS,
  CONNECTIONS,
  type Fields,
  parseFrame,
  parseFrames,
  type Recorded,
  recordedChunks,
  recordedFrames,
  withTags,
} from '../../fixtures/rpc-frames.js';
import { within } from '../../fixtures/waiting.js';
import {
  callAgain,
  codecName,
  decode,
  encodeAgain,
  expectSameRequest,
  inflate,
  methodsOf,
  TO_CLIENT,
  TO_SERVER,
} from './recorded-calls.js';

describe('with raw DEFLATE', () => {
  noLeaks();
  const DEFLATE = { compression: 'deflate' } as const;
  const inflated = (connection: number, direction: Recorded['direction']): Buffer =>
    inflate(Buffer.concat(recordedChunks(connection, direction)));
  const meaning = ({ command, serviceId, code, codec, head, body }: Fields): string =>
    [command, serviceId, code, codec, head.toString('hex'), body.toString('hex')].join(' ');

  test.each(CONNECTIONS)(
    'the chunks of connection %d inflate to frames that decode and encode to the same bytes',
    (connection) => {
      const methods = methodsOf(
        parseFrames(inflated(connection, TO_SERVER)).map(({ bytes }) => bytes),
      );
      for (const direction of [TO_SERVER, TO_CLIENT] as const) {
        const frames = parseFrames(inflated(connection, direction));
        const plain = recordedFrames(connection, direction).map(
          (bytes) => parseFrame(bytes) as Fields,
        );
        expect(frames.length).toBeGreaterThan(0);
        // The number of heartbeats depends on when the recording ended.
        const calls = (list: readonly Fields[]): string[] =>
          list.filter(({ command }) => command > 2).map(meaning);
        expect(calls(frames)).toEqual(calls(plain));
        for (const { bytes } of frames)
          expect(encodeAgain(decode(bytes), methods).toString('hex')).toBe(bytes.toString('hex'));
      }
    },
  );

  const rows = ['each frame whole', 'byte by byte', 'all at once'].flatMap((chunking) =>
    CONNECTIONS.flatMap((connection) =>
      ['memory', 'tcp'].map((transport) => ({ chunking, connection, transport })),
    ),
  );

  test.each(rows)(
    'our server answers connection $connection over $transport, $chunking, and flushes every write',
    async ({ chunking, connection, transport }) => {
      await using server = await serve(
        transport === 'tcp' ? 'tcp://127.0.0.1:0' : freeMemoryAddress(),
        [testService()],
        { session: DEFLATE },
      );
      // The peer sends and receives compressed bytes, because its own compression is off.
      await using peer = await RawPeer.connect(server.address);
      const expected = inflated(connection, TO_CLIENT);
      for (const chunks of CHUNKINGS[chunking]?.(recordedChunks(connection, TO_SERVER)) ?? [])
        await peer.send(...chunks);
      const soFar = (): Buffer => inflate(Buffer.concat(peer.chunks));
      await within(
        (async () => {
          while (soFar().length < expected.length)
            await new Promise((resolve) => setImmediate(resolve));
        })(),
        'all answers have been received',
      );
      expect(soFar().toString('hex')).toBe(expected.toString('hex'));
      if (transport === 'memory')
        for (const chunk of peer.chunks)
          expect(chunk.subarray(-4).toString('hex')).toBe('0000ffff');
      else expect(Buffer.concat(peer.chunks).subarray(-4).toString('hex')).toBe('0000ffff');
    },
  );

  test.each(CONNECTIONS.slice(0, 3))(
    'our client sends the requests of connection %d',
    async (connection) => {
      const recorded = parseFrames(inflated(connection, TO_SERVER)).filter(
        ({ command }) => command === 3,
      );
      const answers = parseFrames(inflated(connection, TO_CLIENT)).filter(
        ({ command }) => command === 4,
      );
      await using server = await RawServer.serve({ session: DEFLATE });
      await using client = await connectOnce(server.address, { session: DEFLATE });
      const stubs = {
        json: client.stub(TestService, { codec: 'json' }),
        protobuf: client.stub(TestService, { codec: 'protobuf' }),
      };
      const outcomes = recorded.map((frame) => callAgain(stubs[codecName(frame.codec)], frame));
      const requests = await server.requests.take(recorded.length);
      for (const [index, request] of requests.entries())
        expectSameRequest(request, recorded[index] as Fields);
      for (const answer of answers) {
        const { sequence, logId, peer } = requests[
          recorded.findIndex((one) => one.sequence === answer.sequence)
        ] as Fields & { peer: RawPeer };
        peer.session.write(withTags(answer.bytes, { sequence, logId }));
      }
      const results = await within(Promise.all(outcomes), 'every call to settle');
      expect(results.filter((result) => result !== undefined)).toHaveLength(answers.length);
    },
  );
});
