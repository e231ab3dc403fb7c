/**
 * Authentication and authorization: auth() for the side that serves, bearer() for the side that
 * calls.
 */
import { callAsync } from '../../core/callbacks.js';
import { isInstance, messageOf } from '../../core/errors.js';
import { badOption, badSecret, checkNames, checkObject, type NamesOf } from '../../core/options.js';
import type { PeerCertificate, WebSocketRequest } from '../../transport/types.js';
import { cancelledError, unsentTimeoutError, waitToSend } from '../calls/call-errors.js';
import { timeLeft } from '../calls/client-call.js';
import { RpcError } from '../errors.js';
import type { CallContext, Channel, Identity, Interceptor, Metadata } from '../types.js';
import { isReceived } from './call-info.js';

/** The metadata key and the scheme of a token, as HTTP has them (RFC 6750). */
const AUTHORIZATION = 'authorization';
const BEARER = /^Bearer +(\S+)$/i;

/**
 * What a call presents to authenticate its caller. Only `certificate` is verified; the caller can
 * put anything into the other fields.
 */
export interface Credentials {
  /** The token of the metadata `authorization: Bearer …`. Undefined: the call has none. */
  readonly token: string | undefined;
  readonly metadata: Metadata;
  /** The client certificate of the TLS handshake, verified by the CA. */
  readonly certificate: PeerCertificate | undefined;
  /** The HTTP request that opened the WebSocket. */
  readonly request: WebSocketRequest | undefined;
  readonly peer: string;
}

/**
 * Returns the identity that belongs to the credentials. When it throws or rejects, or its result
 * cannot be read, the caller gets UNAUTHENTICATED without the reason. An RpcError reaches the
 * caller unchanged.
 */
export type Authenticate = (credentials: Credentials) => Identity | Promise<Identity>;

export interface AuthOptions {
  authenticate: Authenticate;
  /**
   * Whether the identity in `context.identity` may make the call. Called for each call; false is
   * PERMISSION_DENIED. Default: each authenticated caller may make every call.
   */
  authorize?: ((context: CallContext) => boolean | Promise<boolean>) | undefined;
  /**
   * `call`: authenticates each call. `session`: one authentication holds for the session, until the
   * identity expires or a call carries another token, valid or not. Over UDP each call is
   * authenticated, because the sender of a datagram can be forged. Default: `call`.
   */
  per?: 'call' | 'session' | undefined;
}

const AUTH_OPTION_NAMES = {
  authenticate: true,
  authorize: true,
  per: true,
} satisfies NamesOf<AuthOptions>;

/** The token of a session, and the identity that it was accepted for. */
interface SessionCredentials {
  /** Undefined: the credentials have no token. */
  readonly token: string | undefined;
  /** Undefined until the token is accepted. */
  readonly identity: Identity | undefined;
}

/** The interceptors of auth() with `authorize`. */
const authorizing = new WeakSet<Interceptor>();

/** Whether one of the interceptors is auth() with `authorize`. */
export function hasAuthorization(interceptors: readonly Interceptor[]): boolean {
  return interceptors.some((interceptor) => authorizing.has(interceptor));
}

/** A channel of this package. */
interface AuthenticatedChannel {
  /** The peer sends datagrams, so anyone who knows its address can send calls in its name. */
  readonly lossy: boolean;
  /** Called with Identity.subject of each call that is accepted, for reports. */
  setSubject(subject: string): void;
}

/** A program may pass a context with another channel, or without one. */
const channelOf = ({ channel }: CallContext) =>
  channel as Partial<AuthenticatedChannel> | undefined;

/**
 * Makes an interceptor of a server that authenticates and authorizes calls. It sets
 * `context.identity`. Calls that this process makes itself pass unchanged. Throws BAD_OPTION.
 */
export function auth(options: AuthOptions): Interceptor {
  checkObject('options of auth()', options);
  checkNames('auth()', options, AUTH_OPTION_NAMES);
  const { authenticate, authorize, per = 'call' } = options;
  if (typeof authenticate !== 'function')
    throw badOption('authenticate', authenticate, 'a function');
  if (authorize !== undefined && typeof authorize !== 'function')
    throw badOption('authorize', authorize, 'a function');
  if (per !== 'call' && per !== 'session') throw badOption('per', per, '"call" or "session"');
  const sessions = new WeakMap<Channel, SessionCredentials>();

  const identify = async (context: CallContext): Promise<Identity> => {
    const credentials = credentialsOf(context);
    if (per === 'call' || channelOf(context)?.lossy === true)
      return authenticateCredentials(authenticate, credentials);
    const { token } = credentials;
    const { channel } = context;
    let known = sessions.get(channel);
    const identity = known?.identity;
    const isKnown = token === undefined || token === known?.token;
    if (identity !== undefined && isKnown && isUnexpired(identity)) return identity;
    if (!isKnown) {
      // The session loses its identity now, also if this token is not accepted.
      known = { token, identity: undefined };
      sessions.set(channel, known);
    }
    const accepted = await authenticateCredentials(authenticate, credentials);
    // Another call may have sent other credentials meanwhile.
    if (sessions.get(channel) === known) sessions.set(channel, { token, identity: accepted });
    return accepted;
  };

  const interceptor: Interceptor = (next) => async (call) => {
    if (!isReceived(call)) return next(call);
    try {
      setIdentity(call, await identify(call));
    } catch (error) {
      throw isInstance(error, RpcError) ? error : unacceptedError(call, error);
    }
    if (authorize !== undefined && (await isAuthorized(authorize, call)) !== true) {
      throw new RpcError(
        'PERMISSION_DENIED',
        `you may not call ${call.method.service}.${call.method.name}`,
      );
    }
    return next(call);
  };
  if (authorize !== undefined) authorizing.add(interceptor);
  return interceptor;
}

