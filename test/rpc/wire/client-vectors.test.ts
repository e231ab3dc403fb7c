/** Our client repeats the recorded calls of a Go client and reads the answers of the Go server. */
import { describe, expect, test } from 'vitest';
import { readRequestHeader } from '../../../src/rpc/wire/request-header.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawServer } from '../../fixtures/raw-peer.js';
import { connectOnce, outcome, rig, TestService } from '../../fixtures/rpc.js';
import {
  CHUNKINGS,
  CONNECTIONS,
  type Fields,
  parseFrame,
  parseFrames,
  recordedFrames,
  withTags,
} from '../../fixtures/rpc-frames.js';
import { within } from '../../fixtures/waiting.js';
import {
  callAgain,
  codecName,
  expectSameRequest,
  OUTCOMES,
  TO_CLIENT,
  TO_SERVER,
} from './recorded-calls.js';

describe('our client sends the requests of a Go client and reads the answers of the Go server,', () => {
  noLeaks();
  const conversations = CONNECTIONS.filter((connection) =>
    recordedFrames(connection, TO_SERVER).some((bytes) => parseFrame(bytes)?.command === 3),
  );
  const rows = Object.keys(CHUNKINGS).flatMap((chunking) =>
    conversations.map((connection) => ({ chunking, connection })),
  );

  test.each(rows)('connection $connection, $chunking', async ({ chunking, connection }) => {
    const recorded = parseFrames(Buffer.concat(recordedFrames(connection, TO_SERVER))).filter(
      ({ command }) => command === 3,
    );
    const answers = parseFrames(Buffer.concat(recordedFrames(connection, TO_CLIENT))).filter(
      ({ command }) => command === 4,
    );
    await using server = await RawServer.serve();
    await using client = await connectOnce(server.address);
    const stubs = {
      json: client.stub(TestService, { codec: 'json' }),
      protobuf: client.stub(TestService, { codec: 'protobuf' }),
    };
    for (const plan of CHUNKINGS[chunking]?.(answers.map(({ bytes }) => bytes)) ?? []) {
      const outcomes = recorded.map((frame) => callAgain(stubs[codecName(frame.codec)], frame));
      const requests = await server.requests.take(recorded.length);
      for (const [index, request] of requests.entries())
        expectSameRequest(request, recorded[index] as Fields);
      // The chunks have the recorded lengths, and the sequences of our requests.
      const patched = Buffer.concat(
        answers.map((answer) => {
          const { sequence, logId } = requests[
            recorded.findIndex((one) => one.sequence === answer.sequence)
          ] as Fields;
          return withTags(answer.bytes, { sequence, logId });
        }),
      );
      let at = 0;
      for (const { length } of plan) {
        await requests[0]?.peer.send(patched.subarray(at, at + length));
        at += length;
      }
      const results = await within(Promise.all(outcomes), 'every call to settle');
      for (const [index, frame] of recorded.entries()) {
        const { method } = readRequestHeader(
          codecName(frame.codec),
          frame.head,
          0,
          frame.head.length,
        );
        const result = results[index];
        if (OUTCOMES[method] === undefined) expect(result).toBeUndefined();
        else expect(result).toMatchObject(OUTCOMES[method]);
      }
    }
    expect([...client.channels].map(({ extended, pending }) => ({ extended, pending }))).toEqual([
      { extended: false, pending: 0 },
    ]);
  });

  test('and its heartbeat, apart from the sequence', async () => {
    await using server = await RawServer.serve();
    await using _client = await connectOnce(server.address);
    const peer = await server.peers.next();
    const heartbeat = await peer.frames.next();
    const recorded = recordedFrames(3, TO_SERVER)[0] as Buffer;
    expect(heartbeat.serviceId).toBe(1);
    expect(
      withTags(heartbeat.bytes, { sequence: 0n, logId: 0n, serviceId: 0 }).toString('hex'),
    ).toBe(withTags(recorded, { sequence: 0n, logId: 0n }).toString('hex'));
  });

  test('and gets the recorded outcomes from our server', async () => {
    await using pair = await rig({ codec: 'protobuf' });
    expect(await outcome(pair.stub.err({ A: 1 }))).toBe('UNKNOWN');
    expect(await pair.stub.test({ A: 'aaa', B: 'bbb', C: 'ccc' })).toMatchObject(
      OUTCOMES.Test as object,
    );
  });
});
