/**
 * The demo: three providers and a consumer, each in a process. One provider is killed and started
 * again, and no call fails.
 * `npm start -- --duration 15s --rate 2000 --json --registry URL --console`
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { messageOf } from '#getty/core/errors.js';
import { within } from '#getty/core/timers.js';
import { Display } from './display.js';
import type { Figures, FromConsumer, FromProvider, ToChild } from './messages.js';
import { HELP, type Options, readOptions, USAGE } from './options.js';

const PROVIDERS = ['provider-1', 'provider-2', 'provider-3'];
const KILLED_PROVIDER = 'provider-2';
/** Milliseconds that the provider is stopped before it is killed, so that calls are under way. */
const HANG_TIME = 25;
/** Milliseconds for a process to start, and for the consumer to see a change of its nodes. */
const START_LIMIT = 30_000;
/** Milliseconds for a process to end before it is killed. */
const STOP_LIMIT = 10_000;

class Demo {
  readonly #options: Options;
  readonly #display: Display;
  /** The temporary directory of the registry, when no registry is given. */
  readonly #folder: string | undefined;
  readonly #registry: string;
  readonly #children = new Map<string, ChildProcess>();
  /** Processes that are killed and cannot be asked to end. */
  readonly #killed = new Set<ChildProcess>();
  #console: ChildProcess | undefined;
  readonly #events: { at: number; event: string }[] = [];
  /** Ids of the nodes that the consumer sees. */
  #liveNodes: readonly string[] = [];
  #startTime = 0;
  #second = 0;
  #isStopping = false;
  /** Called when #liveNodes has changed. */
  #onLiveNodes: () => void = () => {};
  #interrupt: (error: Error) => void = () => {};

  constructor(options: Options) {
    this.#options = options;
    this.#display = new Display(process.stdout, options.json);
    this.#folder =
      options.registry === undefined ? mkdtempSync(join(tmpdir(), 'getty-demo-')) : undefined;
    this.#registry = options.registry ?? pathToFileURL(this.#folder as string).href;
  }

  async run(): Promise<number> {
    const { duration, rate, json } = this.#options;
    const interrupted = new Promise<never>((_, reject) => {
      this.#interrupt = reject;
    });
    // It may reject before it is awaited below.
    interrupted.catch(() => {});
    try {
      this.#display.writeLine(
        `3 providers of TestService v1.0 and a consumer, ${rate} calls/s for ${duration / 1000} s\n` +
          `registry ${withoutPassword(this.#registry)}`,
      );
      await Promise.race([this.#start(), interrupted]);
      if (this.#options.console) this.#startConsole();
      const figures = await Promise.race([this.#runTimeline(), interrupted]);
      this.#report(figures, json);
      return figures.failed === 0 ? 0 : 1;
    } finally {
      await this.stop();
    }
  }

  async #start(): Promise<void> {
    await Promise.all(PROVIDERS.map((name) => this.#startProvider(name)));
    this.#fork('consumer', [String(this.#options.rate)]).on('message', (message: FromConsumer) =>
      this.#onConsumerMessage(message),
    );
    await this.#waitForNodes(
      () => this.#liveNodes.length === PROVIDERS.length,
      () =>
        timeoutError(
          `the consumer saw ${this.#liveNodes.length} of ${PROVIDERS.length} providers in the registry`,
        ),
    );
  }

  #startConsole(): void {
    const path = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
    const args = [path, 'console', this.#registry, '--allow-admin'];
    // With --json only the figures are written to the standard output.
    const output = this.#options.json ? process.stderr : 'inherit';
    const child = spawn(process.execPath, args, { stdio: ['ignore', output, 'inherit'] });
    this.#console = child;
    child.on('error', (error) => this.#interrupt(error));
    child.once('exit', () => {
      if (!this.#isStopping) this.#interrupt(new Error('getty console has ended'));
    });
  }

  /**
   * Settles when the nodes that the consumer sees meet `condition`. Rejects with `late()` after
   * START_LIMIT.
   */
  async #waitForNodes(condition: () => boolean, late: () => Error): Promise<void> {
    const met = new Promise<void>((resolve) => {
      this.#onLiveNodes = () => condition() && resolve();
    });
    this.#onLiveNodes();
    await within(START_LIMIT, met, late);
    this.#onLiveNodes = () => {};
  }

  async #startProvider(name: string): Promise<void> {
    const child = this.#fork('provider', [name], name);
    await within(
      START_LIMIT,
      new Promise<void>((resolve, reject) => {
        child.on('message', (message: FromProvider) => {
          if (message.type === 'ready') resolve();
          else reject(new Error(`${name}: ${message.message}`));
        });
      }),
      () => timeoutError(`${name} did not start`),
    );
  }

  #fork(program: 'provider' | 'consumer', args: string[], name: string = program): ChildProcess {
    const path = fileURLToPath(new URL(`./${program}.js`, import.meta.url));
    const child = fork(path, [this.#registry, ...args], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#children.set(name, child);
    child.on('error', (error) => this.#interrupt(error));
    child.once('exit', (code, signal) => {
      const isExpected = this.#isStopping || this.#killed.has(child);
      if (this.#children.get(name) === child) this.#children.delete(name);
      if (!isExpected)
        this.#interrupt(
          new Error(`${name} ended unexpectedly with ${signal ?? `exit code ${code}`}`),
        );
    });
    return child;
  }

  /**
   * Starts the calls, kills a provider after a third of the duration, starts it again after two
   * thirds, and stops the calls. Each step waits until the consumer has seen the one before.
   */
  async #runTimeline(): Promise<Figures> {
    const third = this.#options.duration / 3;
    const consumer = this.#children.get('consumer') as ChildProcess;
    const done = new Promise<Figures>((resolve) => {
      consumer.on(
        'message',
        (message: FromConsumer) => message.type === 'done' && resolve(message.figures),
      );
    });
    this.#startTime = performance.now();
    send(consumer, { type: 'start' });
    await this.#sleep(third);
    await this.#killProvider(KILLED_PROVIDER);
    await this.#sleep(2 * third - (performance.now() - this.#startTime));
    await this.#waitForNodes(
      () => !this.#liveNodes.includes(KILLED_PROVIDER),
      () => timeoutError(`the registry did not remove ${KILLED_PROVIDER}`),
    );
    // Before the start: the consumer may see the node before the provider reports that it is ready.
    this.#addEvent(`${KILLED_PROVIDER} started again`);
    await this.#startProvider(KILLED_PROVIDER);
    await this.#waitForNodes(
      () => this.#liveNodes.includes(KILLED_PROVIDER),
      () => timeoutError(`the consumer did not see ${KILLED_PROVIDER} again`),
    );
    await this.#sleep(3 * third - (performance.now() - this.#startTime));
    send(consumer, { type: 'stop' });
    this.#isStopping = true;
    return within(START_LIMIT, done, () => timeoutError('the consumer did not end'));
  }

  async #killProvider(name: string): Promise<void> {
    const child = this.#children.get(name) as ChildProcess;
    this.#killed.add(child);
    child.kill('SIGSTOP');
    await this.#sleep(HANG_TIME);
    child.kill('SIGKILL');
    this.#addEvent(`${name} killed with SIGKILL`);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
  }

  #onConsumerMessage(message: FromConsumer): void {
    if (message.type === 'nodes') {
      this.#liveNodes = message.live;
      if (this.#startTime > 0) {
        for (const name of message.removed) this.#addEvent(`node gone: ${name}`);
        for (const name of message.added) this.#addEvent(`node back: ${name}`);
      }
      this.#onLiveNodes();
    } else if (message.type === 'second') {
      this.#display.writeSecond(++this.#second, message.figures, this.#liveNodes.length);
    } else if (message.type === 'callFailed') {
      this.#addEvent(`a call failed: ${message.message}`);
    }
  }

