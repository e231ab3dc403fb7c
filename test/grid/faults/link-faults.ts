/** Faults between consumers and providers: of one provider, or of one consumer. */
import type { FaultProxy } from '../../../src/testing/proxy/index.js';
import { elapse } from '../../fixtures/waiting.js';
import type { Fault } from '../cell.js';
import type { GridCluster } from '../cluster.js';
import type { MakeFault } from './index.js';

/** Milliseconds between two resets. */
const RESET_PERIOD = 300;

/** Changes `proxies`, and repairs them after `time`. */
export async function disturb(proxies: readonly FaultProxy[], fault: Fault): Promise<void> {
  if (fault.kind === 'proxy') {
    for (const each of proxies) each.set(fault.faults);
    await elapse(fault.time);
  } else if (fault.kind === 'reset') {
    if (fault.limit !== undefined) for (const each of proxies) each.set({ limit: fault.limit });
    for (let passed = 0; passed < fault.time; passed += RESET_PERIOD) {
      if (fault.limit === undefined) for (const each of proxies) each.reset();
      await elapse(RESET_PERIOD);
    }
  } else if (fault.kind === 'refuse') {
    for (const each of proxies) {
      each.refusing = true;
      each.reset();
    }
    await elapse(fault.time);
  }
  for (const each of proxies) {
    each.refusing = false;
    each.set({});
  }
}

async function disturbLinks({ proxies }: GridCluster, fault: Fault): Promise<void> {
  await disturb(proxies, fault);
}

/** Packets of one direction, or of both, are dropped by the router. */
async function route({ network, cell }: GridCluster, fault: Fault): Promise<void> {
  if (fault.kind !== 'route' || network === undefined) return;
  const [machine, towards] = cell.where === 'client' ? ['c1', 'client'] : ['p1', 'provider'];
  const directions =
    fault.to === 'both'
      ? (['from', 'to'] as const)
      : [fault.to === towards ? ('to' as const) : ('from' as const)];
  for (const direction of directions) await network.drop(direction, machine as string);
  await elapse(fault.time);
  for (const direction of directions) await network.pass(direction, machine as string);
}

export const LINK_FAULTS: Partial<Record<Fault['kind'], MakeFault>> = {
  proxy: disturbLinks,
  reset: disturbLinks,
  refuse: disturbLinks,
  route,
};
