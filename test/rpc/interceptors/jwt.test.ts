/** jwt(): which tokens are valid, and how keys are loaded. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JSONWebKeySet, SignJWT } from 'jose';
import { describe, expect, test, vi } from 'vitest';
import { type Credentials, type JwtOptions, jwt } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { rejection } from '../../fixtures/transports.js';
import { openVault } from './vault.js';

noLeaks();

const [ISSUER, AUDIENCE] = ['https://issuer.example', 'vault'];

/** A key pair, and a function that signs tokens with it. */
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

/** The credentials of a caller with this token. */
const withToken = (token: string | undefined): Credentials => ({
  token,
  metadata: {},
  certificate: undefined,
  request: undefined,
  peer: '',
});
const jwtOptions = (keys: JwtOptions['keys'], more: Partial<JwtOptions> = {}): JwtOptions => ({
  keys,
  issuer: ISSUER,
  audience: AUDIENCE,
  ...more,
});

describe('jwt()', () => {
  test('turns a valid token into an identity with its claims', async () => {
    const { jwk, sign } = await signer('one');
    await using s = await openVault({
      authenticate: jwt(jwtOptions({ keys: [jwk] })),
      authorize: ({ identity: who }) => who?.claims?.role === 'keeper',
    });
    const as = async (role: string) => ({
      metadata: { authorization: `Bearer ${await sign({ role })}` },
    });
    expect(await s.stub.whoAmI(undefined, await as('keeper'))).toBe('anna');
    expect(await rejection(s.stub.whoAmI(undefined, await as('guest')))).toMatchObject({
      code: 'PERMISSION_DENIED',
    });
  });

  test('refuses an invalid token', async () => {
    const { jwk, sign } = await signer('one');
    const untrusted = await signer('one');
    const secret = new TextEncoder().encode('x'.repeat(32));
    const verify = jwt(jwtOptions({ keys: [jwk] }));
    const good = await sign();
    const [header, payload, signature] = good.split('.') as [string, string, string];
    const forged = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
    const bad: Record<string, string | undefined> = {
      'there is no token': undefined,
      'it is malformed': 'abc',
      'it has expired': await sign({}, (token) =>
        token.setExpirationTime(Math.floor(Date.now() / 1000) - 60),
      ),
      'it is not valid yet': await sign({}, (token) => token.setNotBefore('1 hour')),
      'it has another issuer': await sign({}, (token) => token.setIssuer('https://other.example')),
      'it has another audience': await sign({}, (token) => token.setAudience('bank')),
      'it has no subject': await new SignJWT({})
        .setProtectedHeader({ alg: 'HS256' })
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .setExpirationTime('1 hour')
        .sign(secret),
      'an untrusted key signed it': await untrusted.sign(),
      'its claims were changed': `${header}.${Buffer.from(JSON.stringify({ sub: 'eve', iss: ISSUER, aud: AUDIENCE, exp: 9e9 })).toString('base64url')}.${signature}`,
      'it has no signature': `${forged}.${payload}.`,
      'a secret signed it': await new SignJWT({})
        .setProtectedHeader({ alg: 'HS256', kid: 'one' })
        .setSubject('anna')
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .setExpirationTime('1 hour')
        .sign(secret),
      'it is too long': 'x'.repeat(20_000),
    };
    for (const [what, token] of Object.entries(bad))
      await expect([what, await rejection(verify(withToken(token)) as Promise<never>)]).toEqual([
        what,
        expect.any(Error),
      ]);
    expect(await verify(withToken(good))).toMatchObject({ subject: 'anna' });
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
    expect(await jwt(jwtOptions(secret))(withToken(await sign('HS256')))).toMatchObject({
      subject: 'anna',
    });
    expect(
      await rejection(
        jwt(jwtOptions(secret, { algorithms: ['HS512'] }))(
          withToken(await sign('HS256')),
        ) as Promise<never>,
      ),
    ).toBeInstanceOf(Error);
  });

  test('loads the keys again for an unknown key, at most once in `cooldown`', async () => {
    const [oldKey, newKey] = [await signer('old'), await signer('new')];
    let keys: JSONWebKeySet = { keys: [oldKey.jwk] };
    let loads = 0;
    const fetch = async (): Promise<JSONWebKeySet> => {
      loads++;
      return keys;
    };
    const verify = jwt(jwtOptions(fetch, { cooldown: 0 }));
    const withCooldown = jwt(jwtOptions(fetch, { cooldown: 60_000 }));
    expect(await verify(withToken(await oldKey.sign()))).toMatchObject({ subject: 'anna' });
    expect(await verify(withToken(await oldKey.sign({ n: 2 })))).toMatchObject({ subject: 'anna' });
    expect(loads).toBe(1);
    await withCooldown(withToken(await oldKey.sign()));
    keys = { keys: [newKey.jwk] };
    const token = await newKey.sign();
    expect(await verify(withToken(token))).toMatchObject({ subject: 'anna' });
    expect(loads).toBe(3);
    for (let n = 0; n < 5; n++) await rejection(withCooldown(withToken(token)) as Promise<never>);
    expect(loads).toBe(3);
  });

  test('fails with UNAVAILABLE while the keys cannot be loaded, and loads them for the next token', async () => {
    const { jwk, sign } = await signer('one');
    let areKeysAvailable = false;
    const verify = jwt(
      jwtOptions(
        () => (areKeysAvailable ? { keys: [jwk] } : Promise.reject(new Error('the disk is full'))),
        { cooldown: 0 },
      ),
    );
    expect(await rejection(verify(withToken(await sign())) as Promise<never>)).toMatchObject({
      code: 'UNAVAILABLE',
      cause: { message: 'the disk is full' },
    });
    areKeysAvailable = true;
    expect(await verify(withToken(await sign()))).toMatchObject({ subject: 'anna' });
  });

  test('loads the keys also for an expired token, so one can be used before calls come', async () => {
    const { jwk, sign } = await signer('one');
    let loads = 0;
    const verify = jwt(
      jwtOptions(async () => {
        loads++;
        return { keys: [jwk] };
      }),
    );
    const expired = await sign({}, (token) =>
      token.setExpirationTime(Math.floor(Date.now() / 1000) - 60),
    );
    expect(await rejection(verify(withToken(expired)) as Promise<never>)).toBeInstanceOf(Error);
    expect(loads).toBe(1);
    await verify(withToken(await sign()));
    expect(loads).toBe(1);
  });

  test('loads the keys from a URL', async () => {
    const { jwk, sign } = await signer('one');
    const server = createServer((_, response) =>
      response.setHeader('Content-Type', 'application/json').end(JSON.stringify({ keys: [jwk] })),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`);
    expect(await jwt(jwtOptions(url))(withToken(await sign()))).toMatchObject({ subject: 'anna' });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect(
      await rejection(jwt(jwtOptions(url))(withToken(await sign())) as Promise<never>),
    ).toMatchObject({
      code: 'UNAVAILABLE',
    });
  });

  test('accepts tokens of the last keys of a URL, however long the URL fails', async () => {
    const { jwk, sign } = await signer('one');
    const server = createServer((_, response) => response.end(JSON.stringify({ keys: [jwk] })));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`);
    const verify = jwt(jwtOptions(url, { cacheFor: 0 }));
    const token = await sign({}, (one) => one.setExpirationTime('1 day'));
    await verify(withToken(token));
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    vi.useFakeTimers({ toFake: ['performance', 'Date'], now: Date.now() + 3_600_000 });
    try {
      vi.advanceTimersByTime(3_600_000);
      for (let n = 0; n < 3; n++)
        expect(await verify(withToken(token))).toMatchObject({ subject: 'anna' });
    } finally {
      vi.useRealTimers();
    }
  });

  test.each([
    ['503', (response: ServerResponse) => response.writeHead(503).end('busy')],
    ['HTML', (response: ServerResponse) => response.end('<html>please log in</html>')],
    [
      'JSON without a key set',
      (response: ServerResponse) =>
        response.setHeader('Content-Type', 'application/json').end('{"keys":1}'),
    ],
    [
      'a truncated answer',
      (response: ServerResponse) =>
        response.writeHead(200, { 'Content-Length': 100 }).write('{', () => response.destroy()),
    ],
    [
      'too many keys',
      (response: ServerResponse) =>
        response.end(JSON.stringify({ keys: Array(101).fill({ kty: 'EC' }) })),
      /^the key set has 101 keys; at most 100 are accepted$/,
    ],
    [
      'too many values',
      (response: ServerResponse) =>
        response.end(JSON.stringify({ keys: [{ kty: 'EC', x: Array(10_001).fill({}) }] })),
      /10000/,
    ],
    [
      'a body without end',
      (response: ServerResponse) => {
        const part = Buffer.alloc(2 ** 16, ' ');
        const more = (error?: Error | null): void => {
          if (!error) response.write(part, more);
        };
        more();
      },
    ],
  ])(
    'fails with UNAVAILABLE when the URL of the keys answers with %s',
    async (_, answer, message = /./) => {
      const { sign } = await signer('one');
      const server = createServer((_request, response) => void answer(response));
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`);
      expect(
        await rejection(jwt(jwtOptions(url))(withToken(await sign())) as Promise<never>),
      ).toMatchObject({
        code: 'UNAVAILABLE',
        cause: { message: expect.stringMatching(message) },
      });
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  );

  test('refuses a key set of a function with too many keys', async () => {
    const { jwk, sign } = await signer('one');
    const verify = jwt(jwtOptions(() => ({ keys: Array(101).fill(jwk) })));
    expect(await rejection(verify(withToken(await sign())) as Promise<never>)).toMatchObject({
      code: 'UNAVAILABLE',
      cause: { message: 'the key set has 101 keys; at most 100 are accepted' },
    });
  });

  test('shares one load between a burst of tokens of a new key', async () => {
    const [oldKey, newKey] = [await signer('old'), await signer('new')];
    let keys: JSONWebKeySet = { keys: [oldKey.jwk] };
    let loads = 0;
    const verify = jwt(
      jwtOptions(
        async () => {
          loads++;
          return keys;
        },
        { cooldown: 0, cacheFor: 0 },
      ),
    );
    await verify(withToken(await oldKey.sign()));
    keys = { keys: [oldKey.jwk, newKey.jwk] };
    const tokens = await Promise.all(Array.from({ length: 10 }, (_, n) => newKey.sign({ n })));
    const identities = await Promise.all(tokens.map((token) => verify(withToken(token))));
    expect(identities.map(({ subject }) => subject)).toEqual(
      Array.from({ length: 10 }, () => 'anna'),
    );
    expect(loads).toBe(2);
  });

  test('shares one load between the calls that come before the first keys', async () => {
    const { jwk, sign } = await signer();
    let loads = 0;
    const load = async (): Promise<JSONWebKeySet> => {
      loads++;
      return { keys: [jwk] };
    };
    const verify = jwt(jwtOptions(load, { cacheFor: 0 }));
    const tokens = await Promise.all(Array.from({ length: 10 }, (_, n) => sign({ n })));
    await Promise.all(tokens.map((token) => verify(withToken(token))));
    expect(loads).toBe(1);
  });

  test('keeps the last keys while new ones cannot be loaded', async () => {
    const [known, unknown] = [await signer('known'), await signer('unknown')];
    let fails = false;
    const load = (): JSONWebKeySet => {
      if (fails) throw new Error('the disk is full');
      return { keys: [known.jwk] };
    };
    const verify = jwt(jwtOptions(load, { cooldown: 0, cacheFor: 0 }));
    await verify(withToken(await known.sign()));
    fails = true;
    expect(
      await rejection(verify(withToken(await unknown.sign())) as Promise<never>),
    ).toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(await verify(withToken(await known.sign()))).toMatchObject({ subject: 'anna' });
  });

  test('tries each key of its type for a token without kid', async () => {
    const [one, two, untrusted] = [await signer(), await signer(), await signer()];
    const verify = jwt(jwtOptions({ keys: [one.jwk, two.jwk] }));
    expect(await verify(withToken(await one.sign()))).toMatchObject({ subject: 'anna' });
    expect(await verify(withToken(await two.sign()))).toMatchObject({ subject: 'anna' });
    expect(
      await rejection(verify(withToken(await untrusted.sign())) as Promise<never>),
    ).toMatchObject({
      code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
    });
  });

  test('does not verify a cached token again before it expires', async () => {
    const { jwk, sign } = await signer('one');
    const token = await sign();
    const cached = jwt(jwtOptions({ keys: [jwk] }));
    expect(await cached(withToken(token))).toBe(await cached(withToken(token)));
    const uncached = jwt(jwtOptions({ keys: [jwk] }, { cacheFor: 0 }));
    expect(await uncached(withToken(token))).not.toBe(await uncached(withToken(token)));
  });
});

test.each([
  ['an empty object', { keys: {} }, /^keys: got an object, expected a key set with at least one/],
  ['an array', { keys: [] }, /^keys: got an array, expected a key set/],
  ['an empty key set', { keys: { keys: [] } }, /^keys: got an object, expected a key set/],
  [
    'too many keys',
    { keys: { keys: Array(101).fill({ kty: 'EC' }) } },
    /^keys: got .*101 keys.*, expected at most 100$/,
  ],
  ['a file URL', { keys: new URL('file:///keys.json') }, /^keys: got "file:.*http: URL$/],
  [
    'an unknown algorithm',
    { algorithms: ['FOO'] },
    /^algorithms: got "FOO", expected some of RS256/,
  ],
])('rejects %s with BAD_OPTION', (_, options, message) => {
  const all = { keys: new Uint8Array(32), issuer: 'i', audience: 'a', ...options };
  expect(() => jwt(all as never)).toThrow(message);
});
