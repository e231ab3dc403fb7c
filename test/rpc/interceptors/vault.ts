/** A service that needs an identity, for the tests of auth(), bearer() and jwt(). */
import {
  type AuthOptions,
  auth,
  type Credentials,
  contract,
  type Interceptor,
  implement,
  type RpcClientOptions,
  type RpcServerOptions,
  serve,
  serverStream,
  unary,
} from '../../../src/rpc/index.js';
import { connectOnce, freeMemoryAddress, Log } from '../../fixtures/rpc.js';

export const Vault = contract('Vault', {
  whoAmI: unary<void, string>(),
  open: unary<void, string>(),
  coins: serverStream<number, number>(),
});

interface VaultOptions {
  readonly address?: string;
  /** Interceptors of the server before auth(). */
  readonly before?: readonly Interceptor[];
  /** Interceptors of the server after auth(). */
  readonly interceptors?: readonly Interceptor[];
  readonly server?: RpcServerOptions;
  readonly client?: RpcClientOptions;
}

/** Opens a server of Vault with auth() between `before` and `interceptors`, and a client of it. */
export async function openVault(
  options: AuthOptions,
  {
    address = freeMemoryAddress(),
    before = [],
    interceptors = [],
    server: serverOptions,
    client: clientOptions,
  }: VaultOptions = {},
) {
  const log = new Log('the server');
  const service = implement(Vault, {
    whoAmI: (_, context) => context.identity?.subject ?? 'no identity',
    open: () => 'it is open',
    async *coins(count, context) {
      for (let n = 0; n < count; n++) yield context.identity?.subject === 'anna' ? n : -1;
    },
  });
  const server = await serve(address, [service], {
    interceptors: [...before, auth(options), ...interceptors],
    logger: log,
    ...serverOptions,
  });
  const client = await connectOnce(server.address, { ...clientOptions });
  return {
    server,
    client,
    log,
    stub: client.stub(Vault),
    async [Symbol.asyncDispose]() {
      client.destroy();
      server.destroy();
      await Promise.all([client.close(), server.close()]);
    },
  };
}

/** The subjects, by token. */
const TOKENS: Readonly<Record<string, string>> = { sesame: 'anna', swordfish: 'ben' };

/** Identifies a caller by its token. Throws for an unknown token. */
export function byToken({ token }: Credentials): { subject: string } {
  const subject = TOKENS[token ?? ''];
  if (subject === undefined) throw new Error(`${token} is an unknown token`);
  return { subject };
}
