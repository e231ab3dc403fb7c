/** auth(), bearer() and jwt(). */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JSONWebKeySet, SignJWT } from 'jose';
import { describe, expect, test } from 'vitest';
import {
  type AuthOptions,
  auth,
  bearer,
  type CallContext,
  type Credentials,
  connect,
  contract,
  type Interceptor,
  implement,
  type JwtOptions,
  jwt,
  type Metadata,
  type RpcClientOptions,
  RpcError,
  type RpcServerOptions,
  serve,
  serverStream,
  unary,
} from '../../../src/rpc/index.js';
import { CLIENT_TLS, identity, pem, SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { channelOf, freeMemory, Log } from '../../fixtures/rpc.js';

const Vault = contract('Vault', {
  whoAmI: unary<void, string>(),
  open: unary<void, string>(),
  coins: serverStream<number, number>(),
});

interface VaultOptions {
  readonly address?: string;
  readonly interceptors?: readonly Interceptor[];
  readonly server?: RpcServerOptions;
  readonly client?: RpcClientOptions;
}

noLeaks();

/** Opens a server of Vault with auth() and these interceptors, and a client of it. */
async function openVault(
  options: AuthOptions,
  { address = freeMemory(), interceptors = [], server: at, client: how }: VaultOptions = {},
) {
  const log = new Log('the server');
  const service = implement(Vault, {
    whoAmI: (_, context) => context.identity?.subject ?? 'nobody',
    open: () => 'it is open',
    async *coins(count, context) {
      for (let n = 0; n < count; n++) yield context.identity?.subject === 'anna' ? n : -1;
    },
  });
  const server = await serve(address, [service], {
    interceptors: [auth(options), ...interceptors],
    logger: log,
    ...at,
  });
  const client = await connect(server.address, { connections: 1, reconnect: false, ...how });
  return {
    server,
    client,
    log,
    stub: client.stub(Vault),
    async [Symbol.asyncDispose]() {
      client.destroy();
      server.destroy();
      await Promise.all([client.close(), server.close()]);
    },
  };
}

const failure = (promise: Promise<unknown>): Promise<RpcError> =>
  promise.then(
    () => Promise.reject(new Error('it did not fail')),
    (error) => error,
  );

const TOKENS: Readonly<Record<string, string>> = { sesame: 'anna', swordfish: 'ben' };

function byToken({ token }: Credentials): { subject: string } {
  const subject = TOKENS[token ?? ''];
  if (subject === undefined) throw new Error(`${token} is no token of ours`);
  return { subject };
}

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
      const error = await failure(s.stub.open(undefined, { metadata }));
      expect([error.code, error.message]).toEqual([
        'UNAUTHENTICATED',
        'the credentials were not accepted',
      ]);
    }
  });

  test('identifies a stream by its token', async () => {
    await using s = await openVault({ authenticate: byToken });
    const got: number[] = [];
    for await (const coin of s.stub.coins(3, { metadata: { authorization: 'Bearer sesame' } }))
      got.push(coin);
    expect(got).toEqual([0, 1, 2]);
    const refused = async (): Promise<void> => {
      for await (const _ of s.stub.coins(3));
    };
    expect(await failure(refused())).toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  test('keeps the secret out of errors and logs', async () => {
    await using s = await openVault({ authenticate: byToken });
    const secret = 'very-secret-token';
    const error = await failure(
      s.stub.open(undefined, { metadata: { authorization: `Bearer ${secret}` } }),
    );
    expect(
      JSON.stringify([error, error.message, error.metadata, String(error.cause)]),
    ).not.toContain(secret);
    expect(JSON.stringify(s.log.warnings.all)).not.toContain(secret);
  });

  test('refuses a method that authorize denies with PERMISSION_DENIED', async () => {
    const asked: string[] = [];
    const authorize = ({ identity, method }: CallContext): boolean => {
      asked.push(`${identity?.subject} ${method.name}`);
      return identity?.subject === 'anna' || method.name !== 'open';
    };
    await using s = await openVault({ authenticate: byToken, authorize });
    const as = (token: string) => ({ metadata: { authorization: `Bearer ${token}` } });
    expect(await s.stub.open(undefined, as('sesame'))).toBe('it is open');
    expect(await s.stub.whoAmI(undefined, as('swordfish'))).toBe('ben');
    expect(await failure(s.stub.open(undefined, as('swordfish')))).toMatchObject({
      code: 'PERMISSION_DENIED',
      message: 'you may not call Vault.open',
    });
    expect(asked).toEqual(['anna open', 'ben whoAmI', 'ben open']);
  });

  test.each([
    [
      'authorize throws',
      {
        authorize: () => {
          throw new Error('the database of the secret sesame is away');
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
    ['authenticate answers nobody', { authenticate: () => ({}) as never }, 'INTERNAL'],
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
      const error = await failure(
        s.stub.open(undefined, { metadata: { authorization: 'Bearer sesame' } }),
      );
      expect(error.code).toBe(code);
      expect(error.message).not.toContain('sesame');
    },
  );

  test('per session: accepts calls until the identity expires or another token comes', async () => {
    let asked = 0;
    let expires = Date.now() + 60_000;
    const authenticate = (credentials: Credentials) => {
      asked++;
      return { ...byToken(credentials), expires };
    };
    await using s = await openVault({ authenticate, per: 'session' });
    expect(await failure(s.stub.whoAmI())).toMatchObject({ code: 'UNAUTHENTICATED' });
    const as = (token: string) => ({ metadata: { authorization: `Bearer ${token}` } });
    for (const options of [as('sesame'), undefined, as('sesame')])
      expect(await s.stub.whoAmI(undefined, options)).toBe('anna');
    expect(asked).toBe(2);
    expect(await s.stub.whoAmI(undefined, as('swordfish'))).toBe('ben');
    expect(await s.stub.whoAmI()).toBe('ben');
    expect(await failure(s.stub.whoAmI(undefined, as('guess')))).toMatchObject({
      code: 'UNAUTHENTICATED',
    });
    expect(await s.stub.whoAmI()).toBe('ben');
    await using other = await connect(s.server.address, { connections: 1, reconnect: false });
    expect(await failure(other.stub(Vault).whoAmI())).toMatchObject({ code: 'UNAUTHENTICATED' });
    expires = Date.now() - 1;
    await failure(s.stub.whoAmI(undefined, as('sesame')));
    expires = Date.now() + 60_000;
    other.destroy();
  });

  test('passes the client certificate to authenticate', async () => {
    const authenticate = ({ certificate }: Credentials) => {
      if (certificate === undefined) throw new Error('none was shown');
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
    await using client = await connect(s.server.address, {
      connections: 1,
      reconnect: false,
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

  test.each<[string, () => unknown]>([
    ['authenticate', () => auth({} as never)],
    ['authorize', () => auth({ authenticate: byToken, authorize: 1 as never })],
    ['per', () => auth({ authenticate: byToken, per: 'day' as never })],
    ['token', () => bearer('two words')],
    ['token', () => bearer(undefined as never)],
    ['keys', () => jwt({ keys: new Uint8Array(8), issuer: 'i', audience: 'a' })],
    ['keys', () => jwt({ keys: 'https://example.org' as never, issuer: 'i', audience: 'a' })],
    [
      'keys: given "https://***@example.org/?***"',
      () =>
        jwt({
          keys: new URL('https://me:secret@example.org/?a=secret'),
          issuer: 'i',
          audience: 'a',
        }),
    ],
    ['issuer', () => jwt({ keys: { keys: [] }, issuer: '', audience: 'a' })],
    ['audience', () => jwt({ keys: { keys: [] }, issuer: 'i' } as never)],
    ['cacheFor', () => jwt({ keys: { keys: [] }, issuer: 'i', audience: 'a', cacheFor: -1 })],
  ])('throws BAD_OPTION: %s', (name, make) => {
    expect(make).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringContaining(name) }),
    );
  });
});

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
    expect(await failure(s.stub.whoAmI())).toMatchObject({ code: 'UNAUTHENTICATED', unsent: true });
    expect((await channelOf(s.server)).statistics.served.started).toBe(2);
  });
});

const [ISSUER, AUDIENCE] = ['https://issuer.example', 'vault'];

async function signer(kid?: string) {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const named = kid === undefined ? {} : { kid };
  const jwk = { ...(await exportJWK(publicKey)), ...named, alg: 'ES256' };
  const sign = (
    claims: Record<string, unknown> = {},
    change: (token: SignJWT) => SignJWT = (token) => token,
  ): Promise<string> =>
    change(
      new SignJWT(claims)
        .setProtectedHeader({ alg: 'ES256', ...named })
        .setSubject('anna')
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .setExpirationTime('5 minutes'),
    ).sign(privateKey);
  return { jwk, sign };
}

const shown = (token: string | undefined): Credentials => ({
  token,
  metadata: {},
  certificate: undefined,
  request: undefined,
  peer: '',
});
const options = (keys: JwtOptions['keys'], more: Partial<JwtOptions> = {}): JwtOptions => ({
  keys,
  issuer: ISSUER,
  audience: AUDIENCE,
  ...more,
});

describe('jwt()', () => {
  test('turns a valid token into an identity with its claims', async () => {
    const { jwk, sign } = await signer('one');
    await using s = await openVault({
      authenticate: jwt(options({ keys: [jwk] })),
      authorize: ({ identity: who }) => who?.claims?.role === 'keeper',
    });
    const as = async (role: string) => ({
      metadata: { authorization: `Bearer ${await sign({ role })}` },
    });
    expect(await s.stub.whoAmI(undefined, await as('keeper'))).toBe('anna');
    expect(await failure(s.stub.whoAmI(undefined, await as('guest')))).toMatchObject({
      code: 'PERMISSION_DENIED',
    });
  });

  test('refuses an invalid token', async () => {
    const { jwk, sign } = await signer('one');
    const stranger = await signer('one');
    const secret = new TextEncoder().encode('x'.repeat(32));
    const verify = jwt(options({ keys: [jwk] }));
    const good = await sign();
    const [head, body, signature] = good.split('.') as [string, string, string];
    const forged = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
    const bad: Record<string, string | undefined> = {
      'there is none': undefined,
      'it is none': 'abc',
      'it has expired': await sign({}, (token) =>
        token.setExpirationTime(Math.floor(Date.now() / 1000) - 60),
      ),
      'it is not valid yet': await sign({}, (token) => token.setNotBefore('1 hour')),
      'it is somebody else’s': await sign({}, (token) => token.setIssuer('https://other.example')),
      'it is for somebody else': await sign({}, (token) => token.setAudience('bank')),
      'it has no subject': await new SignJWT({})
        .setProtectedHeader({ alg: 'HS256' })
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .setExpirationTime('1 hour')
        .sign(secret),
      'a stranger signed it': await stranger.sign(),
      'it was changed': `${head}.${Buffer.from(JSON.stringify({ sub: 'eve', iss: ISSUER, aud: AUDIENCE, exp: 9e9 })).toString('base64url')}.${signature}`,
      'it has no signature': `${forged}.${body}.`,
      'its signature is of a secret': await new SignJWT({})
        .setProtectedHeader({ alg: 'HS256', kid: 'one' })
        .setSubject('anna')
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .setExpirationTime('1 hour')
        .sign(secret),
      'it is endless': 'x'.repeat(20_000),
    };
    for (const [what, token] of Object.entries(bad))
      await expect([what, await failure(verify(shown(token)) as Promise<never>)]).toEqual([
        what,
        expect.any(Error),
      ]);
    expect(await verify(shown(good))).toMatchObject({ subject: 'anna' });
  });

  test('verifies tokens with a secret', async () => {
    const secret = new TextEncoder().encode('x'.repeat(32));
    const sign = (alg: string) =>
      new SignJWT({})
        .setProtectedHeader({ alg })
        .setSubject('anna')
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .setExpirationTime('1 hour')
        .sign(secret);
    expect(await jwt(options(secret))(shown(await sign('HS256')))).toMatchObject({
      subject: 'anna',
    });
    expect(
      await failure(
        jwt(options(secret, { algorithms: ['HS512'] }))(
          shown(await sign('HS256')),
        ) as Promise<never>,
      ),
    ).toBeInstanceOf(Error);
  });

  test('loads the keys again for an unknown key, at most once in `cooldown`', async () => {
    const [old, young] = [await signer('old'), await signer('young')];
    let keys: JSONWebKeySet = { keys: [old.jwk] };
    let fetched = 0;
    const fetch = async (): Promise<JSONWebKeySet> => {
      fetched++;
      return keys;
    };
    const verify = jwt(options(fetch, { cooldown: 0 }));
    const patient = jwt(options(fetch, { cooldown: 60_000 }));
    expect(await verify(shown(await old.sign()))).toMatchObject({ subject: 'anna' });
    expect(await verify(shown(await old.sign({ n: 2 })))).toMatchObject({ subject: 'anna' });
    expect(fetched).toBe(1);
    await patient(shown(await old.sign()));
    keys = { keys: [young.jwk] };
    const token = await young.sign();
    expect(await verify(shown(token))).toMatchObject({ subject: 'anna' });
    expect(fetched).toBe(3);
    for (let n = 0; n < 5; n++) await failure(patient(shown(token)) as Promise<never>);
    expect(fetched).toBe(3);
  });

  test('fails with UNAVAILABLE while the keys cannot be loaded, and loads them for the next token', async () => {
    const { jwk, sign } = await signer('one');
    let there = false;
    const verify = jwt(
      options(() => (there ? { keys: [jwk] } : Promise.reject(new Error('the disk is full')))),
    );
    expect(await failure(verify(shown(await sign())) as Promise<never>)).toMatchObject({
      code: 'UNAVAILABLE',
      cause: { message: 'the disk is full' },
    });
    there = true;
    expect(await verify(shown(await sign()))).toMatchObject({ subject: 'anna' });
  });

  test('loads the keys from a URL', async () => {
    const { jwk, sign } = await signer('one');
    const server = createServer((_, response) =>
      response.setHeader('Content-Type', 'application/json').end(JSON.stringify({ keys: [jwk] })),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`);
    expect(await jwt(options(url))(shown(await sign()))).toMatchObject({ subject: 'anna' });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect(await failure(jwt(options(url))(shown(await sign())) as Promise<never>)).toMatchObject({
      code: 'UNAVAILABLE',
    });
  });

  test.each([
    ['503', (response: ServerResponse) => response.writeHead(503).end('busy')],
    ['HTML', (response: ServerResponse) => response.end('<html>please log in</html>')],
    [
      'JSON that is no key set',
      (response: ServerResponse) =>
        response.setHeader('Content-Type', 'application/json').end('{"keys":1}'),
    ],
    [
      'an answer that is cut off',
      (response: ServerResponse) =>
        response.writeHead(200, { 'Content-Length': 100 }).write('{', () => response.destroy()),
    ],
  ])('fails with UNAVAILABLE when the URL of the keys answers with %s', async (_, answer) => {
    const { sign } = await signer('one');
    const server = createServer((_request, response) => void answer(response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`);
    expect(await failure(jwt(options(url))(shown(await sign())) as Promise<never>)).toMatchObject({
      code: 'UNAVAILABLE',
    });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  test('shares one load between a burst of tokens of a new key', async () => {
    const [old, young] = [await signer('old'), await signer('young')];
    let keys: JSONWebKeySet = { keys: [old.jwk] };
    let loads = 0;
    const verify = jwt(
      options(
        async () => {
          loads++;
          return keys;
        },
        { cooldown: 0, cacheFor: 0 },
      ),
    );
    await verify(shown(await old.sign()));
    keys = { keys: [old.jwk, young.jwk] };
    const tokens = await Promise.all(Array.from({ length: 10 }, (_, n) => young.sign({ n })));
    const identities = await Promise.all(tokens.map((token) => verify(shown(token))));
    expect(identities.map(({ subject }) => subject)).toEqual(
      Array.from({ length: 10 }, () => 'anna'),
    );
    expect(loads).toBe(2);
  });

  test('keeps the last keys while new ones cannot be loaded', async () => {
    const [known, unknown] = [await signer('known'), await signer('unknown')];
    let fails = false;
    const load = (): JSONWebKeySet => {
      if (fails) throw new Error('the disk is full');
      return { keys: [known.jwk] };
    };
    const verify = jwt(options(load, { cooldown: 0, cacheFor: 0 }));
    await verify(shown(await known.sign()));
    fails = true;
    expect(await failure(verify(shown(await unknown.sign())) as Promise<never>)).toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(await verify(shown(await known.sign()))).toMatchObject({ subject: 'anna' });
  });

  test('tries each key of its kind for a token without kid', async () => {
    const [one, two, stranger] = [await signer(), await signer(), await signer()];
    const verify = jwt(options({ keys: [one.jwk, two.jwk] }));
    expect(await verify(shown(await one.sign()))).toMatchObject({ subject: 'anna' });
    expect(await verify(shown(await two.sign()))).toMatchObject({ subject: 'anna' });
    expect(await failure(verify(shown(await stranger.sign())) as Promise<never>)).toMatchObject({
      code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
    });
  });

  test('does not verify a cached token again before it expires', async () => {
    const { jwk, sign } = await signer('one');
    const token = await sign();
    const cached = jwt(options({ keys: [jwk] }));
    expect(await cached(shown(token))).toBe(await cached(shown(token)));
    const each = jwt(options({ keys: [jwk] }, { cacheFor: 0 }));
    expect(await each(shown(token))).not.toBe(await each(shown(token)));
  });
});
