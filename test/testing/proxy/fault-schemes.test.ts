/** The faults that a proxy has at the schemes of streams and of datagrams. */
import { expect, test } from 'vitest';
import { FAULT_DEFAULTS, type Faults, proxy } from '../../../src/testing/index.js';
import { noLeaks } from '../../fixtures/leaks.js';

noLeaks();

/** Each fault, and the kind of transport that does not have it. */
const FAULTS: Record<keyof Faults, [value: Faults[keyof Faults], missing?: 'tcp' | 'udp']> = {
  latency: [1],
  jitter: [1],
  bandwidth: [1_000],
  slice: [10, 'udp'],
  blocked: [true],
  halfOpen: [true, 'udp'],
  limit: [1_000],
  resetAfter: [60_000],
  loss: [0.5, 'tcp'],
  duplication: [0.5, 'tcp'],
  reordering: [0.5, 'tcp'],
};
const OWNERS = { tcp: 'udp has it', udp: 'tcp, tls, ws, wss, unix have it' };
const CASES = Object.entries(FAULTS).flatMap(([name, [value, missing]]) =>
  (['tcp', 'udp'] as const).map((scheme) => {
    const isRefused = scheme === missing;
    return { name, value, scheme, isRefused, outcome: isRefused ? 'is refused' : 'is a fault' };
  }),
);

test.each(CASES)('$name at $scheme $outcome', async ({ name, value, scheme, isRefused }) => {
  const target = `${scheme}://127.0.0.1:1`;
  await using network = await proxy(target, { ...FAULT_DEFAULTS });
  const message = `${name}: ${scheme}:// does not have this fault; ${OWNERS[scheme]}`;
  for (const faults of [{ [name]: value }, { toClient: { [name]: value } }]) {
    if (isRefused) {
      const refusal = { code: 'BAD_OPTION', message };
      await expect(proxy(target, faults)).rejects.toMatchObject(refusal);
      expect(() => network.set(faults)).toThrow(expect.objectContaining(refusal));
    } else {
      await (await proxy(target, faults)).close();
      network.set(faults);
    }
  }
});
