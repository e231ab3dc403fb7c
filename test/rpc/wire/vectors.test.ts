/** The frames recorded from Go programs: decoded, encoded, and answered by our server. */
import { describe, expect, test } from 'vitest';
import { serve } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawPeer } from '../../fixtures/raw-peer.js';
import { freeMemoryAddress, testService } from '../../fixtures/rpc.js';
import { CHUNKINGS, CONNECTIONS, RECORDED, recordedFrames } from '../../fixtures/rpc-frames.js';
import { within } from '../../fixtures/waiting.js';
import { decode, encodeAgain, join, methodsOf, TO_CLIENT, TO_SERVER } from './recorded-calls.js';

describe('each recorded frame', () => {
  const methods = methodsOf(
    RECORDED.filter(({ direction }) => direction === TO_SERVER).map(({ frameHex }) =>
      Buffer.from(frameHex, 'hex'),
    ),
  );
  const rows = RECORDED.map((recorded, line) => ({ ...recorded, line: line + 1 }));

  test('is in the list, with each command, codec and code', () => {
    expect(RECORDED).toHaveLength(54);
    expect(
      new Set(RECORDED.map(({ command, codec, code }) => `${command} ${codec} ${code}`)),
    ).toEqual(new Set(['3 1 0', '4 1 0', '4 1 1', '3 2 0', '4 2 0', '4 2 1', '1 1 0', '2 1 0']));
  });

  test.each(rows)(
    'of line $line decodes to the recorded fields, and encodes to the same bytes',
    (recorded) => {
      const frame = decode(Buffer.from(recorded.frameHex, 'hex'));
      const { command, serviceId, code, codec } = frame;
      expect({ command, serviceId, code, codec }).toEqual({
        command: recorded.command,
        serviceId: recorded.serviceId,
        code: recorded.code,
        codec: recorded.codec,
      });
      expect(join(frame.sequenceLow, frame.sequenceHigh)).toBe(BigInt(recorded.sequence));
      expect(BigInt.asIntN(64, join(frame.logIdLow, frame.logIdHigh))).toBe(BigInt(recorded.logId));
      const head = frame.bytes.subarray(frame.headerStart, frame.headerEnd);
      const body = frame.bytes.subarray(frame.bodyStart, frame.bodyEnd);
      expect(head.toString('hex')).toBe(recorded.headerHex ?? '');
      expect(body.toString('hex')).toBe(recorded.bodyHex ?? '');
      if (recorded.header !== undefined) expect(head.toString()).toBe(recorded.header);
      if (recorded.body !== undefined) expect(body.toString()).toBe(recorded.body);
      expect(encodeAgain(frame, methods).toString('hex')).toBe(recorded.frameHex);
    },
  );
});

/** Waits until `peer` has received as many frames as `expected`, and compares them. */
async function expectBytes(
  peer: RawPeer,
  expected: readonly Buffer[],
  hint: string,
): Promise<void> {
  for (const [index, bytes] of expected.entries()) {
    const frame = await within(
      peer.frames.next(),
      `answer ${index + 1} of ${expected.length}: ${hint}`,
    );
    if (!frame.bytes.equals(bytes))
      expect(frame.bytes.toString('hex'), `answer ${index + 1}: ${hint}`).toBe(
        bytes.toString('hex'),
      );
  }
}

describe('our server answers the bytes of a Go client as the Go server did,', () => {
  noLeaks();
  const rows = Object.keys(CHUNKINGS).flatMap((chunking) =>
    CONNECTIONS.map((connection) => ({ chunking, connection })),
  );

  test.each(rows)('connection $connection, $chunking', async ({ chunking, connection }) => {
    await using server = await serve(freeMemoryAddress(), [testService()]);
    await using peer = await RawPeer.connect(server.address);
    const sent = recordedFrames(connection, TO_SERVER);
    const answers = recordedFrames(connection, TO_CLIENT);
    for (const [index, chunks] of CHUNKINGS[chunking]?.(sent).entries() ?? []) {
      expect(Buffer.concat(chunks).equals(Buffer.concat(sent))).toBe(true);
      await peer.send(...chunks);
      await expectBytes(peer, answers, `conversation ${index + 1}`);
    }
    expect(peer.frames.unread).toEqual([]);
  });

  test.each(['each frame whole', 'byte by byte', 'all at once'])(
    'over a socket, %s',
    async (chunking) => {
      await using server = await serve('tcp://127.0.0.1:0', [testService()]);
      for (const connection of CONNECTIONS) {
        await using peer = await RawPeer.connect(server.address);
        for (const chunks of CHUNKINGS[chunking]?.(recordedFrames(connection, TO_SERVER)) ?? [])
          await peer.send(...chunks);
        await expectBytes(peer, recordedFrames(connection, TO_CLIENT), `connection ${connection}`);
        expect(peer.frames.unread).toEqual([]);
      }
    },
  );
});
