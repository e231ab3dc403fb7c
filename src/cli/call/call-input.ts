/** The messages of a call: the argument JSON, or standard input. */
import { messageOf } from '../../core/errors.js';
import { untilAborted } from '../../core/signals.js';
import { UsageError } from '../failure.js';
import type { Terminal } from '../terminal.js';
import type { CallableMethod } from './callable-method.js';
import { linesOf, readAll } from './standard-input.js';

/** The text of the argument that reads standard input. */
const STANDARD_INPUT = '-';

/** Receives what is suspicious in an argument that is sent all the same. */
export type Warn = (warning: string) => void;

/** Throws UsageError if the argument JSON is given and is not JSON. */
export function checkArgument(text: string | undefined): void {
  if (text !== undefined && text !== STANDARD_INPUT) parse(text, 'JSON');
}

/** One message. `text`: the argument JSON; `-`: all of standard input. Throws UsageError. */
export async function readMessage(
  method: CallableMethod,
  text: string | undefined,
  terminal: Terminal,
  warn: Warn = () => {},
): Promise<unknown> {
  if (text === undefined) return encode(method, undefined, 'JSON', warn);
  const json =
    text === STANDARD_INPUT ? await untilAborted(readAll(terminal), terminal.signal) : text;
  return encode(method, parse(json, 'JSON'), 'JSON', warn);
}

/** Messages of a stream: the argument JSON is the only one, else each line of standard input. */
export class MessageLines implements AsyncIterable<unknown> {
  readonly #method: CallableMethod;
  readonly #text: string | undefined;
  readonly #terminal: Terminal;
  readonly #warn: Warn;
  /** Why a line cannot be sent. The call fails too, with an error that says less. */
  failure: unknown;

  constructor(method: CallableMethod, text: string | undefined, terminal: Terminal, warn: Warn) {
    this.#method = method;
    this.#warn = warn;
    this.#text = text === STANDARD_INPUT ? undefined : text;
    this.#terminal = terminal;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<unknown> {
    try {
      if (this.#text !== undefined) {
        yield await readMessage(this.#method, this.#text, this.#terminal, this.#warn);
        return;
      }
      let number = 0;
      for await (const line of linesOf(this.#terminal)) {
        const name = `line ${++number} of standard input`;
        if (line.trim() !== '') yield encode(this.#method, parse(line, name), name, this.#warn);
      }
    } catch (error) {
      this.failure = error;
      throw error;
    }
  }
}

function parse(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(
      `${name}: ${messageOf(error)}; write it as JSON in quotes of the shell, such as '{"A":1}' or '"text"'`,
    );
  }
}

function encode(method: CallableMethod, value: unknown, name: string, warn: Warn): unknown {
  try {
    const message = method.encode(value);
    for (const warning of method.warningsOf?.(value) ?? []) warn(`${name}: ${warning}`);
    return message;
  } catch (error) {
    throw new UsageError(`${name}: ${messageOf(error)}`);
  }
}
