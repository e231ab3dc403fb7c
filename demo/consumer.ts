/**
 * The consumer process of the demo: `consumer.js REGISTRY RATE`. It calls at a steady rate and
 * tells how that goes.
 */

import { consume, failover, roundRobin } from 'getty-ts/micro';
import { registry as openRegistry } from 'getty-ts/registry';
import { Histogram } from 'getty-ts/rpc';
import { messageOf } from '#getty/core/errors.js';
import { type Figures, followParent, tell } from './messages.js';
import { TestService } from './test-service.js';

const [url = '', rateText = ''] = process.argv.slice(2);
const rate = Number(rateText);
/** Milliseconds between bursts of calls; short, so that the load is even. */
const PACE = 2;
const REPORT_PERIOD = 1_000;
/** Failures that are told in full; more are only counted. */
const TOLD_FAILURES = 5;

class Load {
  readonly #second = new Histogram();
  readonly #all = new Histogram();
  readonly #totals = { calls: 0, failed: 0, failovers: 0 };
  #last = { calls: 0, failed: 0, failovers: 0 };
  #issued = 0;
  #underWay = 0;
  #began = 0;
  #pace: NodeJS.Timeout | undefined;
  #report: NodeJS.Timeout | undefined;
  #whenDone: (() => void) | undefined;
  readonly #consumer;
  readonly #stubs;

  constructor(registry: Awaited<ReturnType<typeof openRegistry>>) {
    this.#consumer = consume({
      registry,
      balancer: roundRobin(),
      strategy: failover({ attempts: 3, onRetry: () => this.#totals.failovers++ }),
    });
    this.#stubs = [
      this.#consumer.stub(TestService),
      this.#consumer.stub(TestService, { codec: 'json' }),
    ] as const;
    this.#consumer.resolver(TestService).onChange(({ added, removed }, nodes) => {
      tell({
        type: 'nodes',
        live: nodes.map(({ id }) => id),
        gone: removed.map(({ id }) => id),
        back: added.map(({ id }) => id),
      });
    });
  }

  start(): void {
    this.#began = performance.now();
    this.#pace = setInterval(() => this.#issue(), PACE);
    this.#report = setInterval(() => this.#tellSecond(), REPORT_PERIOD);
  }

  #issue(): void {
    const due = ((performance.now() - this.#began) * rate) / 1000;
    while (this.#issued < due) void this.#call(this.#issued++);
  }

  /** Each codec and each method in turn; an answer that is wrong is a failure too. */
  async #call(number: number): Promise<void> {
    const stub = this.#stubs[number % 2 === 0 ? 0 : 1];
    const began = performance.now();
    this.#underWay++;
    try {
      if (number % 4 < 2) {
        const { Sum } = await stub.add({ A: number, B: 1 });
        if (Sum !== number + 1) throw new Error(`Add answered ${Sum} to ${number} + 1`);
      } else {
        const { A } = await stub.test({ A: 'a', B: 'b', C: String(number) });
        if (A !== `a, b, ${number}`) throw new Error(`Test answered ${JSON.stringify(A)}`);
      }
      const latency = performance.now() - began;
      this.#second.add(latency);
      this.#all.add(latency);
    } catch (error) {
      if (this.#totals.failed++ < TOLD_FAILURES)
        tell({ type: 'failure', message: messageOf(error) });
    }
    this.#totals.calls++;
    this.#underWay--;
    if (this.#underWay === 0) this.#whenDone?.();
  }

  #tellSecond(): void {
    const { calls, failed, failovers } = this.#totals;
    const last = this.#last;
    tell({
      type: 'second',
      figures: figures(this.#second, { calls: calls - last.calls, failed, failovers }),
    });
    this.#last = { calls, failed, failovers };
    this.#second.reset();
  }

  /** Issue no more, wait for the answers, tell the sum. */
  async stop(): Promise<void> {
    clearInterval(this.#pace);
    clearInterval(this.#report);
    if (this.#underWay > 0) {
      await new Promise<void>((resolve) => {
        this.#whenDone = resolve;
      });
    }
    tell({ type: 'done', figures: figures(this.#all, this.#totals) });
    await this.#consumer.close();
  }
}

function figures(
  histogram: Histogram,
  counts: Pick<Figures, 'calls' | 'failed' | 'failovers'>,
): Figures {
  return { ...counts, p50: histogram.percentile(0.5), p99: histogram.percentile(0.99) };
}

const registry = await openRegistry(url);
const load = new Load(registry);
followParent(async ({ type }) => {
  if (type === 'start') load.start();
  else {
    await load.stop();
    await registry[Symbol.asyncDispose]();
    process.exit(0);
  }
});
