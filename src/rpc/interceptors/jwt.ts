/** Verifies JSON Web Tokens (RFC 7519) with the jose package. The first token loads the package. */

import type { CryptoKey, JSONWebKeySet, JWTPayload, JWTVerifyOptions, KeyObject } from 'jose';
import { isInstance } from '../../core/errors.js';
import {
  badOption,
  badSecret,
  checkNames,
  checkObject,
  type NamesOf,
  withDefaults,
} from '../../core/options.js';
import { redactUrl } from '../../core/redact.js';
import { nextTurn, settleInTurns, spend } from '../../core/turn.js';
import { RpcError } from '../errors.js';
import type { Identity } from '../types.js';
import type { Authenticate } from './auth.js';
import { Slots } from './concurrency/slots.js';
import { checkKeyCount, MAX_KEYS, requestKeySet } from './key-set.js';
import { type FindKey, RotatingKeys } from './rotating-keys.js';

/**
 * A key set of at most 100 keys, or a function that returns the current one. The function is called
 * again when a token names a key that is not in the set. The last set stays in use while the
 * function runs, and when it fails. It has failed when it takes longer than 10 s, and when the set
 * has more keys.
 */
export type JwtKeys = JSONWebKeySet | (() => JSONWebKeySet | Promise<JSONWebKeySet>);

export interface JwtOptions {
  /**
   * The keys that tokens are signed with: the URL of a key set (`https://…/jwks.json`), a key set,
   * a function that returns one, or a single key. A secret is given as at least 32 bytes.
   */
  keys: URL | JwtKeys | CryptoKey | KeyObject | Uint8Array;
  /** The issuer, or several of which one must match: the claim `iss`. */
  issuer: string | string[];
  /** The audience, or several of which one must match: the claim `aud`. */
  audience: string | string[];
  /**
   * The signature algorithms that are accepted. Default: the asymmetric ones; with a secret: HS256,
   * HS384 and HS512.
   */
  algorithms?: readonly string[] | undefined;
  /** The most milliseconds by which the clocks may differ. Default: 5,000. */
  clockTolerance?: number | undefined;
  /**
   * How long a verified token is accepted without another verification, in milliseconds, but never
   * after it expires. 0: verifies each token each time. Default: 60,000.
   */
  cacheFor?: number | undefined;
  /**
   * The least time between two requests for the key set, in milliseconds, however many tokens name
   * unknown keys. Until a first key set is loaded it is at most 1,000. Default: 30,000.
   */
  cooldown?: number | undefined;
}

const OPTION_NAMES = {
  keys: true,
  issuer: true,
  audience: true,
  algorithms: true,
  clockTolerance: true,
  cacheFor: true,
  cooldown: true,
} satisfies NamesOf<JwtOptions>;

/** The default values of jwt(), in milliseconds. */
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
/** The algorithms that jose knows. */
const ALGORITHMS = [...ASYMMETRIC, 'ML-DSA-44', 'ML-DSA-65', 'ML-DSA-87', ...SYMMETRIC];
const MIN_SECRET_BYTES = 32;
const MAX_TOKEN_CHARACTERS = 16 * 1024;
const MAX_CACHED_TOKENS = 1_000;
/**
 * Signatures that are verified at the same time. Many that are verified together would end in one
 * turn of the event loop.
 */
const MAX_VERIFYING = 64;
/** Units of core/turn.ts for a token that is tried with each key. */
const TRIED_KEYS_UNITS = 64;
/** Milliseconds after which a key set from a URL is requested again, as a key may be revoked. */
const MAX_KEYS_AGE = 600_000;

interface CachedIdentity {
  readonly identity: Identity;
  readonly until: number;
}

/**
 * Makes an `authenticate` for auth(). The identity's `subject` is the claim `sub`; its `claims` are
 * all claims of the token. A token without `sub` or `exp` is refused. Throws BAD_OPTION.
 */
export function jwt(options: JwtOptions): Authenticate {
  checkObject('options of jwt()', options);
  checkNames('jwt()', options, OPTION_NAMES);
  const { clockTolerance, cacheFor, cooldown } = withDefaults(JWT_DEFAULTS, options, {
    clockTolerance: [0, 3_600_000],
    cacheFor: [0, 86_400_000],
    cooldown: [0, 86_400_000],
  });
  const { keys, issuer, audience } = options;
  const secret = keys instanceof Uint8Array;
  checkKeys(keys);
  for (const [name, value] of Object.entries({ issuer, audience })) {
    if (!isNonEmpty(value) && !isNonEmptyList(value))
      throw badOption(name, value, 'a non-empty string, or an array of them');
  }
  const { algorithms = secret ? SYMMETRIC : ASYMMETRIC } = options;
  // An unsecured token has the algorithm `none` (RFC 7519, section 6).
  if (!isNonEmptyList(algorithms))
    throw badOption('algorithms', algorithms, 'an array of signature algorithms');
  const unknown = algorithms.find((name) => !ALGORITHMS.includes(name));
  if (unknown !== undefined)
    throw badOption('algorithms', unknown, `some of ${ALGORITHMS.join(', ')}`);
  const verifyOptions: JWTVerifyOptions = {
    issuer,
    audience,
    algorithms: [...algorithms],
    clockTolerance: clockTolerance / 1000,
    requiredClaims: ['exp', 'sub'],
  };
  const cache = new Map<string, CachedIdentity>();
  /** Calls that come before the first verifier is ready share it, and so one set of keys. */
  let loading: ReturnType<typeof makeVerifier> | undefined;
  let verifier: Awaited<typeof loading>;
  const verify = async (token: string): Promise<JWTPayload> => {
    loading ??= makeVerifier(keys, verifyOptions, cooldown).catch((error) => {
      loading = undefined;
      throw error;
    });
    verifier ??= await settleInTurns(loading);
    return verifier(token);
  };

  return async ({ token }) => {
    if (token === undefined) throw new Error('the call has no token');
    if (token.length > MAX_TOKEN_CHARACTERS)
      throw new Error(
        `the token has ${token.length} characters; at most ${MAX_TOKEN_CHARACTERS} are accepted`,
      );
    const cached = cache.get(token);
    if (cached !== undefined && cached.until > Date.now()) return cached.identity;
    cache.delete(token);
    const claims = await verify(token);
    const expires = (claims.exp as number) * 1000 + clockTolerance;
    const identity: Identity = { subject: claims.sub as string, claims, expires };
    if (cacheFor > 0) {
      if (cache.size >= MAX_CACHED_TOKENS) cache.clear();
      cache.set(token, { identity, until: Math.min(expires, Date.now() + cacheFor) });
    }
    return identity;
  };
}

