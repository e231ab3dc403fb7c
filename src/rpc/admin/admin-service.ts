/** The handlers of the service Admin. */
import { codeOf, isInstance, messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { badOption, show } from '../../core/options.js';
import { implement } from '../contract/contract.js';
import { RpcError } from '../errors.js';
import type { ProviderStatus } from '../metrics/server-status.js';
import type { ServedProvider } from '../served-provider.js';
import type { CallContext, CodecName, Service } from '../types.js';
import {
  Admin,
  type CloseSessionReply,
  type CloseSessionRequest,
  type WeightRequest,
} from './admin.js';

/** What the service changes. */
export interface AdminTarget {
  /** Undefined: the server was started by serve(), and publishes nothing. */
  readonly provider: ServedProvider | undefined;
  readonly logger: Logger;
  /** Begins to close a session. Returns the address of its peer; undefined for an unknown id. */
  closeSession(id: string, now: boolean): string | undefined;
}

/** The most characters of a name or an id in a request. */
const MAX_TEXT = 1_024;
const CODECS: readonly unknown[] = ['json', 'protobuf'] satisfies CodecName[];

/** Returns `services` and Admin. Throws BAD_OPTION when one of `services` has its name. */
export function withAdmin(services: readonly Service[], target: AdminTarget): readonly Service[] {
  // The router throws BAD_OPTION for other invalid services.
  if (!Array.isArray(services)) return services;
  const { name } = Admin;
  if (services.some((service: Service) => service?.contract?.name === name))
    throw badOption('services', name, `other names: ${name} is the admin service`);
  return [...services, adminService(target)];
}

function adminService(target: AdminTarget): Service {
  const log = (action: string, { peer, identity }: CallContext, details: object = {}): void => {
    target.logger.info({ peer, identity: identity?.subject, ...details }, `admin: ${action}`);
  };
  return implement(Admin, {
    drain: (_, context) => {
      const provider = providerOf(target, 'drain');
      log('drain', context);
      return changed(provider, () => provider.drain());
    },
    undrain: (_, context) => {
      const provider = providerOf(target, 'undrain');
      log('undrain', context);
      return changed(provider, () => provider.undrain());
    },
    weight: (request, context) => {
      const provider = providerOf(target, 'weight');
      const { weight, service, version, codec } = readWeight(request);
      log('weight', context, { weight, service, version, codec });
      const entries = service === undefined ? undefined : { service, version, codec };
      return changed(provider, () => provider.setWeight(weight, entries));
    },
    closeSession: (request, context): CloseSessionReply => {
      const { id, now = false } = readCloseSession(request);
      const peer = target.closeSession(id, now);
      if (peer === undefined)
        throw new RpcError('NOT_FOUND', 'this server has no open session with this id');
      log('closeSession', context, { session: id, of: peer, now });
      return { peer };
    },
  });
}

function providerOf({ provider }: AdminTarget, method: string): ServedProvider {
  if (provider !== undefined) return provider;
  throw new RpcError(
    'FAILED_PRECONDITION',
    `${method}: this server publishes nothing in a registry; it was started by serve(), not by provide()`,
  );
}

/** Makes a change of the provider, and resolves with its status then. Rejects with RpcError. */
async function changed(
  provider: ServedProvider,
  change: () => Promise<void>,
): Promise<ProviderStatus> {
  try {
    await change();
  } catch (error) {
    throw asRpcError(error);
  }
  return provider.status();
}

function asRpcError(error: unknown): RpcError {
  if (isInstance(error, RpcError)) return error;
  const message = messageOf(error);
  switch (codeOf(error)) {
    case 'BAD_OPTION':
      return new RpcError('INVALID_ARGUMENT', message, { cause: error });
    case 'ENDPOINT_CLOSED':
      return new RpcError('FAILED_PRECONDITION', message, { cause: error });
    case 'REGISTRY_FAILED':
      return new RpcError('UNAVAILABLE', message, { cause: error });
    default:
      return RpcError.from(error);
  }
}

function readWeight(request: unknown): WeightRequest {
  const { weight, service, version, codec } = fieldsOf(request, [
    'weight',
    'service',
    'version',
    'codec',
  ]);
  // setWeight() of the provider checks the range.
  if (typeof weight !== 'number') throw invalid('weight', weight, 'a whole number');
  if (service !== undefined) checkText('service', service);
  if (version !== undefined) checkText('version', version);
  if (codec !== undefined && !CODECS.includes(codec))
    throw invalid('codec', codec, '"json" or "protobuf"');
  if (service === undefined && (version !== undefined || codec !== undefined))
    throw invalid('service', service, 'a name, because version or codec is given');
  return { weight, service, version, codec } as WeightRequest;
}

function readCloseSession(request: unknown): CloseSessionRequest {
  const { id, now } = fieldsOf(request, ['id', 'now']);
  checkText('id', id);
  if (now !== undefined && typeof now !== 'boolean') throw invalid('now', now, 'true or false');
  return { id, now } as CloseSessionRequest;
}

/** The fields of a request. Throws INVALID_ARGUMENT for what is no object, and for other fields. */
function fieldsOf(request: unknown, names: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof request !== 'object' || request === null || Array.isArray(request))
    throw invalid('the argument', request, `an object with ${names.join(', ')}`);
  const unknown = Object.keys(request).find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new RpcError(
      'INVALID_ARGUMENT',
      `${shown(unknown)} is no field of the argument; the fields are ${names.join(', ')}`,
    );
  return request as Readonly<Record<string, unknown>>;
}

function checkText(name: string, value: unknown): void {
  if (typeof value === 'string' && value.length <= MAX_TEXT) return;
  throw invalid(name, value, `a string of at most ${MAX_TEXT} characters`);
}

function invalid(name: string, given: unknown, expected: string): RpcError {
  return new RpcError('INVALID_ARGUMENT', `${name}: got ${shown(given)}, expected ${expected}`);
}

/** A value of a request for a message, cut at 100 characters. */
function shown(value: unknown): string {
  return show(typeof value === 'string' ? value.slice(0, 100) : value);
}
