/** The callbacks of the adapters. */
import type { Tracer } from '@opentelemetry/api';
import { Registry as MetricsRegistry } from 'prom-client';
import { expect } from 'vitest';
import { tracing } from '../../../src/adapters/opentelemetry/index.js';
import { rpcMetrics } from '../../../src/adapters/prometheus/index.js';
import { once } from './failures.js';
import { testCall } from './numbers-service.js';
import type { Rows } from './row.js';

export const ADAPTER_ROWS: Rows = {
  async 'StatisticsSource.statistics'(fail) {
    const register = new MetricsRegistry();
    using metrics = rpcMetrics({ register });
    metrics.add('a', {
      statistics: once(fail, () => ({ since: 0, calls: [], served: [], peers: [] })),
    });
    expect(await register.metrics()).toContain('getty_rpc_sessions');
  },
  'a span of TracingOptions.tracer': (fail, reports) => {
    const span = {
      isRecording: () => true,
      spanContext: () => ({}),
      setAttribute() {},
      setStatus() {},
      end: once(fail),
    };
    const tracer = { startSpan: () => span } as unknown as Tracer;
    return testCall(reports, { client: { interceptors: [tracing({ tracer })] } });
  },
};
