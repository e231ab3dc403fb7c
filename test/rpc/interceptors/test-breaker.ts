/** A circuit breaker with a manual clock and calls that a test settles. */
import {
  type CircuitBreakerOptions,
  circuitBreaker,
  type Invoke,
  type RpcCode,
  RpcError,
} from '../../../src/rpc/index.js';
import { Calls, clientCall } from '../../fixtures/calls.js';
import { outcome } from '../../fixtures/rpc.js';

/** An error with this code. */
export const failure = (code: RpcCode = 'UNAVAILABLE'): RpcError => new RpcError(code, code);

/** A circuit breaker with a manual clock, and the calls behind it. */
export class TestBreaker {
  now = 0;
  readonly calls = new Calls();
  readonly states: string[] = [];
  readonly invoke: Invoke;

  constructor(options: CircuitBreakerOptions = {}) {
    const onState: CircuitBreakerOptions['onState'] = (key, state) =>
      this.states.push(`${key} ${state}`);
    this.invoke = circuitBreaker({
      failures: 3,
      ratio: 0.5,
      window: 1_000,
      openFor: 500,
      onState,
      now: () => this.now,
      ...options,
    })(this.calls.invoke);
  }

  /** Makes a call that ends at once. Returns 'refused' when the circuit refused it. */
  async do(result: RpcError | 'ok' = 'ok', service = 'A'): Promise<string> {
    const at = this.calls.all.length;
    const call = outcome(this.invoke(clientCall({ service })));
    if (this.calls.all.length === at) {
      await call;
      return 'refused';
    }
    if (result === 'ok') this.calls.open(at);
    else this.calls.fail(at, result);
    return call;
  }

  async fail(times: number, service?: string): Promise<void> {
    for (let time = 0; time < times; time++) await this.do(failure(), service);
  }
}
