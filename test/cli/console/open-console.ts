/** Starts `getty console` within the test, and asks it as its page does. */
import type { ConsoleContract } from '../../../src/cli/console/contract.js';
import { ConsoleContract as contract } from '../../../src/cli/console/contract.js';
import type { FleetEvent, FleetMessage, FleetUpdate } from '../../../src/cli/console/types.js';
import type { Terminal } from '../../../src/cli/terminal.js';
import { connect, type RpcClient, type StubOf } from '../../../src/rpc/index.js';
import { within } from '../../fixtures/waiting.js';
import { type RunningCommand, startGetty } from '../run-getty.js';

export interface OpenConsole extends AsyncDisposable {
  readonly running: RunningCommand;
  /** What the command has printed: the address of the page, with its token. */
  readonly url: string;
  readonly origin: string;
  /** The path of the WebSocket, with the token if there is one. */
  readonly rpcPath: string;
  /** Connects as the page does. */
  connect(): Promise<PageClient>;
}

interface PageClient extends Disposable {
  readonly client: RpcClient;
  readonly stub: StubOf<typeof ConsoleContract>;
}

interface OpenSettings {
  readonly environment?: Readonly<Record<string, string>>;
}

export async function openConsole(
  target: string,
  args: readonly string[] = [],
  { environment = {} }: OpenSettings = {},
): Promise<OpenConsole> {
  const running = startGetty(
    ['console', target, '--json', ...(args.includes('--open') ? [] : ['--no-open']), ...args],
    { environment },
  );
  const early = running.ended.then(() => {
    throw new Error(`the console has ended: ${running.stderr.text}`);
  });
  early.catch(() => {});
  const { url } = JSON.parse(await Promise.race([running.lines.next(), early])) as { url: string };
  const { origin, host, search } = new URL(url);
  const rpcPath = `/rpc${search}`;
  return {
    running,
    url,
    origin,
    rpcPath,
    async connect() {
      const client = await connect(`ws://${host}${rpcPath}`, {
        reconnect: false,
        session: { maxMessageBytes: 2 ** 23 },
        websocket: { headers: { Origin: origin } },
      });
      return { client, stub: client.stub(contract), [Symbol.dispose]: () => client.destroy() };
    },
    async [Symbol.asyncDispose]() {
      running.interrupt();
      await within(running.ended, () => `the end of the console: ${running.stderr.text}`);
    },
  };
}

/** The messages of one watch. */
export class Watch implements Disposable {
  readonly messages: FleetMessage[] = [];
  readonly events: FleetEvent[] = [];
  readonly #iterator: AsyncIterator<FleetMessage>;
  readonly #abort: AbortController;

  private constructor(iterator: AsyncIterator<FleetMessage>, abort: AbortController) {
    this.#iterator = iterator;
    this.#abort = abort;
  }

  static open(stub: StubOf<typeof ConsoleContract>): Watch {
    const abort = new AbortController();
    const messages = stub.watch(undefined, { signal: abort.signal });
    return new Watch(messages[Symbol.asyncIterator](), abort);
  }

  async next(): Promise<FleetMessage> {
    const { done, value } = await within(
      this.#iterator.next(),
      () => `a message of the watch after ${JSON.stringify(this.events)}`,
    );
    if (done === true) throw new Error('the watch has ended');
    this.messages.push(value);
    if (value.type === 'update') this.events.push(...value.events);
    return value;
  }

  /** The first update for which `condition` holds, from the next one on. */
  async until(condition: (update: FleetUpdate) => boolean): Promise<FleetUpdate> {
    for (;;) {
      const message = await this.next();
      if (message.type === 'update' && condition(message)) return message;
    }
  }

  /** Waits for an event, which may have happened. */
  async event(text: RegExp): Promise<FleetEvent> {
    for (;;) {
      const found = this.events.find((event) => text.test(event.text));
      if (found !== undefined) return found;
      await this.next();
    }
  }

  [Symbol.dispose](): void {
    this.#abort.abort();
  }
}

/** A terminal without input, whose output is lost. */
export function startTerminal(): Terminal {
  const lost = { write: () => true, once() {}, off() {} };
  return {
    input: (async function* () {})(),
    output: lost,
    errors: lost,
    signal: new AbortController().signal,
    environment: {},
  };
}

export const stateOf = (update: FleetUpdate, id: string): string | undefined =>
  update.nodes.find((node) => node.id === id)?.state;
