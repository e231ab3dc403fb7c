/** The error of a name that a server or registry does not have. */
import { nearestTo } from '../core/options.js';
import { RpcError } from '../rpc/index.js';
import { AdvisedError } from './failure.js';

/** How many known names the advice lists. */
const MAX_NAMES = 20;

/** UNIMPLEMENTED. The advice is the known name that is most like `name`, or else all of them. */
export function unknownName(message: string, name: string, known: readonly string[]): AdvisedError {
  const names = [...new Set(known)];
  const nearest = nearestTo(name, names);
  const list = names.slice(0, MAX_NAMES).join(', ') || 'none';
  const verb = names.length === 1 ? 'is' : 'are';
  return new AdvisedError(
    new RpcError('UNIMPLEMENTED', message, { unsent: true }),
    nearest === undefined
      ? `there ${verb} ${list}${names.length > MAX_NAMES ? ' …' : ''}`
      : `did you mean ${nearest}?`,
  );
}
