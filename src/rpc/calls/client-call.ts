/** A call as its caller makes it. */

import { codeOf, messageOf } from '../../core/errors.js';
import { badOption, checkNumber } from '../../core/options.js';
import { followSignal, type LinkedSignal, linkSignals } from '../../core/signals.js';
import { now } from '../../transport/session/flush-scheduler.js';
import { checkMetadata, NO_METADATA } from '../codecs/metadata.js';
import { RpcError, rpcErrorOf } from '../errors.js';
import { checkCallNames, checkChangeNames } from '../option-names.js';
import type {
  Call,
  CallContext,
  CallOptions,
  CodecName,
  Metadata,
  Method,
  MethodKind,
} from '../types.js';
import { handledCall } from './inherited-call.js';

/** What travels as a uint32 of milliseconds. */
const LONGEST_TIMEOUT = 0xffff_ffff;

/**
 * The deadline of a call that is made now. Whole where that loses nothing: V8 boxes doubles stored
 * in fields.
 */
function deadlineOf(timeout: number): number {
  return timeout < SHORT_TIMEOUT ? performance.now() + timeout : Math.ceil(now()) + timeout;
}

/**
 * Below it a timeout is measured from the very instant; that costs more than the rest of its
 * bookkeeping. Milliseconds.
 */
const SHORT_TIMEOUT = 2_000;

/**
 * The instant that a timeout is reckoned from. now() is as old as this turn of the event loop,
 * which a long timeout does not notice and a short one must not lose.
 */
export function instantFor(timeout = Number.POSITIVE_INFINITY): number {
  return timeout < SHORT_TIMEOUT ? performance.now() : now();
}

export class ClientCall implements Call {
  readonly method: Method;
  readonly input: unknown;
  readonly codec: CodecName;
  readonly timeout: number | undefined;
  readonly deadline: number | undefined;
  readonly metadata: Metadata;
  protected readonly givenSignal: AbortSignal | undefined;
  readonly onMetadata: CallOptions['onMetadata'];

  constructor(
    method: Method,
    input: unknown,
    codec: CodecName,
    timeout: number | undefined,
    metadata: Metadata,
    signal: AbortSignal | undefined,
    onMetadata: CallOptions['onMetadata'],
    deadline = timeout === undefined ? undefined : deadlineOf(timeout),
  ) {
    this.method = method;
    this.input = input;
    this.codec = codec;
    this.timeout = timeout;
    this.deadline = deadline;
    this.metadata = metadata;
    this.givenSignal = signal;
    this.onMetadata = onMetadata;
  }

  get signal(): AbortSignal | undefined {
    return this.givenSignal;
  }

  /**
   * `defaultTimeout`: as checkTimeout() answers. Throws BAD_OPTION, or DEADLINE_EXCEEDED when the
   * parent's deadline has passed.
   */
  static make(
    method: Method,
    input: unknown,
    codec: CodecName,
    defaultTimeout: number | undefined,
    options: CallOptions | undefined,
  ): ClientCall {
    const inherited = handledCall();
    if (options === undefined && inherited === undefined)
      return new ClientCall(
        method,
        input,
        codec,
        defaultTimeout,
        NO_METADATA,
        undefined,
        undefined,
      );
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
    let timeout = given === undefined ? defaultTimeout : checkTimeout(given);
    let signal = checkSignal(ownSignal);
    let linked: LinkedSignal | undefined;
    if (parent !== undefined && parent !== null) {
      timeout = withinParent(timeout, parent, method);
      if (signal !== undefined) linked = linkSignals(signal, parent.signal);
      signal = linked?.signal ?? parent.signal;
    }
    const sent = metadata === undefined ? NO_METADATA : checkMetadata(metadata);
    if (linked !== undefined)
      return new LinkedCall(
        method,
        input,
        codec,
        timeout,
        sent,
        signal,
        onMetadata,
        linked.release,
      );
    return new ClientCall(method, input, codec, timeout, sent, signal, onMetadata);
  }

  with(changes: {
    input?: unknown;
    timeout?: number | undefined;
    metadata?: Metadata | undefined;
    signal?: AbortSignal | undefined;
  }): ClientCall {
    checkChangeNames(changes);
    return new ClientCall(
      this.method,
      'input' in changes ? changes.input : this.input,
      this.codec,
      changes.timeout === undefined ? this.timeout : checkTimeout(changes.timeout),
      changes.metadata === undefined ? this.metadata : checkMetadata(changes.metadata),
      changes.signal === undefined ? this.givenSignal : checkSignal(changes.signal),
      this.onMetadata,
      changes.timeout === undefined ? this.deadline : undefined,
    );
  }
}

/**
 * How the reader of a stream cancels its call before it has begun. Few calls wait to begin, so the
 * signal is made when something looks at it.
 */
export class LeaveSignal {
  readonly #given: AbortSignal | undefined;
  #abort: AbortController | undefined;
  #release: (() => void) | undefined;
  #left = false;

  /** `given`: what the call's maker gave; it aborts the signal too. */
  constructor(given: AbortSignal | undefined) {
    this.#given = given;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      const abort = new AbortController();
      const given = this.#given;
      this.#abort = abort;
      if (this.#left) abort.abort();
      else if (given?.aborted) abort.abort(given.reason);
      else if (given !== undefined)
        this.#release = followSignal(given, () => abort.abort(given.reason));
    }
    return this.#abort.signal;
  }

  /** The signal if something has looked at it, else the given one. */
  get inUse(): AbortSignal | undefined {
    return this.#abort?.signal ?? this.#given;
  }

  /** Whether end() has something to do. */
  get isLinked(): boolean {
    return this.#release !== undefined;
  }

