/**
 * The demo: three providers and a consumer, each a process of its own; one provider is killed and
 * started again, and no call fails. `npm start -- --duration 15s --rate 2000 --json --registry URL`
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseFlags } from '#getty/cli/flags.js';
import { messageOf } from '#getty/core/errors.js';
import { within } from '#getty/core/timers.js';
import { Display } from './display.js';
import type { Figures, FromConsumer, FromProvider, ToChild } from './messages.js';

const PROVIDERS = ['provider-1', 'provider-2', 'provider-3'];
const VICTIM = 'provider-2';
/**
 * A crash is seldom clean: the victim hangs for so long, in ms, before it is killed, so that calls
 * are under way on it.
 */
const HANG = 25;
/**
 * Milliseconds for a process to start, and for the registry to tell of a node that has gone or
 * come. A slow machine needs some.
 */
const START_LIMIT = 30_000;
const STOP_LIMIT = 10_000;
const USAGE = 'usage: npm start -- [--duration 15s] [--rate 2000] [--json] [--registry URL]';
const HELP = `Three providers and a consumer, each a process of its own. One provider is killed and started again, and no call fails.
${USAGE}
  --duration  how long calls are made at least, such as 15s or 2m; from 3s to 1440m; default: 15s
  --rate      calls per second, from 1 to 1000000; default: 2000
  --json      print one JSON object at the end, and nothing else
  --registry  file:///directory, etcd://host:2379/root or zookeeper://host:2181/root; default: a temporary directory
  --help      print this text`;

interface Options {
  /** Milliseconds. */
  duration: number;
  rate: number;
  json: boolean;
  registry: string | undefined;
}

