/** Compares two snapshots. */
import { cut, MAX_CELL } from '../output/printable.js';
import { ChangeList, type ContractDiff } from './change-list.js';
import { compareMethods } from './method-diff.js';
import { ProtobufDiff } from './protobuf/protobuf-diff.js';
import type { ContractSnapshot, ServiceSnapshot, UnreadSnapshot } from './snapshot.js';

export interface DiffSettings {
  /**
   * Whether `after` is that of one server of several, which need not offer each service of
   * `before`: services that it lacks are not compared. Default: false, they are gone.
   */
  readonly isOneServer?: boolean;
}

/** The changes from one snapshot to another. It takes a bounded time, whatever they contain. */
export function diffContracts(
  before: ContractSnapshot,
  after: ContractSnapshot,
  { isOneServer = false }: DiffSettings = {},
): ContractDiff {
  const list = new ChangeList();
  const { unread: unreadBefore = [] } = before;
  const { unread: unreadAfter = [] } = after;
  const namesBefore = new Set([...before.services, ...unreadBefore].map(({ name }) => name));
  const unmatched = new Set(after.services);
  const servicesAfter = byNameAndVersion(after.services);
  for (const service of before.services) {
    const others = servicesAfter.get(service.name) ?? new Map();
    const found = successorOf(service, others);
    if (found === undefined) {
      if (unreadAfter.some((other) => isReachedBy(service, other))) continue;
      if (isOneServer) skipService(service, list, 'NEW does not offer it');
      else addRemoved(service, others, list);
      continue;
    }
    unmatched.delete(found);
    compareServices(service, found, list);
  }
  addUnread(unreadBefore, unreadAfter, list);
  for (const service of unmatched) {
    if (unreadBefore.some((other) => isSame(service, other))) continue;
    const isNew = !namesBefore.has(service.name);
    const what = isNew ? 'new service' : 'new version';
    list.add(isNew ? 'service-added' : 'service-version-added', placeOf(service), what);
  }
  return { changes: list.changes, uncompared: list.uncompared };
}

type Versions = ReadonlyMap<string, ServiceSnapshot>;

/** The most versions that a change names. */
const MAX_VERSIONS = 20;

/** The services by name, then by version. Of two with one name and version it has the first. */
function byNameAndVersion(services: readonly ServiceSnapshot[]): Map<string, Versions> {
  const names = new Map<string, Map<string, ServiceSnapshot>>();
  for (const service of services) {
    const versions = names.get(service.name) ?? new Map();
    names.set(service.name, versions);
    if (!versions.has(service.version)) versions.set(service.version, service);
  }
  return names;
}

/** `Greeter v1`. */
function placeOf({ name, version }: UnreadSnapshot): string {
  const text = cut(name, MAX_CELL);
  return version === '' ? text : `${text} ${cut(version, MAX_CELL)}`;
}

const isSame = (a: UnreadSnapshot, b: UnreadSnapshot): boolean =>
  a.name === b.name && a.version === b.version;

/** Whether calls with the contract of `service` may reach `other`. */
const isReachedBy = (service: UnreadSnapshot, other: UnreadSnapshot): boolean =>
  service.name === other.name && (service.version === '' || service.version === other.version);

/** Notes the services that no node described: they may be gone, changed or the same. */
function addUnread(
  before: readonly UnreadSnapshot[],
  after: readonly UnreadSnapshot[],
  list: ChangeList,
): void {
  for (const service of before) {
    const which = after.some((other) => isSame(service, other))
      ? 'both snapshots'
      : 'the old snapshot';
    skipService(service, list, `no node described it for ${which}`);
  }
  for (const service of after)
    if (!before.some((other) => isSame(service, other)))
      skipService(service, list, 'no node described it for the new snapshot');
}

function skipService(service: UnreadSnapshot, list: ChangeList, why: string): void {
  const place = placeOf(service);
  list.beginService(place);
  list.skip(place, why);
}

/**
 * The service that a caller with the old contract reaches: the one of the same version. A caller
 * without a version reaches each version, so the first one is compared.
 */
function successorOf({ version }: ServiceSnapshot, others: Versions): ServiceSnapshot | undefined {
  const [first] = others.values();
  return others.get(version) ?? (version === '' ? first : undefined);
}

function addRemoved(service: ServiceSnapshot, others: Versions, list: ChangeList): void {
  if (others.size === 0) return list.add('service-removed', placeOf(service), 'gone');
  const names = [...others.keys()].slice(0, MAX_VERSIONS).map((name) => cut(name, MAX_CELL));
  const versions = names.map((name) => name || 'no version').join(', ');
  const more = others.size > MAX_VERSIONS ? ' …' : '';
  list.add('service-version-removed', placeOf(service), `gone; there is ${versions}${more}`);
}

function compareServices(before: ServiceSnapshot, after: ServiceSnapshot, list: ChangeList): void {
  const place = placeOf(after);
  list.beginService(place);
  if (before.version !== after.version)
    list.add('service-version-added', place, `no version → ${after.version}`);
  compareGroups(before, after, place, list);
  for (const codec of before.codecs)
    if (!after.codecs.includes(codec)) list.add('codec-removed', place, codec);
  for (const codec of after.codecs)
    if (!before.codecs.includes(codec)) list.add('codec-added', place, codec);
  const protobuf = new ProtobufDiff(before, after, place, list);
  compareMethods(before.methods, after.methods, place, protobuf, list);
}

function compareGroups(
  { groups: before }: ServiceSnapshot,
  { groups: after }: ServiceSnapshot,
  place: string,
  list: ChangeList,
): void {
  if (before === undefined && after === undefined) return;
  if (before === undefined || after === undefined)
    return list.skip(
      place,
      `the ${before === undefined ? 'old' : 'new'} snapshot is that of an address, which has no groups`,
    );
  const nameOf = (group: string): string => group || 'no group';
  const [groupsBefore, groupsAfter] = [new Set(before), new Set(after)];
  for (const group of groupsBefore)
    if (!groupsAfter.has(group)) list.add('service-group-removed', place, nameOf(group));
  for (const group of groupsAfter)
    if (!groupsBefore.has(group)) list.add('service-group-added', place, nameOf(group));
}
