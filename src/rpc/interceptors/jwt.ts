/**
 * Tokens that are JSON Web Tokens (RFC 7519), verified by the jose package, which is loaded with
 * the first.
 */

import type {
  CryptoKey,
  JSONWebKeySet,
  JWTPayload,
  JWTVerifyGetKey,
  JWTVerifyOptions,
  KeyObject,
} from 'jose';
import { isInstance } from '../../core/errors.js';
import { badOption, checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { redactUrl } from '../../core/redact.js';
import { RpcError } from '../errors.js';
import type { Identity } from '../types.js';
import type { Authenticate } from './auth.js';

/**
 * A key set, or a function that gives the present one. The function is called again when a token
 * names a key that is not in the set; while it fails, the set that it gave last stays in use.
 */
export type JwtKeys = JSONWebKeySet | (() => JSONWebKeySet | Promise<JSONWebKeySet>);

export interface JwtOptions {
  /**
   * The keys that tokens are signed with: the address of a key set (`https://…/jwks.json`), a key
   * set, a function that gives one, or a single key (a secret as bytes, of at least 32).
   */
  keys: URL | JwtKeys | CryptoKey | KeyObject | Uint8Array;
  /** Who must have made the token: its `iss`. */
  issuer: string | string[];
  /** Whom it must be for: its `aud`. */
  audience: string | string[];
  /**
   * Signatures that are accepted. Default: the asymmetric ones; with a secret, HS256, HS384 and
   * HS512.
   */
  algorithms?: readonly string[] | undefined;
  /** Milliseconds by which clocks may differ. */
  clockTolerance?: number | undefined;
  /**
   * Milliseconds that a token that was verified is taken for good, if it does not expire before. 0:
   * each is verified each time.
   */
  cacheFor?: number | undefined;
  /** Milliseconds between two requests for the key set, however many tokens name unknown keys. */
  cooldown?: number | undefined;
}

const NAMES = {
  keys: true,
  issuer: true,
  audience: true,
  algorithms: true,
  clockTolerance: true,
  cacheFor: true,
  cooldown: true,
} satisfies NamesOf<JwtOptions>;

export const JWT_DEFAULTS = {
  clockTolerance: 5_000,
  cacheFor: 60_000,
  cooldown: 30_000,
} satisfies Partial<JwtOptions>;

const ASYMMETRIC = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];
const SYMMETRIC = ['HS256', 'HS384', 'HS512'];
const SHORTEST_SECRET = 32;
const LARGEST_TOKEN = 16 * 1024;
const CACHED = 1_000;

interface Cached {
  readonly identity: Identity;
  readonly until: number;
}

/**
 * For auth(): takes the token of a call for an identity, whose subject is `sub` and whose claims
 * are all of the token's. Tokens without `sub` or `exp` are refused. Throws BAD_OPTION.
 */
