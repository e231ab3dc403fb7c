/**
 * The consumer process of the demo: `consumer.js REGISTRY RATE`. It calls at a constant rate and
 * reports the figures of each second.
 */
import { consume, failover, roundRobin } from 'getty-ts/micro';
import { registry as openRegistry } from 'getty-ts/registry';
import { Histogram } from 'getty-ts/rpc';
import { messageOf } from '#getty/core/errors.js';
import { type Figures, followParent, report } from './messages.js';
import { TestService } from './test-service.js';

const [url = '', rateText = ''] = process.argv.slice(2);
const rate = Number(rateText);
/** Milliseconds between bursts of calls. A short period makes the load even. */
const BURST_PERIOD = 2;
/** Milliseconds. */
const REPORT_PERIOD = 1_000;
/** Failures whose messages are reported; further ones are counted only. */
const REPORTED_FAILURES = 5;

class Load {
  readonly #secondLatency = new Histogram();
  readonly #totalLatency = new Histogram();
  readonly #totals = { calls: 0, failed: 0, failovers: 0 };
  /** `#totals` at the last report. */
  #reported = { calls: 0, failed: 0, failovers: 0 };
  #startedCalls = 0;
  #underWay = 0;
  #startTime = 0;
  #burstTimer: NodeJS.Timeout | undefined;
  #reportTimer: NodeJS.Timeout | undefined;
  #onLastAnswer: (() => void) | undefined;
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
      report({
        type: 'nodes',
        live: nodes.map(({ id }) => id),
        added: added.map(({ id }) => id),
        removed: removed.map(({ id }) => id),
      });
    });
  }

  start(): void {
    this.#startTime = performance.now();
    this.#burstTimer = setInterval(() => this.#startDueCalls(), BURST_PERIOD);
    this.#reportTimer = setInterval(() => this.#reportSecond(), REPORT_PERIOD);
  }

  #startDueCalls(): void {
    const due = ((performance.now() - this.#startTime) * rate) / 1000;
    while (this.#startedCalls < due) void this.#call(this.#startedCalls++);
  }

  /** Uses both codecs and two methods in turn. A wrong answer counts as a failure. */
  async #call(number: number): Promise<void> {
    const stub = this.#stubs[number % 2 === 0 ? 0 : 1];
    const startTime = performance.now();
    this.#underWay++;
    try {
      if (number % 4 < 2) {
        const { Sum } = await stub.add({ A: number, B: 1 });
        if (Sum !== number + 1) throw new Error(`Add answered ${Sum} to ${number} + 1`);
      } else {
        const { A } = await stub.test({ A: 'a', B: 'b', C: String(number) });
        if (A !== `a, b, ${number}`) throw new Error(`Test answered ${JSON.stringify(A)}`);
      }
      const latency = performance.now() - startTime;
      this.#secondLatency.add(latency);
      this.#totalLatency.add(latency);
    } catch (error) {
      if (this.#totals.failed++ < REPORTED_FAILURES)
        report({ type: 'callFailed', message: messageOf(error) });
    }
    this.#totals.calls++;
    this.#underWay--;
    if (this.#underWay === 0) this.#onLastAnswer?.();
  }

  #reportSecond(): void {
    const { calls, failed, failovers } = this.#totals;
    const { calls: reportedCalls } = this.#reported;
    report({
      type: 'second',
      figures: figures(this.#secondLatency, { calls: calls - reportedCalls, failed, failovers }),
    });
    this.#reported = { calls, failed, failovers };
    this.#secondLatency.reset();
  }

  /** Starts no more calls, waits for the answers, and reports the totals. */
  async stop(): Promise<void> {
    clearInterval(this.#burstTimer);
    clearInterval(this.#reportTimer);
    if (this.#underWay > 0) {
      await new Promise<void>((resolve) => {
        this.#onLastAnswer = resolve;
      });
    }
    report({ type: 'done', figures: figures(this.#totalLatency, this.#totals) });
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
