/** Finds mistakes in the entries of a registry, without a connection to their nodes. */
import { redactUrl } from '../../core/redact.js';
import type { ServiceNode } from '../../micro/index.js';
import { weightOf } from '../target/node-rows.js';
import { type Check, failed, note, warning } from './check.js';
import { hostOf } from './server-checks.js';

const EVERY_INTERFACE = /^(?:0\.0\.0\.0|::|)$/;
const LOOPBACK = /^(?:127\.|::1$|localhost$)/;

/** The problems of `nodes`. */
export function checkEntries(nodes: readonly ServiceNode[]): Check[] {
  return [
    ...checkAddresses(nodes),
    ...checkIds(nodes),
    ...[...groupBy(nodes, ({ service }) => service)].flatMap(([service, entries]) =>
      checkService(service, entries),
    ),
  ];
}

function checkAddresses(nodes: readonly ServiceNode[]): Check[] {
  const checks: Check[] = [];
  const addresses = [...groupBy(nodes, ({ address }) => address).keys()];
  for (const address of addresses.filter((each) => EVERY_INTERFACE.test(hostOf(each) ?? 'none')))
    checks.push(
      failed(
        'addresses',
        `${redactUrl(address)} is no address that a consumer can use`,
        'set the option advertise of the provider',
      ),
    );
  const local = addresses.filter((address) => LOOPBACK.test(hostOf(address) ?? ''));
  if (local.length > 0 && local.length < addresses.length)
    checks.push(
      warning(
        'addresses',
        `${local.map(redactUrl).join(', ')} can be reached on the machine of the node only`,
        'set the option advertise of the provider',
      ),
    );
  return checks;
}

/** One process has one id, so two ids at one address are two processes, one of which has ended. */
function checkIds(nodes: readonly ServiceNode[]): Check[] {
  return [...groupBy(nodes, ({ address, service }) => JSON.stringify([address, service]))]
    .map(([, entries]) => entries)
    .filter((entries) => new Set(entries.map(({ id }) => id)).size > 1)
    .map((entries) =>
      warning(
        'ids',
        `${redactUrl(entries[0]?.address ?? '')} has the ids ${listOf(entries, ({ id }) => id)}`,
        'a provider was restarted with another id; give it a fixed one',
      ),
    );
}

function checkService(service: string, entries: readonly ServiceNode[]): Check[] {
  const checks: Check[] = [];
  const attributes = [
    ['version', 'versions', ({ version }: ServiceNode) => version],
    ['group', 'groups', ({ group }: ServiceNode) => group],
  ] as const;
  for (const [one, many, select] of attributes) {
    const values = groupBy(entries, select);
    if (values.size < 2) continue;
    const counts = [...values].map(
      ([value, found]) => `${value || `no ${one}`} (${nodeCount(found)})`,
    );
    // Most fleets have several on purpose, and the entries do not tell which ones are mistakes.
    checks.push(
      note(
        service,
        `its nodes have ${values.size} ${many}: ${counts.join(', ')}`,
        `a consumer with a ${one} calls only the nodes of that ${one}`,
      ),
    );
  }
  return [...checks, ...checkWeights(service, entries)];
}

/** A consumer may call the nodes of one version, group and codec only, so each needs a weight. */
function checkWeights(service: string, entries: readonly ServiceNode[]): Check[] {
  const parts = groupBy(entries, ({ version, group, protocol }) =>
    JSON.stringify([version, group, protocol]),
  );
  const weightless = [...parts.values()].filter((nodes) =>
    nodes.every((node) => weightOf(node) === 0),
  );
  if (weightless.length === 0) return [];
  const names = weightless.map(([node]) => node && partText(node));
  const whose = weightless.length === parts.size ? '' : ` of ${[...new Set(names)].join(' and ')}`;
  return [
    warning(
      service,
      `all its nodes${whose} have the weight 0`,
      'weighted() then calls them all alike; set a weight with `getty node weight`',
    ),
  ];
}

const partText = ({ version, group, protocol }: ServiceNode): string =>
  `${version || 'no version'}, ${group ? `group ${group}` : 'no group'} in ${protocol}`;

function nodeCount(entries: readonly ServiceNode[]): string {
  const count = new Set(entries.map(({ id }) => id)).size;
  return count === 1 ? '1 node' : `${count} nodes`;
}

const listOf = (entries: readonly ServiceNode[], select: (node: ServiceNode) => string): string =>
  [...new Set(entries.map(select))].join(', ');

function groupBy(
  nodes: readonly ServiceNode[],
  keyOf: (node: ServiceNode) => string,
): Map<string, ServiceNode[]> {
  const groups = new Map<string, ServiceNode[]>();
  for (const node of nodes) {
    const group = groups.get(keyOf(node));
    if (group === undefined) groups.set(keyOf(node), [node]);
    else group.push(node);
  }
  return groups;
}
