/** A call as its caller makes it, with its timeout, signal and metadata. */

import { badOption, checkNumber, checkObject } from '../../core/options.js';
import { checkSignal, type LinkedSignal, linkSignals } from '../../core/signals.js';
import { now } from '../../transport/session/flush-scheduler.js';
import { checkMetadata, NO_METADATA } from '../codecs/metadata.js';
import { RpcError } from '../errors.js';
import { checkCallNames, checkChangeNames, checkReadableCall } from '../option-names.js';
import type { Call, CallContext, CallOptions, CodecName, Metadata, Method } from '../types.js';
import { MAX_TIMEOUT } from '../wire/request-header.js';
import { currentCall } from './inherited-call.js';

/**
 * The deadline of a call that is made now. Math.ceil keeps the deadline of a long timeout an
 * integer, because V8 boxes doubles that are stored in fields.
 */
function deadlineOf(timeout: number): number {
  return timeout < SHORT_TIMEOUT ? performance.now() + timeout : Math.ceil(now()) + timeout;
}

/**
 * Milliseconds. The deadline of a shorter timeout begins at performance.now(). For longer timeouts
 * now() is exact enough, and costs less.
 */
const SHORT_TIMEOUT = 2_000;

/**
 * The current time in milliseconds of performance.now(), for a call with this timeout. For a long
 * timeout it is now(), which is read once per tick: the difference is negligible.
 */
export function instantFor(timeout = Number.POSITIVE_INFINITY): number {
  return timeout < SHORT_TIMEOUT ? performance.now() : now();
}

/** What a call has besides its input and deadline. Calls of a method without options share it. */
export interface CallShape {
  readonly method: Method;
  readonly codec: CodecName;
  /** A result of checkTimeout(). */
  readonly timeout: number | undefined;
  readonly metadata: Metadata;
  readonly signal: AbortSignal | undefined;
  readonly onMetadata: CallOptions['onMetadata'];
}

/** The shape of the calls of a stub method without options. `timeout`: as in CallShape. */
export function plainShape(
  method: Method,
  codec: CodecName,
  timeout: number | undefined,
): CallShape {
  return {
    method,
    codec,
    timeout,
    metadata: NO_METADATA,
    signal: undefined,
    onMetadata: undefined,
  };
}

/** Each call in flight has one, so it has few properties of its own. The others are accessors. */
export class ClientCall implements Call {
  readonly input: unknown;
  readonly deadline: number | undefined;
  readonly shape: CallShape;

  constructor(
    shape: CallShape,
    input: unknown,
    deadline = shape.timeout === undefined ? undefined : deadlineOf(shape.timeout),
  ) {
    this.shape = shape;
    this.input = input;
    this.deadline = deadline;
  }

  get method(): Method {
    return this.shape.method;
  }

  get codec(): CodecName {
    return this.shape.codec;
  }

  get timeout(): number | undefined {
    return this.shape.timeout;
  }

  get metadata(): Metadata {
    return this.shape.metadata;
  }

  get signal(): AbortSignal | undefined {
    return this.shape.signal;
  }

  get onMetadata(): CallOptions['onMetadata'] {
    return this.shape.onMetadata;
  }

  /**
   * `plain`: the shape of a call without options. Throws BAD_OPTION, or DEADLINE_EXCEEDED when the
   * deadline of the parent has passed.
   */
  static make(plain: CallShape, input: unknown, options: CallOptions | undefined): ClientCall {
    try {
      const inherited = currentCall();
      if (options === undefined && inherited === undefined) return new ClientCall(plain, input);
      if (options !== undefined) checkOptions(options);
      const {
        metadata,
        onMetadata,
        parent = inherited,
        timeout: given,
        signal: ownSignal,
      } = options ?? NO_OPTIONS;
      if (onMetadata !== undefined && typeof onMetadata !== 'function')
        throw badOption('onMetadata', onMetadata, 'a function');
      let timeout = given === undefined ? plain.timeout : checkTimeout(given);
      checkSignal(ownSignal);
      const checked = metadata === undefined ? NO_METADATA : checkMetadata(metadata);
      let signal = ownSignal;
      let linked: LinkedSignal | undefined;
      if (parent !== undefined && parent !== null) {
        timeout = withinParent(timeout, parent, plain.method);
        if (signal !== undefined) linked = linkSignals(signal, parent.signal);
        signal = linked?.signal ?? parent.signal;
      }
      const shape = {
        method: plain.method,
        codec: plain.codec,
        timeout,
        metadata: checked,
        signal,
        onMetadata,
      };
      return linked === undefined
        ? new ClientCall(shape, input)
        : new LinkedCall(shape, input, linked.release);
    } catch (error) {
      // An error of a getter or a Proxy becomes BAD_OPTION.
      checkReadableCall(options);
      throw error;
    }
  }

  with(changes: {
    input?: unknown;
    timeout?: number | undefined;
    metadata?: Metadata | undefined;
    signal?: AbortSignal | undefined;
  }): ClientCall {
    checkChangeNames(changes);
    checkSignal(changes.signal);
    const { method, codec, timeout, metadata, signal, onMetadata } = this.shape;
    const shape = {
      method,
      codec,
      timeout: changes.timeout === undefined ? timeout : checkTimeout(changes.timeout),
      metadata: changes.metadata === undefined ? metadata : checkMetadata(changes.metadata),
      signal: changes.signal ?? signal,
      onMetadata,
    };
    return new ClientCall(
      shape,
      'input' in changes ? changes.input : this.input,
      changes.timeout === undefined ? this.deadline : undefined,
    );
  }
}

/**
 * A call whose signal follows two signals: the signal of its options and the signal of its parent
 * call. The stub calls `release` when the call has ended.
 */
export class LinkedCall extends ClientCall {
  readonly release: () => void;

  constructor(shape: CallShape, input: unknown, release: () => void) {
    super(shape, input);
    this.release = release;
  }
}

const NO_OPTIONS: CallOptions = {};

/** Throws BAD_OPTION. */
function checkOptions(options: CallOptions): void {
  if (typeof options !== 'object' || options === null) checkObject('options of a call', options);
  checkCallNames(options);
}

/**
 * Returns whole milliseconds. Undefined: no deadline, for Infinity and for a timeout above
 * MAX_TIMEOUT. Throws BAD_OPTION.
 */
export function checkTimeout(timeout: number): number | undefined {
  checkNumber('timeout', timeout, 1, Number.POSITIVE_INFINITY);
  return timeout > MAX_TIMEOUT ? undefined : Math.ceil(timeout);
}

/** The shorter of `timeout` and the time until the parent's deadline. Milliseconds. */
function withinParent(
  timeout: number | undefined,
  parent: CallContext,
  method: Method,
): number | undefined {
  if (!(parent?.signal instanceof AbortSignal))
    throw badOption('parent', parent, 'the context of a call that is being handled');
  if (parent.deadline === undefined) return timeout;
  const left = Math.floor(parent.deadline - performance.now());
  if (left < 1) {
    const what = `${method.service}.${method.name} was not called: the deadline of its parent call has passed`;
    throw new RpcError('DEADLINE_EXCEEDED', what, { unsent: true });
  }
  return timeout === undefined ? left : Math.min(left, timeout);
}

/** Milliseconds until the deadline of the call; 0 when it has passed, Infinity without one. */
export function timeLeft({ deadline, timeout }: Call): number {
  if (timeout === undefined) return Number.POSITIVE_INFINITY;
  // A Call object that the user's program creates may have no deadline.
  return deadline === undefined ? timeout : Math.max(0, deadline - instantFor(timeout));
}
