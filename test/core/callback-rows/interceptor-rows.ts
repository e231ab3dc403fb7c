/** The callbacks of the ready interceptors. */
import {
  adaptiveLimit,
  auth,
  bearer,
  circuitBreaker,
  type Interceptor,
  jwt,
  logging,
  rateLimit,
  retry,
} from '../../../src/rpc/index.js';
import { once } from './failures.js';
import { testCall, unavailableOnce } from './numbers-service.js';
import type { Reports } from './reports.js';
import type { Row, Rows } from './row.js';

const SILENT = { info() {}, warn() {} };

const testClient = (reports: Reports, interceptor: Interceptor): Promise<void> =>
  testCall(reports, { client: { interceptors: [interceptor] } });

const testServer = (reports: Reports, interceptor: Interceptor): Promise<void> =>
  testCall(reports, { server: { interceptors: [interceptor] } });

/** The first call fails with UNAVAILABLE, which is not a report. */
const testFailedCall = (reports: Reports, interceptor: Interceptor): Promise<void> =>
  testCall(reports, {
    client: { interceptors: [interceptor] },
    handlers: { double: unavailableOnce() },
    call: (stub) => stub.double(1).catch(() => {}),
  });

/** A clock that advances by one minute at each call, so that an open circuit closes at once. */
function minuteClock(): () => number {
  let now = 0;
  return () => {
    now += 60_000;
    return now;
  };
}

const jsonPart = (value: object): string =>
  Buffer.from(JSON.stringify(value)).toString('base64url');
const TOKEN = [
  jsonPart({ alg: 'RS256', kid: 'a' }),
  jsonPart({ sub: 'a', iss: 'i', aud: 'b', exp: 4e9 }),
  'AAAA',
].join('.');

const authenticateRow: Row = (fail, reports) =>
  testServer(reports, auth({ authenticate: once(fail, () => ({ subject: 'a' })) }));

const jwtKeysRow: Row = (fail, reports) => {
  const authenticate = jwt({ keys: once(fail, () => ({ keys: [] })), issuer: 'i', audience: 'b' });
  return reports.rejection(() =>
    authenticate({
      token: TOKEN,
      metadata: {},
      certificate: undefined,
      request: undefined,
      peer: 'p',
    }),
  );
};

export const INTERCEPTOR_ROWS: Rows = {
  'AuthOptions.authenticate': authenticateRow,
  Authenticate: authenticateRow,
  'AuthOptions.authorize': (fail, reports) =>
    testServer(
      reports,
      auth({ authenticate: () => ({ subject: 'a' }), authorize: once(fail, () => true) }),
    ),
  'bearer(token)': (fail, reports) => testClient(reports, bearer(once(fail, () => 'token'))),
  'JwtOptions.keys': jwtKeysRow,
  JwtKeys: jwtKeysRow,
  'CircuitBreakerOptions.key': (fail, reports) =>
    testClient(reports, circuitBreaker({ key: once(fail, () => 'k') })),
  'CircuitBreakerOptions.isFailure': (fail, reports) =>
    testFailedCall(reports, circuitBreaker({ isFailure: once(fail, () => false) })),
  'CircuitBreakerOptions.onState': (fail, reports) =>
    testFailedCall(
      reports,
      circuitBreaker({ failures: 1, ratio: 0.1, now: minuteClock(), onState: once(fail) }),
    ),
  'CircuitBreakerOptions.now': (fail, reports) =>
    testClient(reports, circuitBreaker({ now: once(fail, () => performance.now()) })),
  'AdaptiveLimitOptions.priority': (fail, reports) =>
    testCall(reports, {
      server: {
        interceptors: [
          adaptiveLimit({ initialLimit: 1, maxLimit: 1, priority: once(fail, () => 5) }),
        ],
      },
      // The second call waits for the first.
      call: (stub) => Promise.all([stub.double(1), stub.double(1)]),
    }),
  'RateLimitOptions.key': (fail, reports) =>
    testClient(reports, rateLimit({ key: once(fail, () => 'k') })),
  'RateLimitOptions.now': (fail, reports) =>
    testClient(reports, rateLimit({ now: once(fail, () => performance.now()) })),
  'LoggingOptions.details': (fail, reports) =>
    testClient(reports, logging({ logger: SILENT, details: once(fail, () => ({})) })),
  'LoggingOptions.now': (fail, reports) =>
    testClient(reports, logging({ logger: SILENT, now: once(fail, () => performance.now()) })),
  'RetryOptions.onRetry': (fail, reports) =>
    testCall(reports, {
      client: { interceptors: [retry({ initialDelay: 1, onRetry: once(fail) })] },
      handlers: { double: unavailableOnce() },
    }),
};
