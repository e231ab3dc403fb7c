/** Random calls of one consumer host. */
import type { Consumer } from '../../src/micro/index.js';
import type { CallOptions } from '../../src/rpc/index.js';
import type { Simulation } from '../../src/testing/simulation/index.js';
import { type ConsumerHost, DATAGRAMS } from './cluster.js';
import type { History } from './history.js';
import { Shop, TestService } from './services.js';

/** Milliseconds. */
const LONGEST_TIMEOUT = 3_000;

interface Work {
  readonly name: string;
  readonly isIdempotent: boolean;
  /** Streams need a stream transport, and nested calls use one. */
  readonly isUnary: boolean;
  readonly call: (consumer: Consumer, id: string, options: CallOptions) => Promise<unknown>;
}

async function drain(messages: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of messages);
}

async function* repeat(id: string): AsyncGenerator<string> {
  for (let i = 0; i < 3; i++) yield id;
}

const WORK: readonly Work[] = [
  {
    name: 'read',
    isIdempotent: true,
    isUnary: true,
    call: (consumer, id, options) => consumer.stub(Shop).read(id, options),
  },
  {
    name: 'order',
    isIdempotent: false,
    isUnary: true,
    call: (consumer, id, options) => consumer.stub(Shop).order(id, options),
  },
  {
    name: 'list',
    isIdempotent: false,
    isUnary: false,
    call: (consumer, id, options) => drain(consumer.stub(Shop).list(id, options)),
  },
  {
    name: 'collect',
    isIdempotent: false,
    isUnary: false,
    call: (consumer, id, options) => consumer.stub(Shop).collect(repeat(id), options),
  },
  {
    name: 'relay',
    isIdempotent: false,
    isUnary: false,
    call: (consumer, id, options) => consumer.stub(Shop).relay(id, options),
  },
  {
    name: 'test, Protobuf',
    isIdempotent: true,
    isUnary: true,
    call: (consumer, id, options) => consumer.stub(TestService).test({ A: id }, options),
  },
  {
    name: 'err, Protobuf',
    isIdempotent: false,
    isUnary: true,
    call: (consumer, id, options) => consumer.stub(TestService).err({ A: Number(id) }, options),
  },
];

/** The calls that the consumer with this name can make. */
function workOf(consumer: string): readonly Work[] {
  return consumer === DATAGRAMS ? WORK.filter(({ isUnary }) => isUnary) : WORK;
}

export class Workload {
  readonly #simulation: Simulation;
  readonly #history: History;
  readonly #host: string;

  constructor(simulation: Simulation, history: History, host: string) {
    this.#simulation = simulation;
    this.#history = history;
    this.#host = host;
  }

  /** Makes calls until the time `end`. Call it on the host of the consumer. */
  async run({ consumers }: ConsumerHost, end: number): Promise<void> {
    const { clock, random } = this.#simulation;
    while (clock.now < end) {
      const [strategy, consumer] = random.pick(Object.entries(consumers));
      const work = random.pick(workOf(strategy));
      if (random.chance(0.1)) void this.#note(strategy, consumer);
      void this.#call(work, strategy, consumer);
      await clock.sleep(random.integer(10, 400));
    }
  }

  async #call(work: Work, strategy: string, consumer: Consumer): Promise<void> {
    const { random } = this.#simulation;
    const timeout = random.integer(200, LONGEST_TIMEOUT);
    const { name, isIdempotent } = work;
    const isCancelled = random.chance(0.1);
    const kind = `${name}, ${strategy}${isCancelled ? ', cancelled' : ''}`;
    const call = this.#history.begin({ kind, host: this.#host, isIdempotent }, timeout);
    const controller = new AbortController();
    if (isCancelled) {
      const after = random.integer(0, 200);
      setTimeout(() => controller.abort(), after);
      call.deadline = Math.min(call.deadline, call.startedAt + after);
    }
    try {
      await work.call(consumer, call.id, { timeout, signal: controller.signal });
      this.#history.end(call);
    } catch (error) {
      this.#history.end(call, error);
    }
  }

  /** A oneway call succeeds when it is queued, so its success does not say that it ran. */
  async #note(strategy: string, consumer: Consumer): Promise<void> {
    const kind = `note, ${strategy}`;
    const note = { kind, host: this.#host, isIdempotent: false, isOneway: true };
    const call = this.#history.begin(note, LONGEST_TIMEOUT);
    try {
      await consumer.stub(Shop).note(call.id, { timeout: LONGEST_TIMEOUT });
      this.#history.end(call);
    } catch (error) {
      this.#history.end(call, error);
    }
  }

  /** Calls of each kind, all of which must succeed. Returns what failed. */
  async runAll({ consumers }: ConsumerHost): Promise<string[]> {
    const failures: string[] = [];
    for (const [strategy, consumer] of Object.entries(consumers)) {
      for (const { name, isIdempotent, call } of workOf(strategy)) {
        const kind = `${name}, ${strategy}, after the faults`;
        const recorded = this.#history.begin({ kind, host: this.#host, isIdempotent }, 20_000);
        try {
          await call(consumer, recorded.id, { timeout: 20_000 });
          this.#history.end(recorded);
        } catch (error) {
          this.#history.end(recorded, error);
          failures.push(`${kind} of ${this.#host}: ${error}`);
        }
      }
    }
    return failures;
  }
}
