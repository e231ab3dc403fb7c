/** Reads certificates and private keys in the PEM format. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { messageOf } from '../../core/errors.js';
import { badOption } from '../../core/options.js';

const PEM_BEGIN = '-----BEGIN ';

/** Whether the value of an option is the path of a PEM file, not the PEM text. */
export function isPemPath(given: unknown): given is string {
  return typeof given === 'string' && !given.includes(PEM_BEGIN);
}

/** Text that may be a key in a format other than PEM. It must not be shown as a path. */
const LIKE_A_SECRET = /\n|^[\w+/=-]{100,}$/;

/**
 * The PEM text or bytes of the option `name`; a path is read. `check` throws if the content is
 * not of the expected kind. Throws BAD_OPTION.
 */
export function readPem(
  name: string,
  given: string | Buffer | undefined,
  check: (pem: string | Buffer) => void,
): string | Buffer | undefined {
  const expected = 'PEM text or bytes, or the path of a PEM file';
  if (given === undefined) return undefined;
  if (typeof given !== 'string' && !Buffer.isBuffer(given)) throw badOption(name, given, expected);
  const isPath = isPemPath(given);
  const mayBeSecret = isPath && LIKE_A_SECRET.test(given);
  try {
    const pem = isPath ? readFileSync(given) : given;
    if (!pem.includes(PEM_BEGIN)) throw new Error('it is not PEM');
    check(pem);
    return pem;
  } catch (error) {
    // Messages of OpenSSL have no secrets, but messages of the file system repeat the path.
    const reason = mayBeSecret ? 'it is neither PEM nor a file' : messageOf(error);
    throw badOption(
      name,
      isPath && !mayBeSecret ? given : 'text or bytes',
      `${expected}, that can be read: ${reason}`,
    );
  }
}

/** The error codes of Node.js and OpenSSL for an encrypted key without a password. */
const PASSPHRASE_REQUIRED: readonly unknown[] = [
  'ERR_MISSING_PASSPHRASE',
  'ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED',
];

/**
 * Throws if `pem` is not a private key, or if `passphrase` does not decrypt it. OpenSSL decides
 * whether the key is encrypted; a comment in the file may contain the same words.
 */
export function checkPrivateKey(pem: string | Buffer, passphrase: string | undefined): void {
  try {
    createPrivateKey({ key: pem, passphrase });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw passphrase === undefined && PASSPHRASE_REQUIRED.includes(code)
      ? new Error('it is encrypted, and tls.passphrase is not given')
      : error;
  }
}

/**
 * Throws if `pem` has no certificate or an invalid one. Other content is allowed. Node.js itself
 * accepts a CA file without a certificate, and ignores an invalid certificate and all after it.
 */
export function checkCertificates(pem: string | Buffer): void {
  const blocks = String(pem)
    .split(/^(?=-----BEGIN )/m)
    .filter((block) => /^-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/.test(block));
  if (blocks.length === 0) throw new Error('it has no certificate');
  for (const block of blocks) new X509Certificate(block);
}
