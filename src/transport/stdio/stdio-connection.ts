/** A connection over two streams: the standard input and output of a child process. */
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { copy } from '../../core/bytes.js';
import { type GettyError, gettyError, messageOf } from '../../core/errors.js';
import { faultError, guarded } from '../../core/guard.js';
import { startTimer } from '../../core/timers.js';
import type { StdioEnd } from '../address.js';
import type { Connection, ConnectionCapabilities, ConnectionEvents } from '../types.js';
import { exitOf } from './child-exit.js';
import type { ChildProcessLike, StdioStreams } from './stdio-address.js';

const CAPABILITIES: ConnectionCapabilities = { canHalfOpen: true };
/**
 * Milliseconds. The end of a stream and the exit of its process are separate events in any order.
 * This long the first one waits for the other.
 */
const EXIT_DELAY = 1_000;

export class StdioConnection implements Connection {
  readonly capabilities = CAPABILITIES;
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly #input: Readable;
  readonly #output: Writable;
  readonly #child: ChildProcessLike | undefined;
  /** Whether the output keeps no bytes that it has reported as written. */
  readonly #copiesToSystem: boolean;
  #events: ConnectionEvents | undefined;
  #writtenBytes = 0;
  /** How many of #writtenBytes the output has accepted. */
  #acceptedBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Whether the input has ended. */
  #hasPeerEnded = false;
  #isEndDelivered = false;
  /** Whether end() was called. */
  #isEnding = false;
  #hasEnded = false;
  #isFinished = false;
  #error: GettyError | undefined;

