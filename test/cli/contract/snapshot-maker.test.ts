/** Snapshots of described services. */
import { expect, test } from 'vitest';
import { makeSnapshot } from '../../../src/cli/contract/snapshot-maker.js';

test('services with more fields than a snapshot may have are refused', () => {
  const fields = Array.from({ length: 2_000 }, (_, at) => ({
    name: `f${at}`,
    number: at + 1,
    type: 'int32' as const,
  }));
  const input = { vendor: 'protobuf', type: 'M', fields };
  const services = Array.from({ length: 200 }, (_, at) => ({
    name: `s${at}`,
    version: '',
    codecs: ['protobuf' as const],
    methods: [{ name: 'm', kind: 'unary' as const, idempotent: false, input }],
  }));
  expect(makeSnapshot(services.slice(0, 100)).services).toHaveLength(100);
  expect(() => makeSnapshot(services)).toThrow(/more than 300000 Protobuf fields/);
});
