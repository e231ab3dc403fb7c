/** The services that a request of the introspection names. */
import { RpcError } from '../errors.js';
import type { Service } from '../types.js';

/**
 * The services with the name `wanted`, which a peer has sent; all if it is undefined. Throws
 * INVALID_ARGUMENT or NOT_FOUND.
 */
export function selectServices(services: readonly Service[], wanted: unknown): readonly Service[] {
  if (wanted === undefined) return services;
  if (typeof wanted !== 'string')
    throw new RpcError('INVALID_ARGUMENT', 'service: expected the name of a service');
  const selected = services.filter(({ contract }) => contract.name === wanted);
  if (selected.length > 0) return selected;
  throw new RpcError('NOT_FOUND', 'service: this server has no service of that name');
}