  /** The reader has left. */
  leave(): void {
    this.#left = true;
    this.#abort?.abort();
    this.end();
  }

  /** The call is over: nothing stays at the given signal. */
  end(): void {
    this.#release?.();
    this.#release = undefined;
  }
}

/** A call whose replies stream. */
export class StreamCall extends ClientCall {
  readonly #leave: LeaveSignal;

  constructor(call: ClientCall, leave: LeaveSignal) {
    super(
      call.method,
      call.input,
      call.codec,
      call.timeout,
      call.metadata,
      undefined,
      call.onMetadata,
      call.deadline,
    );
    this.#leave = leave;
  }

  override get signal(): AbortSignal {
    return this.#leave.signal;
  }

  /** Of a call that has begun: its reader leaves by the stream. */
  get signalInUse(): AbortSignal | undefined {
    return this.#leave.inUse;
  }

  override with(changes: {
    input?: unknown;
    timeout?: number;
    metadata?: Metadata;
    signal?: AbortSignal;
  }): ClientCall {
    const changed = super.with(changes);
    return changes.signal === undefined ? new StreamCall(changed, this.#leave) : changed;
  }
}

/** The signal of a call that begins now. */
export function signalInUse(call: Call): AbortSignal | undefined {
  return call instanceof StreamCall ? call.signalInUse : call.signal;
}

/** A call whose signal follows two others. Its maker calls `release` when the call is over. */
export class LinkedCall extends ClientCall {
  readonly release: () => void;

  constructor(
    method: Method,
    input: unknown,
    codec: CodecName,
    timeout: number | undefined,
    metadata: Metadata,
    signal: AbortSignal | undefined,
    onMetadata: CallOptions['onMetadata'],
    release: () => void,
  ) {
    super(method, input, codec, timeout, metadata, signal, onMetadata);
    this.release = release;
  }
}

const NO_OPTIONS: CallOptions = {};

/** Throws BAD_OPTION. */
function checkOptions(options: CallOptions): void {
  if (typeof options !== 'object' || options === null)
    throw badOption('options', options, 'an object');
  checkCallNames(options);
}

/** Whole milliseconds; Infinity is no deadline. Throws BAD_OPTION. */
export function checkTimeout(timeout: number): number | undefined {
  checkNumber('timeout', timeout, 1, Number.POSITIVE_INFINITY);
  return timeout > LONGEST_TIMEOUT ? undefined : Math.ceil(timeout);
}

/** What is left of the parent's time, if that is less. */
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
    const what = `${method.service}.${method.name} was not called: the call on whose behalf it is made has no time left`;
    throw new RpcError('DEADLINE_EXCEEDED', what, { unsent: true });
  }
  return timeout === undefined ? left : Math.min(left, timeout);
}

function checkSignal(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal !== undefined && typeof signal?.addEventListener !== 'function')
    throw badOption('signal', signal, 'an AbortSignal');
  return signal;
}

/** Whether messages stream from the server. */
export function streamsReplies(kind: MethodKind): boolean {
  return kind === 'serverStream' || kind === 'duplex';
}

/** Whether messages stream to the server. */
export function streamsInput(kind: MethodKind): boolean {
  return kind === 'clientStream' || kind === 'duplex';
}

/** Whether messages stream, in either direction. */
export function streams(kind: MethodKind): boolean {
  return kind !== 'unary' && (streamsReplies(kind) || streamsInput(kind));
}

/** The error of a call whose signal has aborted. */
export function cancelled({ method, signal }: Call, unsent: boolean): RpcError {
  return new RpcError('CANCELLED', `the caller gave up ${method.service}.${method.name}`, {
    cause: signal?.reason,
    unsent,
  });
}

/**
 * Settles as `promise` does; rejects with CANCELLED when the call's signal aborts before. For a
 * call that is not sent yet.
 */
export async function unlessCancelled<T>(call: Call, promise: Promise<T>): Promise<T> {
  const { signal } = call;
  if (signal === undefined) return promise;
  let abort!: () => void;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(cancelled(call, true));
  });
  const release = followSignal(signal, abort);
  if (signal.aborted) abort();
  try {
    return await Promise.race([aborted, promise]);
  } finally {
    release();
  }
}

/** Milliseconds until the caller gives up; Infinity: never. Not negative. */
export function timeLeft({ deadline, timeout }: Call): number {
  if (timeout === undefined) return Number.POSITIVE_INFINITY;
  // A call that the program has made up by itself has no deadline.
  return deadline === undefined ? timeout : Math.max(0, deadline - instantFor(timeout));
}

/** The error of a call whose time is over before it was sent. */
export function outOfTime({ method }: Call, cause?: unknown): RpcError {
  return new RpcError(
    'DEADLINE_EXCEEDED',
    `${method.service}.${method.name} was not sent within its timeout`,
    { cause, unsent: true },
  );
}

/**
 * The error of a call, or of one message of its stream (`what`), that could not be written:
 * INVALID_ARGUMENT if it has no form in the codec. `unsent`: no byte of the call was sent before.
 */
export function unsendable(error: unknown, what: string, unsent: boolean): RpcError {
  const known = rpcErrorOf(error);
  if (known !== undefined) return known;
  const code = codeOf(error);
  const detail = { cause: error, unsent };
  const message = `${what} was not sent: ${messageOf(error)}`;
  if (code === 'SESSION_CLOSED') return new RpcError('UNAVAILABLE', message, detail);
  if (code === 'SESSION_BLOCKED' || code === 'MESSAGE_TOO_LARGE')
    return new RpcError('RESOURCE_EXHAUSTED', message, detail);
  return new RpcError('INVALID_ARGUMENT', message, detail);
}
