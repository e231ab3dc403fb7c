/** Programs of test/fixtures that run in processes of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { PROCESS_PATIENCE, within } from '../fixtures/waiting.js';

/** Starts programs, and kills those that still run when it is disposed. */
export class ChildProcesses implements AsyncDisposable {
  readonly #children: ChildProcess[] = [];

  /**
   * Starts the program `name` of test/fixtures. Resolves with the process when it has written its
   * first output.
   */
  async start(
    name: string,
    args: readonly string[],
    stdin: 'pipe' | 'ignore' = 'pipe',
  ): Promise<ChildProcess> {
    const path = fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
    const child = spawn(process.execPath, [path, ...args], { stdio: [stdin, 'pipe', 'inherit'] });
    this.add(child);
    await within(
      once(child.stdout as NodeJS.ReadableStream, 'data'),
      `the first output of ${name}`,
      PROCESS_PATIENCE,
    );
    return child;
  }

  /** Adds a process that was started otherwise. */
  add(child: ChildProcess): void {
    this.#children.push(child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children.splice(0)) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
  }
}
