/**
 * Who calls, and what they may: interceptors for the side that serves, and for the side that calls.
 */
import { settle } from '../../core/callbacks.js';
import { isInstance, messageOf } from '../../core/errors.js';
import { badOption, checkNames, type NamesOf } from '../../core/options.js';
import { within } from '../../core/timers.js';
import type { PeerCertificate, WebSocketRequest } from '../../transport/types.js';
import { cancelled, outOfTime, timeLeft, unlessCancelled } from '../calls/client-call.js';
import { RpcError } from '../errors.js';
import type { CallContext, Channel, Identity, Interceptor, Metadata } from '../types.js';
import { isReceived } from './side.js';

/** The metadata key of a token, and what stands before it, as HTTP has them. */
const AUTHORIZATION = 'authorization';
const BEARER = /^Bearer +(\S+)$/i;

/** What a caller shows. All of it but the certificate is a stranger's word. */
export interface Credentials {
  /** Of the metadata `authorization: Bearer …`. */
  readonly token: string | undefined;
  readonly metadata: Metadata;
  /** What the peer has shown in the handshake of TLS, verified by the CA. */
  readonly certificate: PeerCertificate | undefined;
  /** The request that opened the WebSocket. */
  readonly request: WebSocketRequest | undefined;
  readonly peer: string;
}

/**
 * Says who shows these credentials. A throw or rejection is UNAUTHENTICATED for the caller, who
 * learns no reason; an RpcError is sent as it is.
 */
export type Authenticate = (credentials: Credentials) => Identity | Promise<Identity>;

export interface AuthOptions {
  authenticate: Authenticate;
  /**
   * Whether the call may be made; false is PERMISSION_DENIED. Default: whoever is known may call
   * everything.
   */
  authorize?: ((context: CallContext) => boolean | Promise<boolean>) | undefined;
  /**
   * `call`: each call shows its credentials. `session`: once accepted, they hold for the session,
   * until they expire or others are shown. Default: `call`.
   */
  per?: 'call' | 'session' | undefined;
}

const NAMES = { authenticate: true, authorize: true, per: true } satisfies NamesOf<AuthOptions>;

interface Accepted {
  readonly token: string | undefined;
  readonly identity: Identity;
}

/**
 * For who serves: finds out who calls (`context.identity`), and whether they may. Calls that we
 * make ourselves pass. Throws BAD_OPTION.
 */
export function auth(options: AuthOptions): Interceptor {
  checkNames('auth()', options, NAMES);
  const { authenticate, authorize, per = 'call' } = options;
  if (typeof authenticate !== 'function')
    throw badOption('authenticate', authenticate, 'a function');
  if (authorize !== undefined && typeof authorize !== 'function')
    throw badOption('authorize', authorize, 'a function');
  if (per !== 'call' && per !== 'session') throw badOption('per', per, '"call" or "session"');
  const sessions = new WeakMap<Channel, Accepted>();

  const identify = async (context: CallContext): Promise<Identity> => {
    const credentials = credentialsOf(context);
    const { token } = credentials;
    if (per === 'session') {
      const accepted = sessions.get(context.channel);
      if (
        accepted !== undefined &&
        (token === undefined || token === accepted.token) &&
        isCurrent(accepted.identity)
      )
        return accepted.identity;
    }
    const identity = await accept(authenticate, credentials);
    if (per === 'session') sessions.set(context.channel, { token, identity });
    return identity;
  };

  return (next) => async (call) => {
    if (!isReceived(call)) return next(call);
    (call as { identity: Identity | undefined }).identity = await identify(call);
    if (authorize !== undefined && (await allowed(authorize, call)) !== true) {
      throw new RpcError(
        'PERMISSION_DENIED',
        `you may not call ${call.method.service}.${call.method.name}`,
      );
    }
    return next(call);
  };
}

function credentialsOf({ metadata, channel, peer }: CallContext): Credentials {
  const { certificate, request } = channel;
  return {
    token: BEARER.exec(metadata[AUTHORIZATION] ?? '')?.[1],
    metadata,
    certificate,
    request,
    peer,
  };
}

function isCurrent({ expires }: Identity): boolean {
  return expires === undefined || expires > Date.now();
}

async function accept(authenticate: Authenticate, credentials: Credentials): Promise<Identity> {
  let identity: Identity;
  try {
    identity = await authenticate(credentials);
  } catch (error) {
    if (isInstance(error, RpcError)) throw error;
    // Why they were refused helps whoever tries others; it stays here, as the cause.
    throw new RpcError('UNAUTHENTICATED', 'the credentials were not accepted', { cause: error });
  }
  if (typeof identity?.subject !== 'string') {
    throw new RpcError('INTERNAL', 'authenticate answered no identity', {
      cause: new TypeError(`given ${typeof identity}, expected { subject }`),
    });
  }
  if (!isCurrent(identity)) throw new RpcError('UNAUTHENTICATED', 'the credentials have expired');
  return identity;
}

async function allowed(
  authorize: NonNullable<AuthOptions['authorize']>,
  context: CallContext,
): Promise<boolean> {
  try {
    return await authorize(context);
  } catch (error) {
    if (isInstance(error, RpcError)) throw error;
    throw new RpcError('INTERNAL', 'whether the call may be made could not be found out', {
      cause: error,
    });
  }
}

/**
 * For who calls: shows a token with each call that we make. A function is asked for each, so that
 * it can give a new token when the old one is about to expire; when it fails the call fails with
 * UNAUTHENTICATED and is not sent. Throws BAD_OPTION.
 */
export function bearer(token: string | (() => string | Promise<string>)): Interceptor {
  if (typeof token !== 'function') checkToken(token);
  return (next) => async (call) => {
    if (isReceived(call)) return next(call);
    let current: string;
    let late: RpcError | undefined;
    const tooLate = (): RpcError => {
      late = outOfTime(call);
      return late;
    };
    try {
      current =
        typeof token === 'function'
          ? checkToken(await within(timeLeft(call), unlessCancelled(call, settle(token)), tooLate))
          : token;
    } catch (error) {
      if (call.signal?.aborted) throw cancelled(call, true);
      if (late !== undefined) throw late;
      throw new RpcError('UNAUTHENTICATED', `there is no token to show: ${messageOf(error)}`, {
        cause: error,
        unsent: true,
      });
    }
    return next(
      call.with({ metadata: { ...call.metadata, [AUTHORIZATION]: `Bearer ${current}` } }),
    );
  };
}

/** Throws BAD_OPTION, which does not repeat it. */
function checkToken(token: unknown): string {
  if (typeof token !== 'string' || !/^\S+$/.test(token))
    throw badOption('token', `a ${typeof token}`, 'a token, without spaces');
  return token;
}
