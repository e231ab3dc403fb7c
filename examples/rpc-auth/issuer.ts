/**
 * The issuer of the tokens. In production it is a separate service, and `keys` is the URL of its
 * key set.
 */
import { exportJWK, generateKeyPair, type JSONWebKeySet, SignJWT } from 'jose';

const NAME = 'https://issuer.example';

export async function makeIssuer(): Promise<{
  name: string;
  keys: JSONWebKeySet;
  sign(subject: string, scope: string): Promise<string>;
}> {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const header = { alg: 'ES256', kid: 'this year' };
  return {
    name: NAME,
    // Servers need the public key only.
    keys: { keys: [{ ...(await exportJWK(publicKey)), ...header }] },
    sign: (subject, scope) =>
      new SignJWT({ scope })
        .setProtectedHeader(header)
        .setSubject(subject)
        .setIssuer(NAME)
        .setAudience('vault')
        .setExpirationTime('5 minutes')
        .sign(privateKey),
  };
}
