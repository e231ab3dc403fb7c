/** Asks a server about itself, through its introspection service. */
import { codeOf } from '../../core/errors.js';
import {
  Admin,
  Introspection,
  type RpcClient,
  type ServerStatus,
  type ServiceDescription,
  type SessionsReport,
} from '../../rpc/index.js';
import { AdvisedError } from '../failure.js';
import {
  readServices,
  readSessions,
  readStatistics,
  type ServedReport,
} from './introspection-answer.js';
import { whenFree } from './overload.js';
import { readStatus } from './status-answer.js';

const NO_INTROSPECTION =
  'it needs the option `introspection: true`; servers of Go have no introspection. ' +
  '`getty call --kind` and `--proto` work without it';

export interface IntrospectionSettings {
  readonly signal: AbortSignal;
}

/** The services of a server, without the introspection itself. Rejects with AdvisedError. */
export async function describeServer(
  client: RpcClient,
  { signal }: IntrospectionSettings,
): Promise<ServiceDescription[]> {
  const stub = client.stub(Introspection);
  const answer = await advised(() => stub.services(undefined, { signal }), signal);
  const services = readServices(answer).filter(({ name }) => name !== Introspection.name);
  const incomplete = [...new Set(services.filter(isIncomplete).map(({ name }) => name))];
  for (const service of incomplete.slice(0, MAX_ASKED)) {
    const again = await advised(() => stub.services({ service }, { signal }), signal);
    for (const described of readServices(again)) {
      const at = services.findIndex(
        ({ name, version }) =>
          name === service && name === described.name && version === described.version,
      );
      if (at >= 0) services[at] = described;
    }
  }
  return services;
}

/** The most services that are asked for again. */
const MAX_ASKED = 100;

/** Whether the answer had no room for a JSON Schema. */
function isIncomplete({ methods }: ServiceDescription): boolean {
  return methods.some(({ input, output }) =>
    [input, output].some((message) => message?.jsonSchemaOmitted === 'too-large'),
  );
}

/** The sessions of a server. Rejects with AdvisedError. */
export async function listSessions(
  client: RpcClient,
  limit: number,
  { signal }: IntrospectionSettings,
): Promise<SessionsReport> {
  const stub = client.stub(Introspection);
  return readSessions(await advised(() => stub.sessions({ limit }, { signal }), signal));
}

/**
 * The calls that a server has served. Those of its introspection are left out, unless
 * `hasIntrospection` is true.
 */
export async function statisticsOfServer(
  client: RpcClient,
  { signal }: IntrospectionSettings,
  hasIntrospection = false,
): Promise<ServedReport> {
  const stub = client.stub(Introspection);
  const answer = await advised(() => stub.statistics({ buckets: true }, { signal }), signal);
  const { since, limits, served } = readStatistics(answer);
  const isOther = ({ service }: { readonly service: string }): boolean =>
    hasIntrospection || service !== Introspection.name;
  return { since, limits, served: served.filter(isOther) };
}

/** The state of a server. Rejects with AdvisedError. */
export async function statusOfServer(
  client: RpcClient,
  { signal }: IntrospectionSettings,
): Promise<ServerStatus> {
  const stub = client.stub(Introspection);
  return readStatus(await advised(() => stub.status(undefined, { signal }), signal));
}

const OTHER_PROTOCOL =
  'the server speaks another protocol: check the address, its port and its scheme';

async function advised<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await whenFree(ask, signal);
  } catch (error) {
    if (isOtherProtocol(error)) throw new AdvisedError(error, OTHER_PROTOCOL);
    throw hasNoIntrospection(error) ? new AdvisedError(error, NO_INTROSPECTION) : error;
  }
}

/** The services that commands use themselves. */
export const isOwnService = (name: string): boolean =>
  name === Introspection.name || name === Admin.name;

/** Whether a server has no such method, because its version is older. */
export function isUnimplemented(thrown: unknown): boolean {
  return codeOf(thrown instanceof AdvisedError ? thrown.error : thrown) === 'UNIMPLEMENTED';
}

/**
 * Whether a server answers without an introspection service. A server of Go ends the session when
 * it does not know the service.
 */
export function hasNoIntrospection(thrown: unknown): boolean {
  const code = codeOf(thrown instanceof AdvisedError ? thrown.error : thrown);
  return code === 'UNIMPLEMENTED' || code === 'UNAVAILABLE';
}

/** Whether `thrown` shows that the server has sent bytes that are no frames of rpc. */
export function isOtherProtocol(thrown: unknown): boolean {
  const error = thrown instanceof AdvisedError ? thrown.error : thrown;
  if (codeOf(error) === 'BAD_FRAME') return true;
  return error instanceof Error && error.cause !== undefined && isOtherProtocol(error.cause);
}
