/** The line that reports a failure. */
import { expect, test } from 'vitest';
import { AdvisedError, failureLine } from '../../src/cli/failure.js';
import { GettyError } from '../../src/core/errors.js';
import { RpcError } from '../../src/rpc/index.js';

test('an exceeded deadline names the timeout of the command', () => {
  const error = new RpcError('DEADLINE_EXCEEDED', 'late');
  const advice = (timeout: number): string => failureLine('getty call', error, false, timeout);
  expect(advice(500)).toMatch(/ \(the timeout is 500 ms; give it more time with --timeout\)$/);
  expect(advice(1_500)).toMatch(/ \(the timeout is 1.5 s; give it/);
});

test('the message and the advice of an error are cut, also in JSON', () => {
  const error = new AdvisedError(new Error('m'.repeat(9_000)), 'a'.repeat(9_000));
  const inJson = JSON.parse(failureLine('getty call', error, true));
  expect(inJson.error.message).toHaveLength(2_000);
  expect(inJson.error.advice).toHaveLength(2_000);
  expect(failureLine('getty call', error, false).length).toBeLessThan(4_010);
});

test.each(['CONNECT_FAILED', 'REGISTRY_FAILED'] as const)(
  '%s of an unknown host advises its name',
  (code) => {
    for (const reason of ['getaddrinfo ENOTFOUND localhos', 'getaddrinfo EAI_AGAIN localhos']) {
      const error = new GettyError(code, reason);
      expect(failureLine('getty call', error, false)).toMatch(/\(the host name has no address: /);
    }
    const refused = new GettyError(code, 'connect ECONNREFUSED');
    expect(failureLine('getty call', refused, false)).toMatch(/\(is the (server|registry) /);
  },
);
