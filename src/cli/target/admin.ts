/** Changes the provider of a server, through its admin service. */
import { codeOf } from '../../core/errors.js';
import { Admin, type ProviderStatus, type RpcClient, type WeightRequest } from '../../rpc/index.js';
import { AdvisedError } from '../failure.js';
import { whenFree } from './overload.js';
import { readProviderStatus } from './status-answer.js';

export const NODE_ACTIONS = ['drain', 'undrain', 'weight'] as const;

const ADVICE: Readonly<Record<string, string>> = {
  UNIMPLEMENTED: 'it needs the option `admin: true`; servers of Go have no admin service',
  // A server of Go ends the session when it does not know the service.
  UNAVAILABLE: 'is its registry there? `getty doctor ADDRESS` shows the state of the provider',
  INVALID_ARGUMENT: '`getty ls REGISTRY` shows the entries of the provider',
  PERMISSION_DENIED: 'the server does not allow this caller to change it; is it the right --token?',
};

/** The change that a command asks for. */
export type NodeChange =
  | { readonly action: 'drain' | 'undrain' }
  | { readonly action: 'weight'; readonly request: WeightRequest };

/** Makes the change. Resolves with the status after it. Rejects with AdvisedError. */
export async function changeNode(
  client: RpcClient,
  change: NodeChange,
  { signal }: { readonly signal: AbortSignal },
): Promise<ProviderStatus> {
  const stub = client.stub(Admin);
  try {
    const ask = (): Promise<ProviderStatus> =>
      change.action === 'weight'
        ? stub.weight(change.request, { signal })
        : stub[change.action](undefined, { signal });
    return readProviderStatus(await whenFree(ask, signal));
  } catch (error) {
    const advice = ADVICE[codeOf(error) ?? ''];
    throw advice === undefined ? error : new AdvisedError(error, advice);
  }
}
