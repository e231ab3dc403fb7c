/** bearer(): the token that a client sends with each call. */
import { describe, expect, test } from 'vitest';
import { bearer } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { channelOf } from '../../fixtures/rpc.js';
import { rejection } from '../../fixtures/transports.js';
import { byToken, openVault } from './vault.js';

noLeaks();

describe('bearer()', () => {
  test('waits for the token until the deadline or the signal of the call', async () => {
    const never = (): Promise<string> => new Promise(() => {});
    await using s = await openVault(
      { authenticate: byToken },
      { client: { interceptors: [bearer(never)] } },
    );
    await expect(s.stub.whoAmI(undefined, { timeout: 20 })).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      unsent: true,
    });
    const abort = new AbortController();
    const waiting = s.stub.whoAmI(undefined, { timeout: 300_000, signal: abort.signal });
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED', unsent: true });
  });

  test('sends the current token with each call', async () => {
    const tokens = ['sesame', 'swordfish'];
    await using s = await openVault(
      { authenticate: byToken },
      { client: { interceptors: [bearer(async () => tokens.shift() ?? '')] } },
    );
    expect(await s.stub.whoAmI()).toBe('anna');
    expect(await s.stub.whoAmI()).toBe('ben');
    expect(await rejection(s.stub.whoAmI())).toMatchObject({
      code: 'UNAUTHENTICATED',
      unsent: true,
    });
    expect((await channelOf(s.server)).statistics.served.started).toBe(2);
  });
});
