import { describe, expect, it } from 'vitest';
import { connect, lines, serve } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { rejection } from '../../fixtures/transports.js';

describe('snappy is rejected with BAD_OPTION', () => {
  noLeaks();
  const setup = { codec: lines(), listener: { onMessage() {} }, compression: 'snappy' as const };
  const message = expect.stringContaining('got "snappy"');

  it('by a WebSocket', async () => {
    expect(await rejection(serve('ws://127.0.0.1:0', setup))).toMatchObject({
      code: 'BAD_OPTION',
      message,
    });
    expect(await rejection(connect('ws://127.0.0.1:1', setup))).toMatchObject({
      code: 'BAD_OPTION',
      message,
    });
    await using server = await serve('ws://127.0.0.1:0', { ...setup, compression: 'none' });
    expect(await rejection(connect(server.address, () => setup))).toMatchObject({
      code: 'BAD_OPTION',
      message,
    });
  });

  it('by UDP', async () => {
    expect(await rejection(connect('udp://127.0.0.1:1', setup))).toMatchObject({
      code: 'BAD_OPTION',
      message,
    });
  });
});
