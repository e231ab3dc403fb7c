/** Checks one server: its name, connection, certificate, answer and state. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { codeOf, messageOf } from '../../core/errors.js';
import type { RpcClient, ServiceDescription } from '../../rpc/index.js';
import { AdvisedError } from '../failure.js';
import { type ConnectionOptions, isEncrypted } from '../target/connection-options.js';
import { describeServer, isOtherProtocol } from '../target/introspection.js';
import { connectTo } from '../target/server-connection.js';
import type { Terminal } from '../terminal.js';
import { checkCertificate } from './certificate.js';
import { type Check, failed, ok, type Report, warning } from './check.js';
import { connectionAdvice } from './connection-advice.js';
import { checkStatus, type StatusChecks } from './status-checks.js';
import { checkTraffic } from './traffic-checks.js';

/** Makes all checks of one address, and reports each of them. */
export async function checkServer(
  address: string,
  options: ConnectionOptions,
  terminal: Terminal,
  report: Report,
): Promise<void> {
  const host = hostOf(address);
  if (host !== undefined && isIP(host) === 0) await report(await checkName(host));
  const start = performance.now();
  let client: RpcClient;
  try {
    client = await connectTo(address, options, terminal);
  } catch (error) {
    if (terminal.signal.aborted || codeOf(error) === 'BAD_ADDRESS') throw error;
    await report(failed('connection', messageOf(error), connectionAdvice(messageOf(error))));
    if (isEncrypted(address)) await report(await checkCertificate(address, options));
    return;
  }
  try {
    await report(ok('connection', `made in ${(performance.now() - start).toFixed(1)} ms`));
    if (isEncrypted(address)) await report(await checkCertificate(address, options));
    const { checks } = await checkAnswers(client, terminal);
    for (const check of checks) await report(check);
  } finally {
    client.destroy();
  }
}

export interface Answers extends StatusChecks {
  /** Undefined: the server does not tell them. */
  readonly services: readonly ServiceDescription[] | undefined;
}

/** Asks a server for its services and its state. */
export async function checkAnswers(client: RpcClient, terminal: Terminal): Promise<Answers> {
  const start = performance.now();
  try {
    const services = await describeServer(client, terminal);
    const time = (performance.now() - start).toFixed(1);
    const names = services.map(({ name, version }) => `${name} ${version}`.trim()).join(', ');
    const checks = [ok('answer', `in ${time} ms; services: ${names || 'none'}`)];
    const status = await checkStatus(client, terminal);
    const traffic = await checkTraffic(client, terminal);
    return { ...status, checks: [...checks, ...status.checks, ...traffic], services };
  } catch (error) {
    if (terminal.signal.aborted) throw error;
    return { checks: [answerCheck(error)], services: undefined };
  }
}

function answerCheck(thrown: unknown): Check {
  const error = thrown instanceof AdvisedError ? thrown.error : thrown;
  const message = messageOf(error);
  if (isOtherProtocol(error))
    return failed(
      'answer',
      message,
      'another program listens there: check the port and the scheme',
    );
  switch (codeOf(error)) {
    case 'UNIMPLEMENTED':
      return warning(
        'answer',
        'it answers, and has no introspection',
        'with the option introspection: true the other commands show more',
      );
    case 'UNAVAILABLE':
      return warning(
        'answer',
        `it ended the connection: ${message}`,
        'a server of Go does so for a service that it does not know; other programs for any call',
      );
    case 'UNAUTHENTICATED':
    case 'PERMISSION_DENIED':
      return failed('answer', message, 'give a token that may call getty.Introspection: --token');
    case 'DEADLINE_EXCEEDED':
      return failed('answer', message, 'does the server speak the rpc of getty? is it busy?');
    default:
      return failed('answer', message, thrown instanceof AdvisedError ? thrown.advice : undefined);
  }
}

async function checkName(host: string): Promise<Check> {
  try {
    const found = await lookup(host, { all: true });
    return ok('name', `${host} is ${found.map(({ address }) => address).join(', ')}`);
  } catch (error) {
    return failed('name', messageOf(error), connectionAdvice(messageOf(error)));
  }
}

/** The host of an address; undefined if it has none, such as a Unix socket. */
export function hostOf(address: string): string | undefined {
  const [, ipv6, host] =
    /^(?:tcp|tls|udp|wss?):\/\/(?:[^/?#@]*@)?(?:\[([^\]]*)\]|([^:/?#]+))/.exec(address) ?? [];
  return ipv6 ?? host;
}
