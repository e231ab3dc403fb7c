/** Admin: a service with which operators change a running server. */
import { contract } from '../contract/contract.js';
import { unary } from '../contract/method.js';
import type { ProviderStatus } from '../metrics/server-status.js';
import type { CodecName } from '../types.js';

/** Selects the entries of one service of a provider. A field that is not given matches all. */
export interface EntrySelector {
  readonly service: string;
  readonly version?: string | undefined;
  readonly codec?: CodecName | undefined;
}

/** The argument of the method `weight`. Without `service`: all entries. */
export interface WeightRequest extends Partial<EntrySelector> {
  /** A whole number from 0 to 1,000,000. */
  readonly weight: number;
}

/** The argument of the method `closeSession`. */
export interface CloseSessionRequest {
  /** SessionReport.id. */
  readonly id: string;
  /**
   * True: calls in flight are lost. False: the peer gets goaway, calls in flight may finish for at
   * most RpcOptions.drainTimeout, and then the session is closed. Default: false.
   */
  readonly now?: boolean | undefined;
}

/** The session that is being closed. */
export interface CloseSessionReply {
  /** The address of the peer. */
  readonly peer: string;
}

/**
 * The contract of the service that `serve(…, { admin: true })` and `provide({ admin: true })` add:
 * `client.stub(Admin).drain()`.
 *
 * - `drain`: removes the entries of the provider from the registry, so that consumers move to other
 *   nodes. Calls in flight, and calls of peers that stay, are served as before.
 * - `undrain`: publishes the entries again.
 * - `weight`: changes the weight of all entries, or of those of one service, until the provider is
 *   started again.
 * - `closeSession`: closes one session. Its peer may connect again.
 *
 * The first three answer with the new status. Errors: FAILED_PRECONDITION for these three, if the
 * server has no provider or the provider is closed. INVALID_ARGUMENT for an invalid request or an
 * unknown entry. NOT_FOUND for an unknown session. UNAVAILABLE if the registry was not changed.
 *
 * The service itself lets each caller do all of this. The interceptor `auth({ authorize })` of the
 * server decides who may: it refuses a call with UNAUTHENTICATED or PERMISSION_DENIED. A server
 * without it must listen where only programs of its machine connect, or `admin` is a BAD_OPTION.
 */
export const Admin = contract('getty.Admin', {
  drain: unary<void, ProviderStatus>({ idempotent: true }),
  undrain: unary<void, ProviderStatus>({ idempotent: true }),
  weight: unary<WeightRequest, ProviderStatus>({ idempotent: true }),
  closeSession: unary<CloseSessionRequest, CloseSessionReply>(),
});
