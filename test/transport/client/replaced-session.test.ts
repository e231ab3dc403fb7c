/** REPLACE_SESSION: a client opens another session in the place of one whose server closes. */
import { afterEach, describe, expect, it } from 'vitest';
import {
  type InternalClient,
  REPLACE_SESSION,
} from '../../../src/transport/client/open-sessions.js';
import { type Client, type Session, serve } from '../../../src/transport/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import {
  makeSessionsOld,
  newAddress,
  open,
  restoreMocks,
  SETUP,
} from '../../fixtures/reconnecting-clients.js';
import { rejection } from '../../fixtures/transports.js';
import { until } from '../../fixtures/waiting.js';

noLeaks();
afterEach(restoreMocks);

describe('a session that is replaced', () => {
  const replace = (client: Client<string>, session: Session<string>): void =>
    (client as InternalClient<string, string>)[REPLACE_SESSION]?.(session);

  it('stays open and is not returned any more, and session() dials at once, but once', async () => {
    const server = await serve(newAddress(), SETUP);
    const states: string[] = [];
    await using client = await open(
      server.address,
      { initialDelay: 600_000, maxDelay: 600_000 },
      { onState: (state) => states.push(state) },
    );
    const first = await client.session();
    makeSessionsOld();
    replace(client, first);
    expect([client.current, client.state]).toEqual([undefined, 'down']);
    const second = await client.session();
    expect([second === first, first.closed, client.sessions.size]).toEqual([false, false, 2]);
    replace(client, first);
    first.destroy();
    await until(() => client.sessions.size === 1, 'the first session is lost');
    expect(client.state).toBe('ready');
    expect(states).toEqual(['ready', 'down', 'connecting', 'ready']);
    makeSessionsOld();
    await server.close();
    expect(await rejection(client.session())).toMatchObject({ code: 'CONNECTION_LOST' });
  });

  it('delays the next attempt if it was open for less than 1 s', async () => {
    await using server = await serve(newAddress(), SETUP);
    await using client = await open(server.address, { initialDelay: 600_000, maxDelay: 600_000 });
    replace(client, await client.session());
    expect(await rejection(client.session())).toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringContaining('is closing'),
    });
  });

  it('is not dialed again with reconnect: false', async () => {
    await using server = await serve(newAddress(), SETUP);
    await using client = await open(server.address, false);
    const session = await client.session();
    makeSessionsOld();
    replace(client, session);
    expect(await rejection(client.session())).toMatchObject({ code: 'CONNECTION_LOST' });
    expect([client.state, session.closed]).toEqual(['down', false]);
  });
});
