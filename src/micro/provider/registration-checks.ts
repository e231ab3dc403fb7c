/**
 * Checks and limits of what a registry returns. That of a program may fail with any value, and may
 * never answer.
 */
import { callAsync } from '../../core/callbacks.js';
import { asGettyError, type GettyError, gettyError } from '../../core/errors.js';
import { within } from '../../core/timers.js';
import type { NodeRegistration, PublicationListener, Registry, ServiceNode } from '../types.js';

/**
 * Milliseconds that close() and drain() wait for the registry. ZooKeeper has the longest default
 * limit of an operation, 5 s: this is one for a change that has begun, and one for the removal.
 */
export const REGISTRY_TIMEOUT = 10_000;
/**
 * Milliseconds within which register() must settle. The registries of this package have limits of
 * their own, which are seconds by default and may be set higher.
 */
const REGISTER_TIMEOUT = 60_000;

export const lateError = (): Error =>
  new Error(`its registry did not answer within ${REGISTRY_TIMEOUT} ms`);

/**
 * Registers a node. Rejects with the GettyError of the registry, or with REGISTRY_FAILED: also if
 * register() does not settle within REGISTER_TIMEOUT. What it resolves with later is disposed.
 */
export async function registerInTime(
  registry: Registry,
  node: ServiceNode,
  onPublished: PublicationListener,
): Promise<NodeRegistration> {
  const registering = callAsync(() => registry.register(node, onPublished));
  const onLate = (): Error => {
    void registering.then((late) => disposeInTime(checkRegistration(late))).catch(() => {});
    const message = `register() of the registry did not settle within ${REGISTER_TIMEOUT} ms`;
    return gettyError('REGISTRY_FAILED', message);
  };
  try {
    return checkRegistration(await within(REGISTER_TIMEOUT, registering, onLate));
  } catch (error) {
    throw registerError(error);
  }
}

/** The error of a failed register(): a GettyError as it is, anything else as REGISTRY_FAILED. */
function registerError(thrown: unknown): GettyError {
  return asGettyError(thrown, 'REGISTRY_FAILED', 'register() of the registry failed');
}

/** Throws REGISTRY_FAILED unless register() has resolved with something that can be disposed. */
function checkRegistration(given: NodeRegistration | null | undefined): NodeRegistration {
  try {
    if (typeof given?.[Symbol.asyncDispose] === 'function') return given;
  } catch (error) {
    throw registerError(error);
  }
  throw gettyError(
    'REGISTRY_FAILED',
    'register() of the registry resolved without an object that has Symbol.asyncDispose',
  );
}

/** Whether the entry of a disposed registration is still there. Unknown counts as there. */
export function isLeft(registration: NodeRegistration): boolean {
  try {
    return registration.isRemoved === false;
  } catch {
    return true;
  }
}

/** Disposes a registration. Rejects if it fails, or takes longer than REGISTRY_TIMEOUT. */
export function disposeInTime(registration: NodeRegistration): Promise<void> {
  const disposed = callAsync(() => registration[Symbol.asyncDispose]());
  return within(REGISTRY_TIMEOUT, disposed, lateError);
}