/** Undefined: the user asks for help. */
function readOptions(args: string[]): Options | undefined {
  const values = parseFlags(args, {
    duration: { type: 'string', default: '15s' },
    rate: { type: 'string', default: '2000' },
    json: { type: 'boolean', default: false },
    registry: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  });
  if (values.help) return undefined;
  const [, amount, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(values.duration) ?? [];
  const duration = Number(amount) * { ms: 1, s: 1_000, m: 60_000 }[unit as 'ms' | 's' | 'm'];
  if (!(duration >= 3_000 && duration <= 86_400_000))
    throw new Error(`--duration: given ${values.duration}, expected from 3s to 1440m`);
  const rate = Number(values.rate);
  if (!(rate >= 1 && rate <= 1_000_000))
    throw new Error(`--rate: given ${values.rate}, expected calls per second from 1 to 1000000`);
  if (values.registry?.startsWith('memory:'))
    throw new Error(
      '--registry: given memory:, which other processes do not see; expected file:///directory, etcd://host:2379/root or zookeeper://host:2181/root',
    );
  return { duration, rate, json: values.json, registry: values.registry };
}

class Demo {
  readonly #options: Options;
  readonly #display: Display;
  /** A folder of our own for the registry, when none was given. */
  readonly #folder: string | undefined;
  readonly #registry: string;
  readonly #children = new Map<string, ChildProcess>();
  /** Killed, or about to be: they cannot be asked to end. */
  readonly #dying = new Set<ChildProcess>();
  readonly #events: { at: number; event: string }[] = [];
  #live: readonly string[] = [];
  #began = 0;
  #second = 0;
  #stopping = false;
  /** Called when the registry's list has changed. */
  #onLive: () => void = () => {};
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
    // Without this a child's failure before the race below would end the process unheard.
    interrupted.catch(() => {});
    try {
      this.#display.line(
        `3 providers of TestService v1.0 and a consumer, ${rate} calls/s for ${duration / 1000} s\n` +
          `registry ${withoutPassword(this.#registry)}`,
      );
      await Promise.race([this.#start(), interrupted]);
      const figures = await Promise.race([this.#timeline(), interrupted]);
      this.#report(figures, json);
      return figures.failed === 0 ? 0 : 1;
    } finally {
      await this.stop();
    }
  }

  async #start(): Promise<void> {
    await Promise.all(PROVIDERS.map((name) => this.#startProvider(name)));
    this.#fork('consumer', [String(this.#options.rate)]).on('message', (message: FromConsumer) =>
      this.#onConsumer(message),
    );
    await this.#listed(
      () => this.#live.length === PROVIDERS.length,
      () =>
        tooLate(
          `the consumer saw ${this.#live.length} of ${PROVIDERS.length} providers in the registry`,
        ),
    );
  }

  /**
   * Settles when the consumer's list of nodes meets `condition`. Rejects with `late()` after
   * START_LIMIT.
   */
  async #listed(condition: () => boolean, late: () => Error): Promise<void> {
    const met = new Promise<void>((resolve) => {
      this.#onLive = () => condition() && resolve();
    });
    this.#onLive();
    await within(START_LIMIT, met, late);
    this.#onLive = () => {};
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
      () => tooLate(`${name} did not start`),
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
      const expected = this.#stopping || this.#dying.has(child);
      if (this.#children.get(name) === child) this.#children.delete(name);
      if (!expected)
        this.#interrupt(new Error(`${name} ended by itself with ${signal ?? `exit code ${code}`}`));
    });
    return child;
  }

  /**
   * Begin, kill at a third, start again at two thirds, end. Each step waits until the consumer has
   * seen the one before, so it may come later.
   */
  async #timeline(): Promise<Figures> {
    const third = this.#options.duration / 3;
    const consumer = this.#children.get('consumer') as ChildProcess;
    const done = new Promise<Figures>((resolve) => {
      consumer.on(
        'message',
        (message: FromConsumer) => message.type === 'done' && resolve(message.figures),
      );
    });
    this.#began = performance.now();
    send(consumer, { type: 'start' });
    await this.#sleep(third);
    await this.#kill(VICTIM);
    await this.#sleep(2 * third - (performance.now() - this.#began));
    await this.#listed(
      () => !this.#live.includes(VICTIM),
      () => tooLate(`the registry did not remove ${VICTIM}`),
    );
    // Told first: the consumer may see the node before this process hears that the provider is
    // ready.
    this.#event(`${VICTIM} started again`);
    await this.#startProvider(VICTIM);
    await this.#listed(
      () => this.#live.includes(VICTIM),
      () => tooLate(`the consumer did not see ${VICTIM} again`),
    );
    await this.#sleep(3 * third - (performance.now() - this.#began));
    send(consumer, { type: 'stop' });
    this.#stopping = true;
    return within(START_LIMIT, done, () => tooLate('the consumer did not end'));
  }

  async #kill(name: string): Promise<void> {
    const child = this.#children.get(name) as ChildProcess;
    this.#dying.add(child);
    child.kill('SIGSTOP');
    await this.#sleep(HANG);
    child.kill('SIGKILL');
    this.#event(`${name} killed with SIGKILL`);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
  }

  #onConsumer(message: FromConsumer): void {
    if (message.type === 'nodes') {
      this.#live = message.live;
      if (this.#began > 0) {
        for (const name of message.gone) this.#event(`node gone: ${name}`);
        for (const name of message.back) this.#event(`node back: ${name}`);
      }
      this.#onLive();
    } else if (message.type === 'second') {
      this.#display.second(++this.#second, message.figures, this.#live.length);
    } else if (message.type === 'failure') {
      this.#event(`a call failed: ${message.message}`);
    }
  }

  #event(event: string): void {
    const at = Math.round((performance.now() - this.#began) / 100) / 10;
    this.#events.push({ at, event });
    this.#display.line(`${at.toFixed(1).padStart(5)}s   ${event}`);
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

  /** End every process and remove the folder; whatever state the demo is in. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#display.end();
    for (const child of this.#dying) child.kill('SIGKILL');
    await Promise.all([...this.#children.values()].map(stopChild));
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Stop as run() would have, from a signal. */
  abort(reason: string): void {
    this.#stopping = true;
    this.#interrupt(new Error(reason));
  }
}

function send(child: ChildProcess, message: ToChild): void {
  if (child.connected) child.send(message, () => {});
}

function withoutPassword(url: string): string {
  return url.replace(/\/\/.*@/, '//***@');
}

function tooLate(complaint: string): Error {
  return new Error(`${complaint} within ${START_LIMIT / 1000} s`);
}

/** Ask it to end; end it when it does not. */
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
  let signalled = 0;
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ] as const) {
    process.on(signal, () => {
      signalled ||= 128 + number;
      demo.abort(`stopped by ${signal}`);
    });
  }
  try {
    return await demo.run();
  } catch (error) {
    console.error(messageOf(error));
    return signalled || 1;
  }
}

process.exit(await main());
