/** Tokens that are JSON Web Tokens (RFC 7519), verified by the jose package, which is loaded with the first. */
import type { CryptoKey, JSONWebKeySet, JWTPayload, JWTVerifyGetKey, JWTVerifyOptions, KeyObject } from 'jose';
import { badOption, withDefaults } from '../core/options.js';
import type { Authenticate } from './auth.js';
import { RpcError } from './errors.js';
import type { Identity } from './types.js';

/** A key set, or a function that gives the present one: it is asked again when a token names a key that is not in it. */
export type JwtKeys = JSONWebKeySet | (() => JSONWebKeySet | Promise<JSONWebKeySet>);

export interface JwtOptions {
  /**
   * The keys that tokens are signed with: the address of a key set (`https://…/jwks.json`), a key set, a function that gives one, or a single key (a secret
   * as bytes, of at least 32).
   */
  keys: URL | JwtKeys | CryptoKey | KeyObject | Uint8Array;
  /** Who must have made the token: its `iss`. */
  issuer: string | string[];
  /** Whom it must be for: its `aud`. */
  audience: string | string[];
  /** Signatures that are accepted. Default: the asymmetric ones; with a secret, HS256, HS384 and HS512. */
  algorithms?: readonly string[];
  /** Milliseconds by which clocks may differ. */
  clockTolerance?: number;
  /** Milliseconds that a token that was verified is taken for good, if it does not expire before. 0: each is verified each time. */
  cacheFor?: number;
  /** Milliseconds between two requests for the key set, however many tokens name unknown keys. */
  cooldown?: number;
}

export const JWT_DEFAULTS = { clockTolerance: 5_000, cacheFor: 60_000, cooldown: 30_000 } satisfies Partial<JwtOptions>;

const ASYMMETRIC = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'];
const SYMMETRIC = ['HS256', 'HS384', 'HS512'];
const SHORTEST_SECRET = 32;
const LARGEST_TOKEN = 16 * 1024;
const CACHED = 1_000;

interface Cached {
  readonly identity: Identity;
  readonly until: number;
}

/**
 * For auth(): takes the token of a call for an identity, whose subject is `sub` and whose claims are all of the token's. Tokens without `sub` or
 * `exp` are refused. Throws BAD_OPTION.
 */
export function jwt(options: JwtOptions): Authenticate {
  const { clockTolerance, cacheFor, cooldown } = withDefaults(JWT_DEFAULTS, options, {
    clockTolerance: [0, 3_600_000],
    cacheFor: [0, 86_400_000],
    cooldown: [0, 86_400_000],
  });
  const { keys, issuer, audience } = options;
  const secret = keys instanceof Uint8Array;
  checkKeys(keys);
  for (const [name, value] of Object.entries({ issuer, audience })) {
    if (![value].flat().every((one) => typeof one === 'string' && one !== '')) throw badOption(name, value, 'a name, or several');
  }
  const algorithms = [...(options.algorithms ?? (secret ? SYMMETRIC : ASYMMETRIC))];
  const verifyOptions: JWTVerifyOptions = { issuer, audience, algorithms, clockTolerance: clockTolerance / 1000, requiredClaims: ['exp', 'sub'] };
  const known = new Map<string, Cached>();
  let verify: ((token: string) => Promise<JWTPayload>) | undefined;

  return async ({ token }) => {
    if (token === undefined) throw new Error('there is no token');
    if (token.length > LARGEST_TOKEN) throw new Error(`the token has ${token.length} characters; at most ${LARGEST_TOKEN} are looked at`);
    const cached = known.get(token);
    if (cached !== undefined && cached.until > Date.now()) return cached.identity;
    known.delete(token);
    verify ??= await verifier(keys, verifyOptions, cooldown);
    const claims = await verify(token);
    const expires = (claims.exp as number) * 1000 + clockTolerance;
    const identity: Identity = { subject: claims.sub as string, claims, expires };
    if (cacheFor > 0) {
      if (known.size >= CACHED) known.clear();
      known.set(token, { identity, until: Math.min(expires, Date.now() + cacheFor) });
    }
    return identity;
  };
}

