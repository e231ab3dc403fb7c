/** A cell of the grid: which fault, where, over which transport and registry. It is plain data. */
import type { ProxyFaults } from '../../src/testing/proxy/index.js';

export type Where = 'registry' | 'provider' | 'link' | 'client';
export type Transport = 'tcp' | 'tls' | 'ws' | 'udp' | 'unix';
export type RegistryKind =
  | 'file'
  | 'file on a small disk'
  | 'etcd'
  | 'etcd cluster'
  | 'etcd with TLS'
  | 'ZooKeeper'
  | 'ZooKeeper ensemble';
/** `mixed`: unary, oneway and streams. `unary`: no streams. `streams`: streams of seconds. */
export type Calls = 'mixed' | 'unary' | 'streams';

/** All times are in milliseconds. `time`: how long the fault lasts. */
export type Fault =
  /** SIGKILL. A provider starts again with its id and address, a consumer as a new process. */
  | { readonly kind: 'kill'; readonly time: number }
  /** An orderly end, and a new start. */
  | { readonly kind: 'restart'; readonly time: number }
  /** SIGSTOP, then SIGCONT. */
  | { readonly kind: 'stop'; readonly time: number }
  /** SIGSTOP. Another process takes over the id at another address. Then SIGCONT. */
  | { readonly kind: 'replace'; readonly time: number }
  /** The event loop is blocked. */
  | { readonly kind: 'stall'; readonly time: number }
  /** The process has no free file descriptors. */
  | { readonly kind: 'descriptors'; readonly time: number }
  /** The provider is killed, and a program at its address sends random bytes, or nothing. */
  | { readonly kind: 'impostor'; readonly answers: 'garbage' | 'nothing'; readonly time: number }
  /** The clock of the process jumps by so many seconds, and back. */
  | { readonly kind: 'clock'; readonly seconds: number; readonly time: number }
  | { readonly kind: 'proxy'; readonly faults: ProxyFaults; readonly time: number }
  /** All connections are reset, again and again. `limit`: after so many bytes of each. */
  | { readonly kind: 'reset'; readonly limit?: number; readonly time: number }
  /** New connections are reset, and the open ones once. */
  | { readonly kind: 'refuse'; readonly time: number }
  /** Network namespaces: a router drops the packets of one direction. */
  | { readonly kind: 'route'; readonly to: 'provider' | 'client' | 'both'; readonly time: number }
  | { readonly kind: 'certificate'; readonly next: 'renewed' | 'expired'; readonly time: number }
  | { readonly kind: RegistryFaultKind; readonly time: number };

export type RegistryFaultKind =
  | 'no quorum'
  | 'read-only'
  | 'no space'
  | 'wiped'
  | 'restored'
  | 'compacted'
  | 'authentication'
  | 'full disk'
  | 'unreadable';

export interface Cell {
  readonly name: string;
  readonly where: Where;
  readonly fault: Fault;
  readonly transport: Transport;
  readonly calls: Calls;
  readonly registry: RegistryKind;
  /** Calls that begin in each third of the fault succeed, of all consumers without a fault. */
  readonly goesOn: boolean;
  /** No list loses a node. */
  readonly keepsLists: boolean;
  /** A list loses a node while the fault lasts. */
  readonly losesNode?: boolean;
  /** Not part of a run without `--all` or `--only`. */
  readonly isLong?: boolean;
  /** Milliseconds between two calls of one consumer. Default: 20. */
  readonly callPeriod?: number;
  /** The memory of no process grows while the fault lasts. */
  readonly hasFlatMemory?: boolean;
}

export interface Figures {
  readonly calls: number;
  /** Calls that ended with an error. */
  readonly failed: number;
  /** Idempotent calls that ran more than once. */
  readonly doubled: number;
  /** Oneway calls that were sent without an error and did not run. */
  readonly lost: number;
  /** Milliseconds from the end of the fault until all lists are true and all calls succeed. */
  readonly recovery: number;
  /** The longest time without a successful call of one consumer, in milliseconds. */
  readonly outage: number;
}

export interface CellResult {
  readonly name: string;
  readonly where: string;
  readonly transport: string;
  readonly registry: string;
  readonly calls: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** Why it was skipped, or what was violated. */
  readonly problems: readonly string[];
  readonly figures?: Figures;
  /** Further figures of a scenario, in words. */
  readonly remarks?: readonly string[];
  /** Outcomes by kind of call and code. */
  readonly counts?: Readonly<Record<string, number>>;
  /** Milliseconds. */
  readonly duration: number;
}

/** Thrown if the machine lacks what a cell needs. */
export class SkipCell extends Error {}
