/** Checks a registry, and the nodes that it has. */
import { messageOf } from '../../core/errors.js';
import { redactUrl } from '../../core/redact.js';
import { untilAborted } from '../../core/signals.js';
import type { ServiceNode } from '../../micro/index.js';
import type { ConnectionOptions } from '../target/connection-options.js';
import { inParallel } from '../target/dial.js';
import { openQuietRegistry } from '../target/published-nodes.js';
import { connectTo } from '../target/server-connection.js';
import type { Terminal } from '../terminal.js';
import { type Check, failed, ok, type Report, unknown, warning } from './check.js';
import { connectionAdvice } from './connection-advice.js';
import { checkEntries } from './entry-checks.js';
import { checkAnswers } from './server-checks.js';
import { EVENT_LOOP, MEASURE_AGAIN } from './status-checks.js';

/** The most addresses that are connected to. */
const MAX_ADDRESSES = 500;
/** The most nodes that one check names. */
const MAX_NAMES = 20;

/** Makes all checks of a registry, and reports each of them. */
export async function checkRegistry(
  url: string,
  options: ConnectionOptions,
  terminal: Terminal,
  report: Report,
): Promise<void> {
  // A URL that is wrong is an error of the command line, and not of the registry.
  await using registry = await openQuietRegistry(url);
  const start = performance.now();
  let nodes: readonly ServiceNode[];
  try {
    nodes = await untilAborted(registry.list(), terminal.signal);
  } catch (error) {
    if (terminal.signal.aborted) throw error;
    await report(failed('registry', messageOf(error), registryAdvice(messageOf(error))));
    return;
  }
  const time = (performance.now() - start).toFixed(1);
  if (nodes.length === 0) {
    const advice = 'the root or directory may be wrong; or no provider runs with it';
    await report(failed('registry', `it has no entries; read in ${time} ms`, advice));
    return;
  }
  await report(ok('registry', `${nodes.length} entries, read in ${time} ms`));
  for (const check of checkEntries(nodes)) await report(check);
  const addresses = [...byAddress(nodes)];
  const results = await inParallel(addresses.slice(0, MAX_ADDRESSES), ([address, entries]) =>
    checkNode(address, entries, options, terminal),
  );
  for (const check of mergeUnknown(results.flat())) await report(check);
  if (addresses.length > MAX_ADDRESSES)
    await report(warning('nodes', `${addresses.length - MAX_ADDRESSES} addresses are not checked`));
}

/** One check of all nodes whose event loop was not measured, instead of one for each. */
function mergeUnknown(checks: readonly Check[]): Check[] {
  const unmeasured = checks.filter(({ status }) => status === 'unknown');
  const others = checks.filter(({ status }) => status !== 'unknown');
  if (unmeasured.length === 0) return others;
  const names = unmeasured.slice(0, MAX_NAMES).map(({ name }) => name.replace(/^node /, ''));
  const more = unmeasured.length > MAX_NAMES ? ' …' : '';
  const detail = `not measured yet at ${names.join(', ')}${more}`;
  return [...others, unknown(EVENT_LOOP, detail, MEASURE_AGAIN)];
}

function registryAdvice(error: string): string | undefined {
  if (/ENOENT|ENOTDIR/.test(error)) return 'correct the directory; providers create it';
  return connectionAdvice(error);
}

function byAddress(nodes: readonly ServiceNode[]): Map<string, ServiceNode[]> {
  const groups = new Map<string, ServiceNode[]>();
  for (const node of nodes) {
    const group = groups.get(node.address);
    if (group === undefined) groups.set(node.address, [node]);
    else group.push(node);
  }
  return groups;
}

/** Connects to one address, and compares what it offers with its entries. */
async function checkNode(
  address: string,
  entries: readonly ServiceNode[],
  options: ConnectionOptions,
  terminal: Terminal,
): Promise<Check[]> {
  const name = `node ${entries[0]?.id}`;
  const shown = redactUrl(address);
  try {
    const client = await connectTo(address, options, terminal);
    try {
      const { checks, services, providerId } = await checkAnswers(client, terminal);
      const other = entries.find(
        // While an entry is replaced with goConsumers, a stand-in has this suffix.
        ({ id, assumed }) =>
          // A registry of addresses does not know the ids of providers.
          assumed === undefined &&
          providerId !== undefined &&
          id !== providerId &&
          id !== `${providerId}-replacing`,
      );
      if (other !== undefined)
        return [
          failed(
            `node ${other.id}`,
            `${shown}: the provider there is ${JSON.stringify(providerId)}`,
            'correct the option advertise of the provider, or the entry is old',
          ),
        ];
      const missing =
        services === undefined ? [] : entries.filter((entry) => !isOffered(entry, services));
      if (missing.length > 0)
        return [
          failed(
            name,
            `${shown} does not offer ${missing.map(entryText).join(', ')}`,
            'the address belongs to another program now, or the entry is old',
          ),
        ];
      const notOk = checks.filter(({ status }) => status !== 'ok');
      const found = notOk.map((check) => ({ ...check, name, detail: `${shown}: ${check.detail}` }));
      if (found.some(({ status }) => status !== 'unknown')) return found;
      return [ok(name, `${shown} answers, and offers what it publishes`), ...found];
    } finally {
      client.destroy();
    }
  } catch (error) {
    if (terminal.signal.aborted) throw error;
    return [failed(name, messageOf(error), connectionAdvice(messageOf(error)))];
  }
}

const entryText = ({ service, version, protocol }: ServiceNode): string =>
  `${service} ${version}`.trim().concat(` in ${protocol}`);

function isOffered(
  { service, version, protocol, assumed = [] }: ServiceNode,
  services: NonNullable<Awaited<ReturnType<typeof checkAnswers>>['services']>,
): boolean {
  return (
    assumed.includes('service') ||
    services.some(
      (each) =>
        each.name === service &&
        (each.version === version || assumed.includes('version')) &&
        (each.codecs.includes(protocol) || assumed.includes('protocol')),
    )
  );
}
