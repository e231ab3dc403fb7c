/** Makes the fault of a cell, and ends it. */
import type { Fault } from '../cell.js';
import type { GridCluster } from '../cluster.js';
import { LINK_FAULTS } from './link-faults.js';
import { PROCESS_FAULTS } from './process-faults.js';
import { REGISTRY_FAULTS } from './registry-faults.js';

/** Resolves when the fault has ended. */
export type MakeFault = (cluster: GridCluster, fault: Fault) => Promise<void>;

export async function makeFault(cluster: GridCluster): Promise<void> {
  const { fault, where } = cluster.cell;
  const faults = where === 'registry' ? REGISTRY_FAULTS : { ...PROCESS_FAULTS, ...LINK_FAULTS };
  const make = faults[fault.kind];
  if (make === undefined)
    throw new Error(`the fault ${fault.kind} is not possible at the ${where}`);
  await make(cluster, fault);
}