function checkKeys(keys: JwtOptions['keys']): void {
  if (keys instanceof Uint8Array && keys.length < SHORTEST_SECRET)
    throw badOption('keys', `a secret of ${keys.length} bytes`, `at least ${SHORTEST_SECRET}`);
  if (typeof keys !== 'function' && (typeof keys !== 'object' || keys === null))
    throw badOption('keys', `a ${typeof keys}`, 'a URL, a key set, or a key');
}

async function verifier(keys: JwtOptions['keys'], options: JWTVerifyOptions, cooldown: number): Promise<(token: string) => Promise<JWTPayload>> {
  const jose = await import('jose');
  const check = async (token: string, key: JWTVerifyGetKey): Promise<JWTPayload> => {
    try {
      return (await jose.jwtVerify(token, key, options)).payload;
    } catch (error) {
      // Whose fault it is that the keys cannot be had is nothing that the caller could mend.
      const ours = !(error instanceof jose.errors.JOSEError) || error instanceof jose.errors.JWKSTimeout || error instanceof jose.errors.JWKSInvalid;
      if (ours) throw new RpcError('UNAVAILABLE', 'the keys of tokens cannot be had now', { cause: error });
      throw error;
    }
  };
  if (keys instanceof URL) {
    const set = jose.createRemoteJWKSet(keys, { cooldownDuration: cooldown });
    return (token) => check(token, set);
  }
  if (typeof keys === 'function') {
    const set = new RotatingKeys(
      keys,
      cooldown,
      (given) => jose.createLocalJWKSet(given),
      (error) => error instanceof jose.errors.JWKSNoMatchingKey,
    );
    return (token) => check(token, (header, input) => set.find(header, input));
  }
  if (Array.isArray((keys as Partial<JSONWebKeySet>).keys)) {
    const set = jose.createLocalJWKSet(keys as JSONWebKeySet);
    return (token) => check(token, set);
  }
  return (token) => check(token, async () => keys as CryptoKey | KeyObject | Uint8Array);
}

/** A key set that is fetched again when a token names a key that is not in it, but not more often than `cooldown`. */
class RotatingKeys {
  readonly #fetch: () => JSONWebKeySet | Promise<JSONWebKeySet>;
  readonly #cooldown: number;
  readonly #setOf: (keys: JSONWebKeySet) => JWTVerifyGetKey;
  readonly #isUnknown: (error: unknown) => boolean;
  #set: Promise<JWTVerifyGetKey> | undefined;
  #fetchedAt = Number.NEGATIVE_INFINITY;

  constructor(
    fetch: () => JSONWebKeySet | Promise<JSONWebKeySet>,
    cooldown: number,
    setOf: (keys: JSONWebKeySet) => JWTVerifyGetKey,
    isUnknown: (error: unknown) => boolean,
  ) {
    this.#fetch = fetch;
    this.#cooldown = cooldown;
    this.#setOf = setOf;
    this.#isUnknown = isUnknown;
  }

  async find(...asked: Parameters<JWTVerifyGetKey>): Promise<Awaited<ReturnType<JWTVerifyGetKey>>> {
    this.#set ??= this.#load();
    try {
      return await (await this.#set)(...asked);
    } catch (error) {
      if (!this.#isUnknown(error) || performance.now() - this.#fetchedAt < this.#cooldown) throw error;
      this.#set = this.#load();
      return (await this.#set)(...asked);
    }
  }

  #load(): Promise<JWTVerifyGetKey> {
    this.#fetchedAt = performance.now();
    const loading = Promise.resolve()
      .then(() => this.#fetch())
      .then(this.#setOf);
    // What failed is tried again by the next token.
    loading.catch(() => {
      if (this.#set === loading) this.#set = undefined;
    });
    return loading;
  }
}
