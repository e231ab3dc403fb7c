/** The calls of a consumer of the grid, and their log. */
import { openSync, writeSync } from 'node:fs';
import { now, Shop, sleep } from './shop.mjs';

const LONGEST_TIMEOUT = 2_000;
/** Milliseconds: a timer that is later than this tells of a stalled process. */
const STALL = 10;
const TIMER_PERIOD = 20;

async function expectCounting(messages, expected) {
  let next = 0;
  for await (const message of messages) {
    if (message !== next++) throw new Error(`got message ${message}, expected ${next - 1}`);
  }
  if (next !== expected) throw new Error(`got ${next} messages, expected ${expected}`);
}

function expectEqual(actual, expected) {
  if (actual !== expected) throw new Error(`got the answer ${actual}, expected ${expected}`);
}

async function* repeat(id, times, pause) {
  for (let i = 0; i < times; i++) {
    if (i > 0) await sleep(pause);
    yield id;
  }
}

/** `messages` and `pause` are those of the streams. */
export function kindsOfCalls({ messages, pause }) {
  return {
    read: async (stub, id, options) => expectEqual(await stub.read(id, options), id),
    order: async (stub, id, options) => expectEqual(await stub.order(id, options), id),
    note: (stub, id, options) => stub.note(id, options),
    list: (stub, id, options) => expectCounting(stub.list(id, options), messages),
    collect: async (stub, id, options) =>
      expectEqual(await stub.collect(repeat(id, messages, pause), options), messages),
    chat: (stub, id, options) =>
      expectCounting(stub.chat(repeat(id, messages, pause), options), messages),
  };
}

export class Load {
  #name;
  #stubs;
  #kinds;
  #file;
  #settings;
  #count = 0;
  #open = new Set();
  #timers = [];

  /** `clients`: consumers by the name of their strategy. */
  constructor(name, clients, settings) {
    this.#name = name;
    this.#settings = settings;
    this.#file = openSync(settings.log, 'a');
    this.#stubs = Object.entries(clients).map(([strategy, client]) => [
      strategy,
      client.stub(Shop),
    ]);
    const all = kindsOfCalls(settings);
    this.#kinds = settings.kinds.map((kind) => [kind, all[kind]]);
    this.#watchStalls();
  }

  log(...fields) {
    writeSync(this.#file, `${fields.join(' ')}\n`);
  }

  #watchStalls() {
    let last = now();
    setInterval(() => {
      const time = now();
      if (time - last > TIMER_PERIOD + STALL) this.log('stall', last, time);
      last = time;
    }, TIMER_PERIOD);
  }

  /** Makes a random call each `period` milliseconds. */
  start(period) {
    const pick = (items) => items[Math.floor(Math.random() * items.length)];
    const { shortestTimeout, longestTimeout = LONGEST_TIMEOUT } = this.#settings;
    const spread = longestTimeout - shortestTimeout;
    this.#timers.push(
      setInterval(() => {
        const timeout = Math.ceil(shortestTimeout + Math.random() * spread);
        void this.#call(pick(this.#stubs), pick(this.#kinds), timeout);
      }, period),
    );
  }

  /** Makes no more calls, and waits for the outcomes. */
  async stop() {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    await Promise.all(this.#open);
  }

  /** One call of each kind and strategy, `times` times. Resolves with the failures. */
  async probe(times, timeout) {
    const calls = [];
    for (let i = 0; i < times; i++)
      for (const stub of this.#stubs)
        for (const kind of this.#kinds) calls.push(this.#call(stub, kind, timeout, 'probe '));
    return (await Promise.all(calls)).filter((failure) => failure !== undefined);
  }

  #call([strategy, stub], [kind, call], timeout, prefix = '') {
    const id = `${this.#name}-${++this.#count}`;
    const settling = this.#settle(`${prefix}${kind}`, strategy, id, timeout, () =>
      call(stub, id, { timeout }),
    );
    this.#open.add(settling);
    void settling.then(() => this.#open.delete(settling));
    return settling;
  }

  /** Resolves with the failure, if the call fails. */
  async #settle(kind, strategy, id, timeout, call) {
    this.log('begin', id, now(), timeout, strategy, kind);
    try {
      await call();
      this.log('end', id, now(), 'OK', false);
      return undefined;
    } catch (error) {
      const code = error?.code ?? `WRONG_ANSWER:${String(error).replaceAll(/\s+/g, '_')}`;
      this.log('end', id, now(), code, error?.unsent === true);
      return `${kind}, ${strategy}: ${error}`;
    }
  }
}