/**
 * Sets the identity in a call, and its subject in the channel. If an interceptor has copied the
 * call by with(), the identity is set in the original too, so that all interceptors see it.
 */
function setIdentity(call: CallContext, identity: Identity): void {
  type Target = { identity: Identity | undefined; readonly origin?: Target };
  const target = call as Target;
  target.identity = identity;
  // A program may pass a context of its own, without `origin`.
  if (target.origin !== undefined) target.origin.identity = identity;
  channelOf(call)?.setSubject?.(identity.subject);
}

/**
 * The error of a call whose `authenticate` has failed, or whose identity cannot be read. The reason
 * would help an attacker to guess credentials. It stays on this side, as the cause.
 */
function unacceptedError({ metadata }: CallContext, cause: unknown): RpcError {
  const hint = tokenOf(metadata) === undefined ? ': the call has no bearer token' : '';
  return new RpcError('UNAUTHENTICATED', `the credentials were not accepted${hint}`, { cause });
}

function tokenOf(metadata: Metadata): string | undefined {
  return BEARER.exec(metadata[AUTHORIZATION] ?? '')?.[1];
}

function credentialsOf({ metadata, channel, peer }: CallContext): Credentials {
  const { certificate, request } = channel;
  return {
    token: tokenOf(metadata),
    metadata,
    certificate,
    request,
    peer,
  };
}

function isUnexpired({ expires }: Identity): boolean {
  return expires === undefined || expires > Date.now();
}

async function authenticateCredentials(
  authenticate: Authenticate,
  credentials: Credentials,
): Promise<Identity> {
  const identity = await callAsync(() => authenticate(credentials));
  if (typeof identity?.subject !== 'string') {
    throw new RpcError('INTERNAL', 'authenticate returned no identity', {
      cause: new TypeError(`got ${typeof identity}, expected { subject }`),
    });
  }
  if (!isUnexpired(identity)) throw new RpcError('UNAUTHENTICATED', 'the credentials have expired');
  return identity;
}

async function isAuthorized(
  authorize: NonNullable<AuthOptions['authorize']>,
  context: CallContext,
): Promise<boolean> {
  try {
    return await callAsync(() => authorize(context));
  } catch (error) {
    if (isInstance(error, RpcError)) throw error;
    throw new RpcError('INTERNAL', 'authorize failed', {
      cause: error,
    });
  }
}

/**
 * Makes an interceptor of a client that sends a token with each call, as the metadata
 * `authorization: Bearer …`. A function is called for each call, so it can replace a token that is
 * about to expire. When the function fails, the call fails with UNAUTHENTICATED and is not sent.
 * Throws BAD_OPTION.
 */
export function bearer(token: string | (() => string | Promise<string>)): Interceptor {
  if (typeof token !== 'function') checkToken(token);
  return (next) => async (call) => {
    if (isReceived(call)) return next(call);
    let current: string;
    let timedOut: RpcError | undefined;
    const onTimeout = (): RpcError => {
      timedOut = unsentTimeoutError(call);
      return timedOut;
    };
    try {
      current =
        typeof token === 'function'
          ? checkToken(await waitToSend(call, timeLeft(call), callAsync(token), onTimeout))
          : token;
    } catch (error) {
      if (call.signal?.aborted) throw cancelledError(call, true);
      if (timedOut !== undefined) throw timedOut;
      throw new RpcError('UNAUTHENTICATED', `the token function failed: ${messageOf(error)}`, {
        cause: error,
        unsent: true,
      });
    }
    return next(
      call.with({ metadata: { ...call.metadata, [AUTHORIZATION]: `Bearer ${current}` } }),
    );
  };
}

/** Throws BAD_OPTION. The error does not contain the token. */
function checkToken(token: unknown): string {
  if (token === '') throw badOption('token', token, 'a token');
  if (typeof token !== 'string' || !/^\S+$/.test(token))
    throw badSecret('token', token, 'a token without spaces and without the word Bearer');
  return token;
}
