/** retry(): the error of a call after several attempts. */
import { describe, expect, test } from 'vitest';
import { type RpcCode, RpcError, retry } from '../../../src/rpc/index.js';
import { clientCall, scripted } from '../../fixtures/calls.js';
import { fakeTime, pass } from '../../fixtures/fake-time.js';
import { rejection } from '../../fixtures/transports.js';

fakeTime();

const failure = (code: RpcCode, unsent = false): RpcError => new RpcError(code, code, { unsent });
const lost = failure('UNAVAILABLE');
const unsent = failure('UNAVAILABLE', true);
const ENOUGH = 60_000;

describe('the error after several attempts', () => {
  const late = failure('DEADLINE_EXCEEDED', true);
  const refused = new RpcError('UNAVAILABLE', 'full', { unsent: true, reason: 'refused' });

  async function lastError(...errors: RpcError[]): Promise<RpcError> {
    const { invoke } = scripted(...errors);
    const failed = rejection<RpcError>(
      retry({ attempts: errors.length })(invoke)(clientCall({ idempotent: true })),
    );
    await pass(ENOUGH);
    return failed;
  }

  test('has `unsent` only if no attempt may have run', async () => {
    expect(await lastError(unsent, refused)).toBe(refused);
    expect(await lastError(lost, unsent, refused)).toMatchObject({
      code: 'UNAVAILABLE',
      message: 'attempt 3: full',
      unsent: false,
      reason: undefined,
    });
    expect(await lastError(refused, lost)).toBe(lost);
  });

  test('at the deadline has the error of the attempt before as its cause', async () => {
    expect(await lastError(late)).toBe(late);
    expect(await lastError(refused, late)).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: 'attempt 2: DEADLINE_EXCEEDED',
      unsent: true,
      cause: refused,
    });
    expect(await lastError(lost, refused, late)).toMatchObject({ unsent: false, cause: refused });
  });
});
