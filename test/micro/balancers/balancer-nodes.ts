/** Nodes and loads for the tests of balancers. */
import type { NodeLoad, ServiceNode } from '../../../src/micro/types.js';
import type { Call } from '../../../src/rpc/types.js';
import { node } from '../../fixtures/registries.js';

/** A call for balancers that do not read it. */
export const CALL = {} as Call;
/** The load of a node without calls. */
export const idle = (): NodeLoad => ({ inFlight: 0, streams: 0, latency: 0, failureRate: 0 });
/** Nodes with the ids `n0000`, `n0001` and so on. */
export const many = (size: number): readonly ServiceNode[] =>
  Array.from({ length: size }, (_, i) => node(`n${String(i).padStart(4, '0')}`));
/** Nodes with these ids. */
export const some = (...ids: string[]): readonly ServiceNode[] => ids.map((id) => node(id));
