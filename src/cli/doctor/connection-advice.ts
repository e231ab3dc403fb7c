/** What to do if a connection fails, by the text of the error of the system. */

const ADVICE: readonly (readonly [pattern: RegExp, advice: string])[] = [
  [/ECONNREFUSED/, 'nothing listens there: start the server, or correct the port'],
  [/ENOTFOUND|EAI_AGAIN/, 'the name has no address: correct the host, or the DNS'],
  [
    /EHOSTUNREACH|ENETUNREACH/,
    'no route leads there: check the network, or --advertise of the node',
  ],
  [
    /ETIMEDOUT|timeout|timed out|within \d/i,
    'a firewall may drop the packets: check it, or --timeout',
  ],
  [/ECONNRESET|socket hang up|closed/i, 'the server ended the connection: is it the right scheme?'],
  [/ENOENT/, 'the socket file does not exist: is the server running?'],
  [/EACCES/, 'this user may not open the socket file'],
  [/ALTNAME|does not match/i, 'the certificate has other names: use one of them, or --server-name'],
  [/EXPIRED|expired/, 'the certificate has expired: renew it on the server'],
  [
    /SELF_SIGNED|self.signed|UNABLE_TO|unable to (?:get|verify)/i,
    'the CA of the certificate is not trusted: give it with --ca',
  ],
  [/certificate required|handshake failure/i, 'the server wants a certificate: --cert and --key'],
  [/wrong version number|packet length/i, 'the server does not use TLS: try tcp:// or ws://'],
];

export function connectionAdvice(error: string): string | undefined {
  return ADVICE.find(([pattern]) => pattern.test(error))?.[1];
}
