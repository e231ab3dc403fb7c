/** Peers that send more than the process can handle delay other peers by few turns. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { connect, lines, raw, type Server, serve } from '../../../../src/transport/index.js';
import { noLeaks } from '../../../fixtures/leaks.js';
import { until } from '../../../fixtures/waiting.js';
import { LIMIT } from './turn-budget.js';

const FLOODS = 100;
/** Bytes that a peer sends at once: 65,536 messages. */
const FLOOD = Buffer.alloc(128 * 1024, 'a\n');
/** Milliseconds of the fake clock that a message takes. */
const MESSAGE_TIME = 0.02;
/** A turn resumes about six of them: the clock is read once per 64 messages, which take 1.3 ms. */
const FEW_TURNS = FLOODS / 2;

let clock = 0;
/** Turns of the event loop so far. */
let turn = 0;
let watch: NodeJS.Immediate;

noLeaks();
beforeEach(() => {
  vi.spyOn(performance, 'now').mockImplementation(() => clock);
  const onTurn = (): void => {
    turn++;
    watch = setImmediate(onTurn);
  };
  watch = setImmediate(onTurn);
});
afterEach(() => {
  clearImmediate(watch);
  vi.restoreAllMocks();
});

const open = (server: Server<string, string>, onMessage: (bytes: Uint8Array) => void = () => {}) =>
  connect(
    server.address,
    { codec: raw(), listener: { onMessage: (_, bytes) => onMessage(bytes) } },
    { reconnect: false },
  );

/** A server at `address`, and FLOODS sessions that send more than it can handle. */
async function flooded(address: string) {
  const hasSent = new Set<unknown>();
  const server = await serve(address, {
    codec: lines(),
    listener: {
      onMessage(session, line) {
        clock += MESSAGE_TIME;
        hasSent.add(session);
        if (line === 'ping') session.write('pong');
      },
    },
  });
  const peers = await Promise.all(Array.from({ length: FLOODS }, () => open(server)));
  const flood = async (): Promise<void> => {
    for (const peer of peers) (await peer.session()).writeBytes(FLOOD);
    await until(() => hasSent.size === FLOODS, 'all floods have begun', LIMIT);
  };
  return {
    server,
    flood,
    async [Symbol.asyncDispose]() {
      for (const peer of peers) peer.destroy();
      server.destroy();
      await Promise.all([server.close(), ...peers.map((peer) => peer.close())]);
    },
  };
}

describe.each(['memory://', 'tcp://127.0.0.1:0'])('at %s', (address) => {
  test(
    `a session waits few turns for its answer while ${FLOODS} others flood`,
    async () => {
      await using rig = await flooded(address);
      const answers: number[] = [];
      await using honest = await open(rig.server, () => answers.push(turn));
      const session = await honest.session();
      await rig.flood();
      for (let ping = 1; ping <= 2; ping++) {
        const began = turn;
        session.writeBytes(Buffer.from('ping\n'));
        await until(() => answers.length === ping, 'the ping is answered', LIMIT);
        expect(turn - began).toBeLessThan(FEW_TURNS);
      }
      honest.destroy();
    },
    2 * LIMIT,
  );
});

test(
  'connections open and close in few turns while others flood',
  async () => {
    await using rig = await flooded('tcp://127.0.0.1:0');
    await rig.flood();
    const began = turn;
    const peers = await Promise.all(Array.from({ length: 20 }, () => open(rig.server)));
    await until(() => rig.server.sessions.size === FLOODS + 20, 'the sessions are open', LIMIT);
    expect(turn - began).toBeLessThan(FEW_TURNS);
    const ended = turn;
    for (const peer of peers) peer.destroy();
    await until(() => rig.server.sessions.size === FLOODS, 'the sessions are closed', LIMIT);
    expect(turn - ended).toBeLessThan(FEW_TURNS);
  },
  2 * LIMIT,
);
