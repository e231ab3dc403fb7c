/** auth(): the identity of a call, and which calls are refused. */
import { describe, expect, test } from 'vitest';
import {
  type AuthOptions,
  auth,
  bearer,
  type CallContext,
  type Credentials,
  type Interceptor,
  implement,
  jwt,
  type Metadata,
  RpcError,
  timeout,
} from '../../../src/rpc/index.js';
import { CLIENT_TLS, identity, pem, SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { connectOnce } from '../../fixtures/rpc.js';
import { rejection } from '../../fixtures/transports.js';
import { gate } from '../../fixtures/waiting.js';
import { byToken, openVault, Vault } from './vault.js';

noLeaks();

/** Returns the result of a call, or the code and the message of its error without the hint. */
const outcomeOf = (call: Promise<string>): Promise<string> =>
  call.catch(({ code, message }) => `${code}: ${message.split(':')[0]}`);

describe('auth()', () => {
  test('identifies a call by its token, and refuses a missing or wrong token before the handler', async () => {
    await using s = await openVault({ authenticate: byToken });
    expect(await s.stub.whoAmI(undefined, { metadata: { authorization: 'Bearer sesame' } })).toBe(
      'anna',
    );
    expect(
      await s.stub.whoAmI(undefined, { metadata: { authorization: 'bearer   swordfish' } }),
    ).toBe('ben');
    const others: Metadata[] = [
      {},
      { authorization: 'Bearer guess' },
      { authorization: 'Basic sesame' },
      { authorization: 'Bearer a b' },
      { Authorization: 'Bearer sesame' },
    ];
    for (const metadata of others) {
      const error = await rejection(s.stub.open(undefined, { metadata }));
      const hint =
        metadata.authorization === 'Bearer guess' ? '' : ': the call has no bearer token';
      expect([error.code, error.message]).toEqual([
        'UNAUTHENTICATED',
        `the credentials were not accepted${hint}`,
      ]);
    }
  });

  test.each(['subject', 'expires'] as const)(
    'refuses an identity whose %s cannot be read, without the reason',
    async (name) => {
      for (const readsBefore of [0, 1]) {
        let reads = 0;
        const authenticate = (): { subject: string } => {
          const found = { subject: 'anna', expires: Number.POSITIVE_INFINITY };
          return Object.defineProperty({ ...found }, name, {
            get: () => {
              if (reads++ < readsBefore) return found[name];
              throw new Error('a secret');
            },
          });
        };
        await using s = await openVault({ authenticate, per: 'session' });
        const calls = [await outcomeOf(s.stub.open()), await outcomeOf(s.stub.open())];
        for (const outcome of calls)
          expect(['it is open', 'UNAUTHENTICATED: the credentials were not accepted']).toContain(
            outcome,
          );
        expect(calls.at(-1)).toContain('UNAUTHENTICATED');
      }
    },
  );

  test('identifies a stream by its token', async () => {
    await using s = await openVault({ authenticate: byToken });
    const coins: number[] = [];
    for await (const coin of s.stub.coins(3, { metadata: { authorization: 'Bearer sesame' } }))
      coins.push(coin);
    expect(coins).toEqual([0, 1, 2]);
    const refused = async (): Promise<void> => {
      for await (const _ of s.stub.coins(3));
    };
    expect(await rejection(refused())).toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  test('keeps the secret out of errors and logs', async () => {
    await using s = await openVault({ authenticate: byToken });
    const secret = 'very-secret-token';
    const error = await rejection<RpcError>(
      s.stub.open(undefined, { metadata: { authorization: `Bearer ${secret}` } }),
    );
    expect(
      JSON.stringify([error, error.message, error.metadata, String(error.cause)]),
    ).not.toContain(secret);
    expect(JSON.stringify(s.log.warnings.all)).not.toContain(secret);
  });

  test('refuses a method that authorize denies with PERMISSION_DENIED', async () => {
    const authorized: string[] = [];
    const authorize = ({ identity, method }: CallContext): boolean => {
      authorized.push(`${identity?.subject} ${method.name}`);
      return identity?.subject === 'anna' || method.name !== 'open';
    };
    await using s = await openVault({ authenticate: byToken, authorize });
    const as = (token: string) => ({ metadata: { authorization: `Bearer ${token}` } });
    expect(await s.stub.open(undefined, as('sesame'))).toBe('it is open');
    expect(await s.stub.whoAmI(undefined, as('swordfish'))).toBe('ben');
    expect(await rejection(s.stub.open(undefined, as('swordfish')))).toMatchObject({
      code: 'PERMISSION_DENIED',
      message: 'you may not call Vault.open',
    });
    expect(authorized).toEqual(['anna open', 'ben whoAmI', 'ben open']);
  });

  test.each([
    [
      'authorize throws',
      {
        authorize: () => {
          throw new Error('the database of the secret sesame cannot be reached');
        },
      },
      'INTERNAL',
    ],
    [
      'authorize returns a value other than true',
      { authorize: () => 'yes' as never },
      'PERMISSION_DENIED',
    ],
    [
      'authorize throws an RpcError',
      {
        authorize: () => {
          throw new RpcError('RESOURCE_EXHAUSTED', 'too often');
        },
      },
      'RESOURCE_EXHAUSTED',
    ],
    ['authenticate returns no subject', { authenticate: () => ({}) as never }, 'INTERNAL'],
    [
      'authenticate returns an expired identity',
      { authenticate: () => ({ subject: 'anna', expires: 1 }) },
      'UNAUTHENTICATED',
    ],
    [
      'authenticate throws an RpcError',
      {
        authenticate: () => {
          throw new RpcError('UNAVAILABLE', 'later');
        },
      },
      'UNAVAILABLE',
    ],
  ] as [string, Partial<AuthOptions>, string][])(
    '%s: does not call the handler',
    async (_, options, code) => {
      await using s = await openVault({ authenticate: byToken, ...options });
      const error = await rejection(
        s.stub.open(undefined, { metadata: { authorization: 'Bearer sesame' } }),
      );
      expect(error.code).toBe(code);
      expect(error.message).not.toContain('sesame');
    },
  );

  test('accepts the calls of a session, with `per`, until the identity expires or another token arrives', async () => {
    let checks = 0;
    let expires = Date.now() + 60_000;
    const authenticate = (credentials: Credentials) => {
      checks++;
      return { ...byToken(credentials), expires };
    };
    await using s = await openVault({ authenticate, per: 'session' });
    expect(await rejection(s.stub.whoAmI())).toMatchObject({ code: 'UNAUTHENTICATED' });
    const as = (token: string) => ({ metadata: { authorization: `Bearer ${token}` } });
    for (const options of [as('sesame'), undefined, as('sesame')])
      expect(await s.stub.whoAmI(undefined, options)).toBe('anna');
    expect(checks).toBe(2);
    expect(await s.stub.whoAmI(undefined, as('swordfish'))).toBe('ben');
    expect(await s.stub.whoAmI()).toBe('ben');
    expect(await rejection(s.stub.whoAmI(undefined, as('guess')))).toMatchObject({
      code: 'UNAUTHENTICATED',
    });
    expect(await rejection(s.stub.whoAmI())).toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(await s.stub.whoAmI(undefined, as('swordfish'))).toBe('ben');
    expect(await s.stub.whoAmI()).toBe('ben');
    await using other = await connectOnce(s.server.address);
    expect(await rejection(other.stub(Vault).whoAmI())).toMatchObject({ code: 'UNAUTHENTICATED' });
    expires = Date.now() - 1;
    await rejection(s.stub.whoAmI(undefined, as('sesame')));
    expires = Date.now() + 60_000;
    other.destroy();
  });

  test('per session: over UDP each call needs its token, as senders are forged', async () => {
    await using s = await openVault(
      { authenticate: byToken, per: 'session' },
      { address: 'udp://127.0.0.1:0', server: { udp: { amplification: 10 } } },
    );
    const metadata = { authorization: 'Bearer sesame' };
    expect(await outcomeOf(s.stub.whoAmI(undefined, { metadata }))).toBe('anna');
    expect(await outcomeOf(s.stub.whoAmI())).toContain('UNAUTHENTICATED');
    expect(await outcomeOf(s.stub.whoAmI(undefined, { metadata }))).toBe('anna');
  });

  test('per session: the token that was sent last decides, whatever is verified first', async () => {
    const verified = new Map([
      ['sesame', gate()],
      ['guess', gate()],
    ]);
    const authenticate = async (credentials: Credentials) => {
      await verified.get(credentials.token ?? '')?.promise;
      return byToken(credentials);
    };
    await using s = await openVault({ authenticate, per: 'session' });
    const as = (token: string) => ({ metadata: { authorization: `Bearer ${token}` } });
    const first = s.stub.whoAmI(undefined, as('sesame'));
    const second = rejection(s.stub.whoAmI(undefined, as('guess')));
    verified.get('guess')?.open();
    expect(await second).toMatchObject({ code: 'UNAUTHENTICATED' });
    verified.get('sesame')?.open();
    expect(await first).toBe('anna');
    expect(await rejection(s.stub.whoAmI())).toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  test('passes the client certificate to authenticate', async () => {
    const authenticate = ({ certificate }: Credentials) => {
      if (certificate === undefined) throw new Error('no certificate');
      return { subject: certificate.commonName, claims: { fingerprint: certificate.fingerprint } };
    };
    const server = {
      tls: { ...SERVER_TLS, ca: pem('authority'), clientCertificate: 'required' as const },
    };
    await using s = await openVault(
      { authenticate },
      {
        address: 'tls://127.0.0.1:0',
        server,
        client: { tls: { ...CLIENT_TLS, ...identity('client') } },
      },
    );
    expect(await s.stub.whoAmI()).toBe('client');
  });

  test('passes the WebSocket request to authenticate', async () => {
    const authenticate = ({ request }: Credentials) => ({
      subject: `${request?.headers['x-user']} at ${request?.url}`,
    });
    await using s = await openVault(
      { authenticate },
      {
        address: 'ws://127.0.0.1:0/vault',
        client: { websocket: { headers: { 'X-User': 'anna' } } },
      },
    );
    expect(await s.stub.whoAmI()).toBe('anna at /vault');
  });

  test('passes calls that the server makes itself', async () => {
    await using s = await openVault({ authenticate: byToken });
    await using client = await connectOnce(s.server.address, {
      services: [implement(Vault, { whoAmI: () => 'the client', open: () => '', coins: () => [] })],
    });
    const channels = [...s.server.channels];
    const replies = await Promise.allSettled(
      channels.map((channel) => channel.stub(Vault).whoAmI()),
    );
    expect(
      replies
        .map((reply) => (reply.status === 'fulfilled' ? reply.value : reply.reason.code))
        .sort(),
    ).toEqual(['UNIMPLEMENTED', 'the client']);
    client.destroy();
  });
});

test.each<[string, () => unknown]>([
  ['authenticate', () => auth({} as never)],
  ['authorize', () => auth({ authenticate: byToken, authorize: 1 as never })],
  ['per', () => auth({ authenticate: byToken, per: 'day' as never })],
  ['token', () => bearer('two words')],
  ['token', () => bearer(undefined as never)],
  ['keys', () => jwt({ keys: new Uint8Array(8), issuer: 'i', audience: 'a' })],
  ['keys', () => jwt({ keys: 'https://example.org' as never, issuer: 'i', audience: 'a' })],
  [
    'keys: got "https://***@example.org/?***"',
    () =>
      jwt({
        keys: new URL('https://me:secret@example.org/?a=secret'),
        issuer: 'i',
        audience: 'a',
      }),
  ],
  ['issuer', () => jwt({ keys: { keys: [{ kty: 'oct' }] }, issuer: '', audience: 'a' })],
  ['audience', () => jwt({ keys: { keys: [{ kty: 'oct' }] }, issuer: 'i' } as never)],
  ['issuer', () => jwt({ keys: { keys: [{ kty: 'oct' }] }, issuer: [], audience: 'a' })],
  ['audience', () => jwt({ keys: { keys: [{ kty: 'oct' }] }, issuer: 'i', audience: ['a', ''] })],
  ...[[], ['none'], 'ES256', [5]].map((algorithms): [string, () => unknown] => [
    'algorithms',
    () =>
      jwt({ keys: { keys: [{ kty: 'oct' }] }, issuer: 'i', audience: 'a', algorithms } as never),
  ]),
  ['options', () => jwt(undefined as never)],
  ['options', () => auth(undefined as never)],
  [
    'cacheFor',
    () => jwt({ keys: { keys: [{ kty: 'oct' }] }, issuer: 'i', audience: 'a', cacheFor: -1 }),
  ],
])(
  'auth(), bearer() and jwt() throw BAD_OPTION for an invalid option, case %#: %s',
  (name, make) => {
    expect(make).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringContaining(name) }),
    );
  },
);

test.each<[string, Interceptor]>([
  ['timeout()', timeout(60_000)],
  ['an interceptor that copies the call', (next) => (call) => next(call.with({ metadata: {} }))],
])('interceptors before %s see the identity', async (_, copies) => {
  const seen: unknown[] = [];
  const observer: Interceptor = (next) => async (call) => {
    const reply = await next(call);
    seen.push((call as CallContext).identity?.subject);
    return reply;
  };
  await using s = await openVault(
    { authenticate: () => ({ subject: 'anna' }) },
    { before: [observer, copies] },
  );
  // timeout() copies the call only if the call has more time.
  expect(await s.stub.whoAmI(undefined, { timeout: 120_000 })).toBe('anna');
  expect(seen).toEqual(['anna']);
});
