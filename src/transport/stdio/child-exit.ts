/** How a child process has exited. */
import type { ChildProcessLike } from './stdio-address.js';

interface ChildExit {
  /** For an error message. */
  readonly text: string;
  /** Whether the exit code is not 0, or a signal has ended the process. */
  readonly isFailure: boolean;
}

/** Undefined while the process runs. */
export function exitOf({ exitCode, signalCode }: ChildProcessLike): ChildExit | undefined {
  if (typeof signalCode === 'string')
    return { text: `the child process was ended by ${signalCode}`, isFailure: true };
  if (typeof exitCode !== 'number') return undefined;
  return { text: `the child process exited with code ${exitCode}`, isFailure: exitCode !== 0 };
}