export function jwt(options: JwtOptions): Authenticate {
  checkNames('jwt()', options, NAMES);
  const { clockTolerance, cacheFor, cooldown } = withDefaults(JWT_DEFAULTS, options, {
    clockTolerance: [0, 3_600_000],
    cacheFor: [0, 86_400_000],
    cooldown: [0, 86_400_000],
  });
  const { keys, issuer, audience } = options;
  const secret = keys instanceof Uint8Array;
  checkKeys(keys);
  for (const [name, value] of Object.entries({ issuer, audience })) {
    if (![value].flat().every((one) => typeof one === 'string' && one !== ''))
      throw badOption(name, value, 'a name, or several');
  }
  const algorithms = [...(options.algorithms ?? (secret ? SYMMETRIC : ASYMMETRIC))];
  const verifyOptions: JWTVerifyOptions = {
    issuer,
    audience,
    algorithms,
    clockTolerance: clockTolerance / 1000,
    requiredClaims: ['exp', 'sub'],
  };
  const known = new Map<string, Cached>();
  let verify: ((token: string) => Promise<JWTPayload>) | undefined;

  return async ({ token }) => {
    if (token === undefined) throw new Error('there is no token');
    if (token.length > LARGEST_TOKEN)
      throw new Error(
        `the token has ${token.length} characters; at most ${LARGEST_TOKEN} are looked at`,
      );
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
  // fetch() takes no such URL, and repeats it in its error.
  if (keys instanceof URL && (keys.username !== '' || keys.password !== '')) {
    throw badOption('keys', redactUrl(keys.href), 'a URL without a user and a password');
  }
}

type FindKey = (
  ...asked: Parameters<JWTVerifyGetKey>
) => Promise<Awaited<ReturnType<JWTVerifyGetKey>>>;

/** The keys could not be had. The token may be a good one. */
class KeysUnavailable extends Error {}

async function verifier(
  keys: JwtOptions['keys'],
  options: JWTVerifyOptions,
  cooldown: number,
): Promise<(token: string) => Promise<JWTPayload>> {
  const jose = await import('jose');
  const {
    JWKSNoMatchingKey,
    JWKSMultipleMatchingKeys,
    JOSENotSupported,
    JWSSignatureVerificationFailed,
  } = jose.errors;
  const find = keyFinder(jose, keys, cooldown);
  const findOrFail: FindKey = async (header, input) => {
    try {
      return await find(header, input);
    } catch (error) {
      const isOfToken = [JWKSNoMatchingKey, JWKSMultipleMatchingKeys, JOSENotSupported].some(
        (type) => isInstance(error, type),
      );
      throw isOfToken
        ? error
        : new KeysUnavailable('the keys could not be loaded', { cause: error });
    }
  };
  return async (token) => {
    try {
      return (await jose.jwtVerify(token, findOrFail, options)).payload;
    } catch (error) {
      if (isInstance(error, KeysUnavailable))
        throw new RpcError('UNAVAILABLE', 'the keys of tokens cannot be had now', {
          cause: error.cause,
        });
      if (!isInstance(error, JWKSMultipleMatchingKeys)) throw error;
      // The token names no key, and several keys are of its kind (RFC 7517, section 4.5, makes
      // `kid` optional): try each.
      for await (const key of error) {
        try {
          return (await jose.jwtVerify(token, key, options)).payload;
        } catch (failure) {
          if (!isInstance(failure, JWSSignatureVerificationFailed)) throw failure;
        }
      }
      throw new JWSSignatureVerificationFailed();
    }
  };
}

function keyFinder(
  jose: typeof import('jose'),
  keys: JwtOptions['keys'],
  cooldown: number,
): FindKey {
  if (keys instanceof URL) return jose.createRemoteJWKSet(keys, { cooldownDuration: cooldown });
  if (typeof keys === 'function') {
    const isUnknown = (error: unknown): boolean => isInstance(error, jose.errors.JWKSNoMatchingKey);
    const set = new RotatingKeys(
      keys,
      cooldown,
      (given) => jose.createLocalJWKSet(given),
      isUnknown,
    );
    return (header, input) => set.find(header, input);
  }
  if (Array.isArray((keys as Partial<JSONWebKeySet>).keys))
    return jose.createLocalJWKSet(keys as JSONWebKeySet);
  return async () => keys as CryptoKey | KeyObject | Uint8Array;
}

/**
 * A key set that is loaded again when a token names a key that is not in it, but not more often
 * than `cooldown`.
 */
class RotatingKeys {
  readonly #fetch: () => JSONWebKeySet | Promise<JSONWebKeySet>;
  readonly #cooldown: number;
  readonly #setOf: (keys: JSONWebKeySet) => FindKey;
  readonly #isUnknown: (error: unknown) => boolean;
  /** The set in use, or the load that will give it. */
  #set: Promise<FindKey> | undefined;
  #loadedAt = Number.NEGATIVE_INFINITY;
  /** Why the last load failed. */
  #failure: unknown;

  constructor(
    fetch: () => JSONWebKeySet | Promise<JSONWebKeySet>,
    cooldown: number,
    setOf: (keys: JSONWebKeySet) => FindKey,
    isUnknown: (error: unknown) => boolean,
  ) {
    this.#fetch = fetch;
    this.#cooldown = cooldown;
    this.#setOf = setOf;
    this.#isUnknown = isUnknown;
  }

  /**
   * All callers that miss a key while a load is under way share that load. Rejects as the load
   * does, or with what `isUnknown` knows.
   */
  async find(...asked: Parameters<FindKey>): ReturnType<FindKey> {
    this.#set ??= this.#load(undefined);
    const set = this.#set;
    try {
      return await (await set)(...asked);
    } catch (error) {
      if (!this.#isUnknown(error)) throw error;
      if (this.#set === set) {
        if (performance.now() - this.#loadedAt < this.#cooldown) throw this.#failure ?? error;
        this.#set = this.#load(set);
      }
      return (await (this.#set ?? this.#load(undefined)))(...asked);
    }
  }

  /** When the load fails, `previous` stays in use; without one, the next token loads again. */
  #load(previous: Promise<FindKey> | undefined): Promise<FindKey> {
    this.#loadedAt = performance.now();
    this.#failure = undefined;
    const loading = Promise.resolve()
      .then(() => this.#fetch())
      .then(this.#setOf);
    loading.catch((error) => {
      this.#failure = error;
      if (this.#set === loading) this.#set = previous;
    });
    return loading;
  }
}
