/** The proxy of the command line decodes much traffic in several turns, in its order. */
import { expect, test } from 'vitest';
import { DecodeTurns } from '../../../src/cli/proxy/decode-turns.js';
import { nextTurn } from '../../../src/core/turn.js';
import { block, turnCounter, within } from '../../fixtures/waiting.js';

/** Takes 4 ms of a turn, which may have 10. */
const work = (): void => block(4);

test.each(['stream', 'websocket', 'datagrams'] as const)(
  '%s: bytes of both directions are decoded in their order, and the end comes last',
  async (framing) => {
    const decoded: string[] = [];
    const turns = new DecodeTurns(framing, (direction, bytes) => {
      work();
      const [last = ''] = decoded.slice(-1);
      const part = `${direction} ${bytes.toString('latin1', 0, 1)}`;
      if (last === part) return;
      decoded.push(part);
    });
    await nextTurn();
    const counter = turnCounter();
    for (let at = 0; at < 8; at++)
      void turns.add(at % 2 === 0 ? 'toServer' : 'toClient', Buffer.alloc(40_000, 97 + at));
    await within(
      new Promise<void>((resolve) => {
        void turns.end(() => {
          decoded.push('end');
          resolve();
        });
      }),
      'the end',
    );
    counter.stop();
    expect(decoded).toEqual([
      'toServer a',
      'toClient b',
      'toServer c',
      'toClient d',
      'toServer e',
      'toClient f',
      'toServer g',
      'toClient h',
      'end',
    ]);
    expect(counter.turns).toBeGreaterThan(1);
  },
);

test('the bytes of many connections that arrive together are decoded in many turns', async () => {
  let decoding = 0;
  await nextTurn();
  const counter = turnCounter();
  const all = Array.from({ length: 20 }, () =>
    new DecodeTurns('stream', () => {
      work();
      decoding++;
    }).add('toServer', Buffer.alloc(100)),
  );
  expect(decoding).toBeLessThan(10);
  await within(Promise.all(all), 'all bytes are decoded');
  counter.stop();
  expect(decoding).toBe(20);
  expect(counter.turns).toBeGreaterThan(3);
});

test('few bytes are decoded at once', async () => {
  await nextTurn();
  const decoded: string[] = [];
  const turns = new DecodeTurns('stream', (direction, bytes) => {
    decoded.push(`${direction} ${bytes}`);
  });
  expect(turns.add('toServer', Buffer.from('a'))).toBeUndefined();
  expect(turns.end(() => decoded.push('end'))).toBeUndefined();
  expect(decoded).toEqual(['toServer a', 'end']);
});
