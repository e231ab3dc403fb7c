/** What a command reads and writes: the standard streams, and a signal for Ctrl-C. */

/** A stream that a command writes to: a part of `NodeJS.WriteStream`. */
export interface TextStream {
  /** Whether it is a terminal, where lines can be redrawn. */
  readonly isTTY?: boolean | undefined;
  /** The columns of the terminal. */
  readonly columns?: number | undefined;
  /** The rows of the terminal. */
  readonly rows?: number | undefined;
  /** False: wait for `drain` before more is written. */
  write(text: string): boolean;
  once(event: 'drain' | 'close', listener: () => void): unknown;
  off(event: 'drain' | 'close', listener: () => void): unknown;
}

export interface Terminal {
  /** Chunks of standard input. A command that does not need input does not read it. */
  readonly input: AsyncIterable<Uint8Array | string>;
  readonly output: TextStream;
  readonly errors: TextStream;
  /** Aborts when the user presses Ctrl-C, or when the reader of the output has ended. */
  readonly signal: AbortSignal;
  readonly environment: Readonly<Record<string, string | undefined>>;
}
