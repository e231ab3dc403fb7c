/** The processes of a cell: three providers and two consumers. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FaultProxy, proxy } from '../../src/testing/proxy/index.js';
import { freePort } from '../fixtures/ports.js';
import type { Calls, Cell } from './cell.js';
import { ClockFile } from './clock-file.js';
import { Member } from './member.js';
import { Network } from './network.js';
import {
  type RegistrySetup,
  type SharedServers,
  setUpRegistry,
  TLS_FOLDER,
  useCertificate,
} from './registry-setup.js';

const PROVIDERS = ['p1', 'p2', 'p3'];
const CONSUMERS = ['c1', 'c2'];
/** Milliseconds between two calls of one consumer. */
const CALL_PERIOD = 20;
/** The most open files of a process that loses its file descriptors. */
const DESCRIPTORS = 300;

/** `messages`: of each stream, `pause` milliseconds apart. */
const LOADS: Readonly<Record<Calls, object>> = {
  mixed: {
    kinds: ['read', 'order', 'note', 'list', 'collect', 'chat'],
    messages: 5,
    pause: 20,
    shortestTimeout: 500,
  },
  unary: { kinds: ['read', 'order', 'note'], messages: 0, pause: 0, shortestTimeout: 500 },
  streams: {
    kinds: ['list', 'collect', 'chat'],
    messages: 25,
    pause: 100,
    shortestTimeout: 4_000,
    longestTimeout: 6_000,
  },
};

