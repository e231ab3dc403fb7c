/** Asks a server about itself, through its introspection service. */
import { codeOf } from '../../core/errors.js';
import {
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
  const answer = await advised(client.stub(Introspection).services(undefined, { signal }));
  const services = readServices(answer).filter(({ name }) => name !== Introspection.name);
  const incomplete = [...new Set(services.filter(isIncomplete).map(({ name }) => name))];
  for (const service of incomplete.slice(0, MAX_ASKED)) {
    const again = await client.stub(Introspection).services({ service }, { signal });
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
  return readSessions(await advised(client.stub(Introspection).sessions({ limit }, { signal })));
}

/** The calls that a server has served, without those of its introspection. */
export async function statisticsOfServer(
  client: RpcClient,
  { signal }: IntrospectionSettings,
): Promise<ServedReport> {
  const stub = client.stub(Introspection);
  const answer = await advised(stub.statistics({ buckets: true }, { signal }));
  const { since, limits, served } = readStatistics(answer);
  const isOther = ({ service }: { readonly service: string }): boolean =>
    service !== Introspection.name;
  return { since, limits, served: served.filter(isOther) };
}

/** The state of a server. Rejects with AdvisedError. */
export async function statusOfServer(
  client: RpcClient,
  { signal }: IntrospectionSettings,
): Promise<ServerStatus> {
  return readStatus(await advised(client.stub(Introspection).status(undefined, { signal })));
}

const OTHER_PROTOCOL =
  'the server speaks another protocol: check the address, its port and its scheme';

async function advised<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (isOtherProtocol(error)) throw new AdvisedError(error, OTHER_PROTOCOL);
    throw hasNoIntrospection(error) ? new AdvisedError(error, NO_INTROSPECTION) : error;
  }
}

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
