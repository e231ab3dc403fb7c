/** The data of all views: the histories, and each second the newest state. */
import { messageOf } from '../../../core/errors.js';
import { pause } from '../../../core/timers.js';
import { connect, type RpcClient, type StubOf } from '../../../web/rpc.js';
import { ConsoleContract } from '../contract.js';
import { MAX_EVENTS, MAX_MESSAGE_BYTES, MAX_POINTS } from '../limits.js';
import type { FleetEvent, FleetHistory, FleetMessage, FleetUpdate, Point } from '../types.js';
import { isTokenRefused, keepToken, rpcAddress } from './token.js';

/** Milliseconds between attempts to reach the process again. */
const RETRY_DELAY = 1_000;
/** Milliseconds without a byte of the process, after which it counts as lost. */
const SILENCE_LIMIT = 10_000;

/** The points of a service or a node, one for each time of the store. */
export class History {
  readonly columns: readonly [Values, Values, Values, Values];

  constructor(columns: readonly [Values, Values, Values, Values]) {
    this.columns = columns;
  }

  static empty(length: number): History {
    const column = (): Values => new Array(length).fill(null);
    return new History([column(), column(), column(), column()]);
  }

  add(point: Point): void {
    this.columns.forEach((column, at) => {
      column.push(point[at] ?? null);
      if (column.length > MAX_POINTS) column.shift();
    });
  }
}

type Values = (number | null)[];

export const serviceKey = (name: string, version: string): string => `${name}\n${version}`;

export class FleetStore {
  /** `refused`: the process does not accept the token of the page. */
  state: 'connecting' | 'live' | 'lost' | 'refused' = 'connecting';
  failure = '';
  isAdminAllowed = false;
  update: FleetUpdate | undefined;
  /** Seconds since the epoch, oldest first. */
  times: number[] = [];
  readonly services = new Map<string, History>();
  readonly nodes = new Map<string, History>();
  /** Newest first. */
  readonly events: FleetEvent[] = [];
  readonly #onChange: () => void;
  #client: RpcClient | undefined;

  /** `onChange` is called each second, and when the process is lost. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** The service of the process behind the page. Throws an Error without a connection. */
  get console(): StubOf<typeof ConsoleContract> {
    if (this.#client === undefined) throw new Error('the console is not connected');
    return this.#client.stub(ConsoleContract);
  }

  /** Watches the process, and connects again when it is lost. Does not end. */
  async run(): Promise<void> {
    for (;;) {
      try {
        await this.#follow();
      } catch (error) {
        this.failure = messageOf(error);
      }
      this.#client?.destroy();
      this.#client = undefined;
      this.state = (await isTokenRefused()) ? 'refused' : 'lost';
      this.#onChange();
      await pause(RETRY_DELAY, undefined);
    }
  }

  async #follow(): Promise<void> {
    this.#client = await connect(rpcAddress('ws'), {
      reconnect: false,
      heartbeatPeriod: SILENCE_LIMIT / 2,
      session: { maxMessageBytes: MAX_MESSAGE_BYTES },
      maxDecodedObjects: 1_000_000,
    });
    keepToken();
    for await (const message of this.#client.stub(ConsoleContract).watch()) this.#add(message);
  }

  #add(message: FleetMessage): void {
    if (message.type === 'start') {
      this.isAdminAllowed = message.isAdminAllowed;
      this.times = message.times.map((time) => time / 1_000);
      this.services.clear();
      this.nodes.clear();
      this.events.length = 0;
    } else if (message.type === 'history') this.#addHistory(message);
    else this.#addUpdate(message);
  }

  #addHistory({ service, node, rate, errors, p50, p99 }: FleetHistory): void {
    const history = new History([[...rate], [...errors], [...p50], [...p99]]);
    if (service !== undefined)
      this.services.set(serviceKey(service.name, service.version), history);
    if (node !== undefined) this.nodes.set(node, history);
  }

  #addUpdate(update: FleetUpdate): void {
    this.update = update;
    this.state = 'live';
    for (const event of update.events) this.events.unshift(event);
    this.events.length = Math.min(this.events.length, MAX_EVENTS);
    const time = update.time / 1_000;
    if (time > (this.times.at(-1) ?? 0)) {
      const before = this.times.length;
      this.times.push(time);
      if (this.times.length > MAX_POINTS) this.times.shift();
      addPoints(
        this.services,
        before,
        update.services.map(({ name, version, point }) => [serviceKey(name, version), point]),
      );
      addPoints(
        this.nodes,
        before,
        update.nodes.map(({ key, point }) => [key, point]),
      );
    }
    this.#onChange();
  }
}

function addPoints(
  histories: Map<string, History>,
  length: number,
  points: readonly (readonly [key: string, point: Point])[],
): void {
  const newest = new Map(points);
  for (const key of histories.keys()) if (!newest.has(key)) histories.delete(key);
  for (const [key, point] of newest) {
    let history = histories.get(key);
    if (history === undefined) {
      history = History.empty(length);
      histories.set(key, history);
    }
    history.add(point);
  }
}
