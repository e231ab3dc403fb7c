/** A provider or consumer process, which the driver commands. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gate, PROCESS_PATIENCE, within } from '../fixtures/waiting.js';

/** This path is right for the bundle of `npm run grid` too: both are two folders below the root. */
const PROGRAMS = fileURLToPath(new URL('../../test/grid/programs/', import.meta.url));

/** The running processes. They are killed when this process ends. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export interface MemberSettings {
  readonly program: string;
  readonly name: string;
  readonly settings: object;
  /** The file for what it writes to stderr. */
  readonly errors: string;
  /** A program with arguments that runs it, such as `ip netns exec NAME`. */
  readonly wrapper?: readonly string[] | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Flags of Node.js. */
  readonly flags?: readonly string[] | undefined;
}

interface Answer {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: string;
  readonly ready?: string;
}

export class Member {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, ReturnType<typeof gate<unknown>>>();
  readonly #ready = gate<void>();
  readonly #exited: Promise<unknown>;
  #commands = 0;

  private constructor({ program, name, settings, errors, wrapper, env, flags }: MemberSettings) {
    this.name = name;
    const args = [...(flags ?? []), `${PROGRAMS}${program}`, JSON.stringify(settings)];
    const [command = '', ...rest] = [...(wrapper ?? []), process.execPath, ...args];
    const stderr = openSync(errors, 'a');
    const child = spawn(command, rest, {
      stdio: ['ignore', 'ignore', stderr, 'ipc'],
      env: { ...process.env, ...env },
    });
    closeSync(stderr);
    this.#child = child;
    running.add(child);
    this.#exited = once(child, 'exit');
    this.#ready.promise.catch(() => {});
    child.on('message', (message) => this.#receive(message as Answer));
    child.on('error', (error) => this.#fail(error));
    child.once('exit', (code, signal) => {
      running.delete(child);
      this.#fail(new Error(`${name} ended with ${code ?? signal}; see ${errors}`));
    });
  }

  /** Resolves when the program is ready. */
  static async start(settings: MemberSettings): Promise<Member> {
    const member = new Member(settings);
    try {
      await within(member.#ready.promise, `the start of ${settings.name}`, PROCESS_PATIENCE);
    } catch (error) {
      await member.kill();
      throw error;
    }
    return member;
  }

  #receive({ id, result, error }: Answer): void {
    if (id === undefined) return this.#ready.open(undefined);
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (error === undefined) pending?.open(result);
    else pending?.fail(new Error(`${this.name}: ${error}`));
  }

  #fail(error: Error): void {
    this.#ready.fail(error);
    for (const pending of this.#pending.values()) pending.fail(error);
    this.#pending.clear();
  }

  get isRunning(): boolean {
    return running.has(this.#child);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Calls a command of the program. Rejects if the process ends before its answer. */
  command<T = void>(command: string, ...args: readonly unknown[]): Promise<T> {
    const id = ++this.#commands;
    const pending = gate<unknown>();
    this.#pending.set(id, pending);
    if (!this.isRunning) this.#fail(new Error(`${this.name} does not run`));
    else this.#child.send({ id, command, args });
    return pending.promise as Promise<T>;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Sends SIGKILL, and waits for the end. */
  async kill(): Promise<void> {
    if (!this.isRunning) return;
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  /** Closes what the program has opened, and waits for its end. */
  async close(): Promise<void> {
    if (!this.isRunning) return;
    try {
      await within(this.command('close'), `the close of ${this.name}`, PROCESS_PATIENCE);
    } finally {
      await this.kill();
    }
  }
}
