/**
 * Authentication and authorization of callers: by tokens that are signed with ES256, or by client
 * certificates.
 *
 *   npm run example -- rpc-auth                  with tokens
 *   npm run example -- rpc-auth --address tls://127.0.0.1:0 --cert server.pem \
 *     --key server.key.pem --ca authority.pem \
 *     --client-cert client.pem --client-key client.key.pem      with certificates
 */
import { parseArgs } from 'node:util';
import {
  auth,
  bearer,
  connect,
  contract,
  type Identity,
  implement,
  jwt,
  RpcError,
  serve,
  unary,
} from 'getty-ts/rpc';
import { makeIssuer } from './issuer.js';

const { values } = parseArgs({
  options: {
    address: { type: 'string', default: 'tcp://127.0.0.1:0' },
    cert: { type: 'string' },
    key: { type: 'string' },
    ca: { type: 'string' },
    'client-cert': { type: 'string' },
    'client-key': { type: 'string' },
  },
});
const withCertificates = values.ca !== undefined;

const Vault = contract('Vault', { whoAmI: unary<void, string>(), open: unary<void, string>() });

const vault = implement(Vault, {
  whoAmI: (_, { identity }) => `${identity?.subject}`,
  open: (_, { identity }) => `it is open for ${identity?.subject}`,
});

/** The scope that each method requires. A method without one cannot be called. */
const REQUIRED_SCOPES: Readonly<Record<string, string>> = { whoAmI: 'look', open: 'open' };

function scopesOf({ claims }: Identity): string[] {
  const { scope } = claims ?? {};
  return typeof scope === 'string' ? scope.split(' ') : [];
}

async function tryBoth(
  name: string,
  address: string,
  token?: () => Promise<string>,
): Promise<void> {
  const { 'client-cert': cert, 'client-key': key, ca } = values;
  await using client = await connect(address, {
    // Called for each call, so it can renew the token before it expires.
    interceptors: token === undefined ? [] : [bearer(token)],
    tls: withCertificates ? { ca, cert, key } : undefined,
  });
  const stub = client.stub(Vault);
  for (const call of [stub.whoAmI, stub.open]) {
    try {
      console.log(`${name}:`, await call());
    } catch (error) {
      if (error instanceof RpcError) console.log(`${name}:`, error.code, '–', error.message);
    }
  }
}

if (withCertificates) {
  // TLS has verified the certificate before the first call; this reads its subject.
  const guard = auth({
    authenticate({ certificate }) {
      if (certificate === undefined) throw new Error('no certificate');
      return { subject: certificate.commonName };
    },
  });
  const { cert, key, ca } = values;
  await using server = await serve(values.address, [vault], {
    interceptors: [guard],
    tls: { cert, key, ca },
  });
  await tryBoth('certificate', server.address);
} else {
  const issuer = await makeIssuer();
  const guard = auth({
    authenticate: jwt({ keys: issuer.keys, issuer: issuer.name, audience: 'vault' }),
    authorize: ({ identity, method }) =>
      identity !== undefined && scopesOf(identity).includes(REQUIRED_SCOPES[method.name] ?? ''),
  });
  await using server = await serve(values.address, [vault], { interceptors: [guard] });
  await tryBoth('Ann', server.address, () => issuer.sign('Ann', 'look open'));
  await tryBoth('Ben', server.address, () => issuer.sign('Ben', 'look'));
  await tryBoth('no token', server.address);
  const otherIssuer = await makeIssuer();
  await tryBoth('other issuer', server.address, () => otherIssuer.sign('Ann', 'look open'));
}
