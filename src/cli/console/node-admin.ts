/** Changes a node for the page. */
import { codeOf, messageOf, RPC_CODES } from '../../core/errors.js';
import { RpcError } from '../../rpc/index.js';
import { AdvisedError } from '../failure.js';
import { changeNode, type NodeChange } from '../target/admin.js';
import type { Terminal } from '../terminal.js';
import type { FleetNode } from './fleet/fleet-node.js';
import { MAX_WEIGHT } from './limits.js';
import type { AdminRequest } from './types.js';

/** Rejects with INVALID_ARGUMENT, UNAVAILABLE, UNIMPLEMENTED, and as the node does. */
export async function applyChange(
  { client, reason }: FleetNode,
  request: AdminRequest,
  terminal: Terminal,
): Promise<void> {
  if (client === undefined) throw new RpcError('UNAVAILABLE', reason || 'it was not asked yet');
  try {
    await changeNode(client, changeOf(request), terminal);
  } catch (error) {
    if (!(error instanceof AdvisedError)) throw error;
    const code = RPC_CODES.find((each) => each === codeOf(error.error)) ?? 'UNKNOWN';
    throw new RpcError(code, `${messageOf(error)} (${error.advice})`);
  }
}

/** Throws INVALID_ARGUMENT. */
function changeOf({ action, weight }: AdminRequest): NodeChange {
  if (action === 'drain' || action === 'undrain') return { action };
  if (action !== 'weight')
    throw new RpcError('INVALID_ARGUMENT', 'the actions are drain, undrain and weight');
  if (typeof weight === 'number' && Number.isInteger(weight) && weight >= 0 && weight <= MAX_WEIGHT)
    return { action, request: { weight } };
  throw new RpcError('INVALID_ARGUMENT', `weight: expected a whole number up to ${MAX_WEIGHT}`);
}