/** System-wide monotonic milliseconds, as in the logs. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}

export class GridCluster {
  readonly cell: Cell;
  readonly folder: string;
  /** By name. */
  readonly providers = new Map<string, Member>();
  readonly consumers = new Map<string, Member>();
  /** Of the first provider, or of the first consumer with each provider. */
  readonly proxies: FaultProxy[] = [];
  /** The addresses of the providers by their ids. */
  readonly addresses = new Map<string, string>();
  /** The consumers that were killed, with the time. */
  readonly crashes = new Map<string, number>();
  network: Network | undefined;
  /** A process whose id another one has taken over. */
  zombie: Member | undefined;
  clock: ClockFile | undefined;
  registry!: RegistrySetup;
  readonly #id: string;
  readonly #logs = new Map<string, string>();
  readonly #routes: Record<string, string> = {};

  /** `id`: unique in the run. */
  constructor(cell: Cell, id: string) {
    this.cell = cell;
    this.#id = id;
    this.folder = mkdtempSync(join(tmpdir(), 'getty-grid-'));
  }

  async start(shared: SharedServers): Promise<void> {
    const { cell, folder } = this;
    await mkdir(this.certificates);
    await useCertificate(this.certificates, 'server');
    if (cell.fault.kind === 'clock') this.clock = await ClockFile.create(folder);
    if (cell.fault.kind === 'route')
      this.network = await Network.create(this.#id, [...CONSUMERS, ...PROVIDERS]);
    this.registry = await setUpRegistry(cell, folder, this.#id, shared);
    for (const name of PROVIDERS) this.addresses.set(name, await this.#newAddress(name));
    await this.#startProxies();
    await Promise.all(PROVIDERS.map((name) => this.startProvider(name)));
    await Promise.all(CONSUMERS.map((name) => this.startConsumer(name)));
  }

  async #newAddress(name: string): Promise<string> {
    const { transport } = this.cell;
    if (transport === 'unix') return `unix://${this.folder}/${name}.sock`;
    const host = this.network?.host(name) ?? '127.0.0.1';
    return `${transport}://${host}:${await freePort()}${transport === 'ws' ? '/grid' : ''}`;
  }

  /** A proxy at the link of the first provider, or at all links of the first consumer. */
  async #startProxies(): Promise<void> {
    const { where, fault } = this.cell;
    if (!['proxy', 'reset', 'refuse', 'descriptors', 'certificate'].includes(fault.kind)) return;
    if (where === 'registry') return;
    for (const name of where === 'client' ? PROVIDERS : PROVIDERS.slice(0, 1)) {
      const address = this.addresses.get(name) as string;
      const between = await proxy(address);
      this.proxies.push(between);
      this.#routes[address] = between.address;
    }
  }

  /** Where the providers with TLS have their certificate. */
  get certificates(): string {
    return join(this.folder, 'server');
  }

  /** `elsewhere`: at a new address, which replaces the old one. */
  async startProvider(name: string, elsewhere = false): Promise<void> {
    const log = join(this.folder, `${name}.log`);
    this.#logs.set(name, log);
    if (elsewhere)
      this.addresses.set(
        name,
        this.cell.transport === 'unix'
          ? `unix://${this.folder}/${name}-2.sock`
          : await this.#newAddress(name),
      );
    const tls = {
      cert: `${this.certificates}/cert.pem`,
      key: `${this.certificates}/key.pem`,
      reloadPeriod: 200,
    };
    const server = this.cell.transport === 'tls' ? { tls } : {};
    const address = this.addresses.get(name);
    this.providers.set(
      name,
      await this.#start('provider.mjs', name, { id: name, address, log, server }),
    );
  }

  async startConsumer(name: string): Promise<void> {
    const log = join(this.folder, `${name}.log`);
    this.#logs.set(name, log);
    const tls = { ca: `${TLS_FOLDER}authority.pem`, serverName: 'localhost' };
    const client = this.cell.transport === 'tls' ? { tls } : {};
    const routes = this.routesOf(name);
    this.consumers.set(
      name,
      await this.#start('consumer.mjs', name, { name, log, client, routes }),
    );
  }

  /** The addresses that a consumer uses instead of those of the registry. */
  routesOf(consumer: string): Readonly<Record<string, string>> {
    const isRouted = this.cell.where !== 'client' || consumer.startsWith(CONSUMERS[0] as string);
    return isRouted ? this.#routes : {};
  }

  #start(program: string, name: string, settings: object): Promise<Member> {
    const { url, options } = this.registry;
    const { fault, calls, hasFlatMemory } = this.cell;
    const limit = ['sh', '-c', `ulimit -n ${DESCRIPTORS}; exec "$@"`, 'sh'];
    const hasFault = this.isTarget(name);
    return Member.start({
      program,
      name,
      settings: { ...settings, url, registryOptions: options, ...LOADS[calls] },
      errors: join(this.folder, `${name}.err`),
      wrapper:
        fault.kind === 'descriptors' && hasFault ? limit : this.network?.wrapper(name.slice(0, 2)),
      env: hasFault ? this.clock?.env : undefined,
      flags: hasFlatMemory ? ['--expose-gc'] : [],
    });
  }

  /** Whether the process with this name is the one that has the fault. */
  isTarget(name: string): boolean {
    const { where } = this.cell;
    return (where === 'provider' && name === 'p1') || (where === 'client' && name === 'c1');
  }

  async startLoad(): Promise<void> {
    const { callPeriod = CALL_PERIOD } = this.cell;
    await Promise.all(
      [...this.consumers.values()].map((each) => each.command('start', callPeriod)),
    );
  }

  /** Ends the load, and waits for all outcomes. */
  async stopLoad(): Promise<void> {
    await Promise.all([...this.consumers.values()].map((each) => each.command('stop')));
  }

  /** What a consumer should list. */
  expectedList(consumer: string): string[] {
    const routes = this.routesOf(consumer);
    return [...this.addresses].map(([id, address]) => `${id} ${routes[address] ?? address}`).sort();
  }

  /** The lines of the log of a process. */
  linesOf(name: string): string[] {
    const log = this.#logs.get(name);
    return log === undefined ? [] : readFileSync(log, 'utf8').split('\n').filter(Boolean);
  }

  /** What the processes have written to stderr, at most 2,000 characters of each. */
  errors(): string {
    return [...this.#logs.keys()]
      .map((name) => [name, readFileSync(join(this.folder, `${name}.err`), 'utf8').slice(-2_000)])
      .filter(([, text]) => text !== '')
      .map(([name, text]) => `${name}: ${text}`)
      .join('\n');
  }

  get consumerNames(): string[] {
    return [...this.#logs.keys()].filter((name) => name.startsWith('c'));
  }

  get providerNames(): string[] {
    return [...this.#logs.keys()].filter((name) => name.startsWith('p'));
  }

  /** Closes the members in order. Then they must have ended. */
  async close(): Promise<void> {
    await Promise.all([...this.consumers.values()].map((each) => each.close()));
    await Promise.all([...this.providers.values()].map((each) => each.close()));
    await this.zombie?.close();
  }

  get members(): Member[] {
    const all = [...this.consumers.values(), ...this.providers.values()];
    return this.zombie === undefined ? all : [...all, this.zombie];
  }

  /** Ends everything, and deletes the folder. */
  async destroy(keepFolder: boolean): Promise<void> {
    for (const each of this.members) await each.kill();
    for (const between of this.proxies) await between.close();
    await this.registry?.stop();
    await this.network?.delete();
    if (!keepFolder) await rm(this.folder, { recursive: true, force: true });
  }
}
