/** Errors of a command: one line that says what to do, and the exit code. */
import { codeOf, messageOf, RPC_CODES, type RpcCode } from '../core/errors.js';
import { cut, jsonText, MAX_MESSAGE, printable } from './output/printable.js';
import { timeText } from './output/quantity.js';

/** The command line is wrong. The message says what was given, and what is expected. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const USAGE_EXIT = 2;
/** The exit code of errors that are not those of a call. */
const OTHER_EXIT = 1;
/** Codes of errors that the command line causes. */
const USAGE_CODES: ReadonlySet<unknown> = new Set(['BAD_ADDRESS', 'BAD_OPTION']);

/** What to do, by the code of the error. */
const ADVICE: Readonly<Record<string, string>> = {
  CONNECT_FAILED: 'is the server running there? `getty doctor TARGET` checks each step',
  LISTEN_FAILED: 'is it an address of this machine, and free? Port 0 selects a free port',
  REGISTRY_FAILED:
    'is the registry there, and its path right? `getty doctor REGISTRY` checks each step',
  UNIMPLEMENTED: '`getty describe TARGET` shows what the server offers',
  INVALID_ARGUMENT: '`getty describe TARGET SERVICE/METHOD` shows the argument',
  UNAUTHENTICATED: 'give a token with --token, or in the environment as GETTY_TOKEN',
  PERMISSION_DENIED: 'the server does not allow this caller; is it the right --token?',
};

/** 0 is success, 2 a wrong command line, else the number of the RPC code; 1 for other errors. */
export function exitCodeOf(thrown: unknown): number {
  const error = thrown instanceof AdvisedError ? thrown.error : thrown;
  const code = codeOf(error);
  if (error instanceof UsageError || USAGE_CODES.has(code)) return USAGE_EXIT;
  const at = RPC_CODES.indexOf(code as RpcCode);
  return at < 0 ? OTHER_EXIT : at + 1;
}

/** An error that says itself what to do. `code` gives the exit code. */
export class AdvisedError extends Error {
  override readonly name = 'AdvisedError';
  readonly error: unknown;
  readonly advice: string;

  constructor(error: unknown, advice: string) {
    super(messageOf(error));
    this.error = error;
    this.advice = advice;
  }
}

/** What the system says of a host without an address. */
const NO_HOST = /\b(?:ENOTFOUND|EAI_AGAIN)\b/;
const HOST_ADVICE = 'the host name has no address: check its spelling, or the DNS';

function adviceFor(
  code: string | undefined,
  message: string,
  timeout: number | undefined,
): string | undefined {
  if ((code === 'CONNECT_FAILED' || code === 'REGISTRY_FAILED') && NO_HOST.test(message))
    return HOST_ADVICE;
  if (code === 'DEADLINE_EXCEEDED' && timeout !== undefined)
    return `the timeout is ${timeText(timeout)}; give it more time with --timeout`;
  return code === undefined ? undefined : ADVICE[code];
}

/**
 * The line for standard error, as text for people or as JSON. `timeout`: that of the command, in
 * milliseconds.
 */
export function failureLine(
  command: string,
  thrown: unknown,
  isJson: boolean,
  timeout?: number,
): string {
  const error = thrown instanceof AdvisedError ? thrown.error : thrown;
  const code = error instanceof UsageError ? 'USAGE' : codeOf(error);
  // The errors of OpenSSL end with a line feed.
  const message = messageOf(error).trim();
  const advice = thrown instanceof AdvisedError ? thrown.advice : adviceFor(code, message, timeout);
  if (isJson)
    return jsonText({
      error: {
        code: code ?? 'UNKNOWN',
        message: cut(message, MAX_MESSAGE),
        advice: advice && cut(advice, MAX_MESSAGE),
      },
    });
  const name = code === undefined || code === 'USAGE' ? '' : `${code}: `;
  // An advice may contain names of a server.
  const suffix = advice === undefined ? '' : ` (${printable(advice, MAX_MESSAGE)})`;
  return printable(`${command}: ${name}${message}`, MAX_MESSAGE) + suffix;
}