  #addEvent(event: string): void {
    const at = Math.round((performance.now() - this.#startTime) / 100) / 10;
    this.#events.push({ at, event });
    this.#display.writeLine(`${at.toFixed(1).padStart(5)}s   ${event}`);
  }

  #report({ calls, failed, failovers, p50, p99 }: Figures, json: boolean): void {
    this.#display.end();
    const round = (ms: number): number => Math.round(ms * 1000) / 1000;
    if (json)
      console.log(
        JSON.stringify({
          calls,
          failed,
          failovers,
          p50: round(p50),
          p99: round(p99),
          events: this.#events,
        }),
      );
    else
      console.log(
        `calls=${calls} failed=${failed} failovers=${failovers} p50=${p50.toFixed(2)}ms p99=${p99.toFixed(2)}ms`,
      );
  }

  /** Ends every process and removes the temporary directory. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#display.end();
    for (const child of this.#killed) child.kill('SIGKILL');
    this.#console?.kill('SIGTERM');
    await Promise.all([...this.#children.values()].map(stopChild));
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Makes run() stop and reject with `reason`. */
  abort(reason: string): void {
    this.#isStopping = true;
    this.#interrupt(new Error(reason));
  }
}

function send(child: ChildProcess, message: ToChild): void {
  if (child.connected) child.send(message, () => {});
}

function withoutPassword(url: string): string {
  return url.replace(/\/\/.*@/, '//***@');
}

function timeoutError(what: string): Error {
  return new Error(`${what} within ${START_LIMIT / 1000} s`);
}

/** Asks the process to end, and kills it after STOP_LIMIT. */
function stopChild(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT);
    child.once('exit', () => {
      clearTimeout(timer);
      resolve();
    });
    send(child, { type: 'stop' });
  });
}

async function main(): Promise<number> {
  let options: Options | undefined;
  try {
    options = readOptions(process.argv.slice(2));
  } catch (error) {
    console.error(`${messageOf(error)}\n${USAGE}`);
    return 2;
  }
  if (options === undefined) {
    console.log(HELP);
    return 0;
  }
  const demo = new Demo(options);
  let signalExitCode = 0;
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ] as const) {
    process.on(signal, () => {
      signalExitCode ||= 128 + number;
      demo.abort(`stopped by ${signal}`);
    });
  }
  try {
    return await demo.run();
  } catch (error) {
    console.error(messageOf(error));
    return signalExitCode || 1;
  }
}

process.exit(await main());