  constructor({ input, output, child }: StdioStreams, { localAddress, remoteAddress }: StdioEnd) {
    this.#input = input;
    this.#output = output;
    this.#child = child;
    this.#copiesToSystem = output instanceof Socket;
    this.localAddress = localAddress;
    this.remoteAddress = remoteAddress;
    // For ever: an 'error' event without a listener would end the process.
    for (const stream of [input, output]) stream.on('error', this.#onStreamError);
    child?.on('exit', this.#onExit);
  }

  attach(events: ConnectionEvents): void {
    this.#events = events;
    if (this.#isFinished) return this.#reportClose();
    this.#input.on('data', this.#onData).on('end', this.#onInputEnd).on('close', this.#onInputEnd);
    this.#output.on('finish', this.#onFinish);
    if (this.#output.writableFinished) this.#hasEnded = true;
    // A stream that is already closed emits no further event.
    if (this.#input.closed || this.#input.readableEnded) setImmediate(this.#onInputEnd);
  }

  /** Calls `handle`. If it throws, the connection ends with CONNECTION_LOST. */
  #run(handle: () => void): void {
    guarded(handle, (error) => this.#finish(faultError(this.remoteAddress, error)))();
  }

  /** As #run(), for methods of the streams, which may be those of the program. */
  #useStream(handle: () => void): void {
    guarded(handle, (error) => this.#finish(this.#lossError(error)))();
  }

  // ---- reading ----

  readonly #onData = (chunk: unknown): void => {
    if (this.#isFinished) return;
    if (Buffer.isBuffer(chunk)) this.#run(() => this.#events?.onData(chunk));
    // The program may have called setEncoding() meanwhile.
    else this.#finish(this.#lossError(new TypeError('the input does not give bytes')));
  };

  readonly #onInputEnd = (): void => {
    if (this.#hasPeerEnded || this.#isFinished) return;
    this.#hasPeerEnded = true;
    if (this.#child === undefined || exitOf(this.#child) !== undefined) this.#deliverEnd();
    else this.#later(() => this.#deliverEnd());
  };

  /** The child has exited. Its output may have bytes that are not read. */
  readonly #onExit = (): void => {
    if (this.#hasPeerEnded) this.#deliverEnd();
    else this.#loseLater();
  };

  /** A process that the child has started may keep the stream open. */
  #loseLater(): void {
    this.#later(() => {
      // The bytes of a paused stream are not lost.
      if (this.#input.isPaused() || this.#input.readableLength > 0) this.#loseLater();
      else this.#finish(this.#lossError());
    });
  }

  #later(task: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = startTimer(() => this.#run(task), EXIT_DELAY);
  }

  #deliverEnd(): void {
    clearTimeout(this.#timer);
    if (this.#isFinished) return;
    const exit = this.#child === undefined ? undefined : exitOf(this.#child);
    if (!this.#isEndDelivered) {
      // After the end of this side, the child exits as it likes.
      if (exit?.isFailure && !this.#isEnding) return this.#finish(this.#lossError());
      this.#isEndDelivered = true;
      this.#run(() => this.#events?.onEnd());
    }
    // The process does not read what is still to be written.
    if (exit !== undefined) this.#finish();
    else this.#finishWhenBothEnded();
  }

  pause(): void {
    this.#useStream(() => this.#input.pause());
  }

  resume(): void {
    this.#useStream(() => this.#input.resume());
  }

  // ---- writing ----

  get bufferedBytes(): number {
    if (this.#acceptedBytes === this.#writtenBytes) return 0;
    // A destroyed stream drops its queue.
    if (!this.#output.destroyed && this.#output.errored === null)
      this.#acceptedBytes = this.#writtenBytes - this.#output.writableLength;
    return this.#writtenBytes - this.#acceptedBytes;
  }

  write(bytes: Uint8Array): void {
    if (this.#isFinished) return;
    this.#writtenBytes += bytes.length;
    if (this.#isOutputEnded()) return this.#loseOutput();
    this.#useStream(() => {
      this.#output.write(this.#copiesToSystem ? bytes : copy(bytes), this.#onWritten);
    });
  }

  readonly #onWritten = (error?: Error | null): void => {
    if (this.#isFinished) return;
    if (error == null) this.#run(() => this.#events?.onTaken());
    else if (this.#isOutputEnded()) this.#loseOutput();
  };

  /** Whether the program has ended or destroyed the output. It may emit no 'error' event. */
  #isOutputEnded(): boolean {
    // Node.js destroys the output when the child exits. What the child has sent is delivered then.
    if (this.#isEnding || (this.#child !== undefined && exitOf(this.#child) !== undefined))
      return false;
    const { writableEnded, destroyed, errored } = this.#output;
    return writableEnded || (destroyed && errored === null);
  }

  #loseOutput(): void {
    this.#finish(this.#lossError(new Error('the program has ended its output')));
  }

  // ---- closing ----

  end(): void {
    this.#isEnding = true;
    this.#useStream(() => this.#output.end());
  }

  readonly #onFinish = (): void => {
    this.#hasEnded = true;
    this.#finishWhenBothEnded();
  };

  #finishWhenBothEnded(): void {
    if (this.#hasEnded && this.#isEndDelivered) this.#finish();
  }

  readonly #onStreamError = (error: Error): void => {
    if (this.#isFinished) return;
    // A write to a child that has exited fails before its exit is known.
    if (this.#child === undefined || exitOf(this.#child) !== undefined)
      this.#finish(this.#lossError(error));
    else this.#later(() => this.#finish(this.#lossError(error)));
  };

  #lossError(cause?: unknown): GettyError {
    const exit = this.#child === undefined ? undefined : exitOf(this.#child);
    const reason = exit?.text ?? messageOf(cause);
    return gettyError(
      'CONNECTION_LOST',
      `the connection to ${this.remoteAddress} was lost: ${reason}`,
      cause,
    );
  }

  destroy(): void {
    this.#finish();
  }

  #finish(error?: GettyError): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#error = error;
    clearTimeout(this.#timer);
    this.#child?.off('exit', this.#onExit);
    // If a method of the program throws, the session ends nevertheless.
    for (const stream of [this.#input, this.#output])
      guarded(
        () => void stream.off('data', this.#onData).destroy(),
        () => {},
      )();
    if (this.#events !== undefined) this.#reportClose();
  }

  #reportClose(): void {
    setImmediate(() => this.#events?.onClose(this.#error));
  }
}