function isNonEmpty(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

function isNonEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(isNonEmpty);
}

function checkKeys(keys: JwtOptions['keys']): void {
  if (keys instanceof Uint8Array && keys.length < MIN_SECRET_BYTES)
    throw badOption('keys', `a secret of ${keys.length} bytes`, `at least ${MIN_SECRET_BYTES}`);
  if (typeof keys !== 'function' && (typeof keys !== 'object' || keys === null))
    throw badSecret('keys', keys, 'a URL (new URL(…)), a key set, or a key');
  if (keys instanceof URL && keys.protocol !== 'https:' && keys.protocol !== 'http:')
    throw badOption('keys', `${keys.protocol}//…`, 'an https: or http: URL');
  if (isEmptySet(keys)) throw badOption('keys', keys, 'a key set with at least one key');
  const { keys: list } = keys as Partial<JSONWebKeySet>;
  if (Array.isArray(list) && list.length > MAX_KEYS)
    throw badOption('keys', `${list.length} keys`, `at most ${MAX_KEYS}`);
  // fetch() refuses such a URL, and repeats it in its error.
  if (keys instanceof URL && (keys.username !== '' || keys.password !== '')) {
    throw badOption('keys', redactUrl(keys.href), 'a URL without a user and a password');
  }
}

/** Whether `keys` is a key set without keys, an empty object, or an array instead of a set. */
function isEmptySet(keys: JwtOptions['keys']): boolean {
  if (Array.isArray(keys)) return true;
  const set = (keys as Partial<JSONWebKeySet>).keys;
  if (Array.isArray(set)) return set.length === 0;
  return Object.getPrototypeOf(keys) === Object.prototype && Object.keys(keys).length === 0;
}

/** The keys could not be loaded. The token may be valid. */
class KeysUnavailable extends Error {}

async function makeVerifier(
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
      const isTokenError = [JWKSNoMatchingKey, JWKSMultipleMatchingKeys, JOSENotSupported].some(
        (type) => isInstance(error, type),
      );
      throw isTokenError
        ? error
        : new KeysUnavailable('the keys could not be loaded', { cause: error });
    }
  };
  const slots = new Slots(MAX_VERIFYING);
  const verifyWith = async (token: string, findKey: FindKey): Promise<JWTPayload> => {
    let hasSlot = false;
    // A token takes no slot while it waits for the keys.
    const findAndWait: FindKey = async (header, input) => {
      const key = await findKey(header, input);
      await slots.take();
      hasSlot = true;
      return key;
    };
    try {
      return (await jose.jwtVerify(token, findAndWait, options)).payload;
    } finally {
      if (hasSlot) slots.release();
    }
  };
  return async (token) => {
    try {
      return await verifyWith(token, findOrFail);
    } catch (error) {
      if (isInstance(error, KeysUnavailable))
        throw new RpcError('UNAVAILABLE', 'the keys of tokens are not available', {
          cause: error.cause,
        });
      if (!isInstance(error, JWKSMultipleMatchingKeys)) throw error;
      // The token names no key, and several keys are of its kind. RFC 7517, section 4.5, makes
      // `kid` optional, so each key is tried.
      if (spend(TRIED_KEYS_UNITS)) await nextTurn();
      for await (const key of error) {
        try {
          return await verifyWith(token, async () => key);
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
  if (keys instanceof URL || typeof keys === 'function') {
    const isUrl = keys instanceof URL;
    const set = new RotatingKeys({
      load: isUrl ? () => requestKeySet(keys) : keys,
      finderOf: (loaded) => {
        checkKeyCount(loaded);
        return jose.createLocalJWKSet(loaded);
      },
      isUnknown: (error) => isInstance(error, jose.errors.JWKSNoMatchingKey),
      cooldown,
      maxAge: isUrl ? MAX_KEYS_AGE : Number.POSITIVE_INFINITY,
    });
    return (header, input) => set.find(header, input);
  }
  if (Array.isArray((keys as Partial<JSONWebKeySet>).keys))
    return jose.createLocalJWKSet(keys as JSONWebKeySet);
  return async () => keys as CryptoKey | KeyObject | Uint8Array;
}
