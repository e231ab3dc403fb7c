/** The line that reports a failure. */
import { expect, test } from 'vitest';
import { AdvisedError, failureLine } from '../../src/cli/failure.js';

test('the message and the advice of an error are cut, also in JSON', () => {
  const error = new AdvisedError(new Error('m'.repeat(9_000)), 'a'.repeat(9_000));
  const inJson = JSON.parse(failureLine('getty call', error, true));
  expect(inJson.error.message).toHaveLength(2_000);
  expect(inJson.error.advice).toHaveLength(2_000);
  expect(failureLine('getty call', error, false).length).toBeLessThan(4_010);
});
