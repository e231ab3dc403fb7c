/** What the page of `getty console` and its process send to each other. All of it is JSON. */
import type { MethodKind } from '../../web/rpc.js';

/** How a node is, as the console sees it. */
export type NodeState =
  /** It was not asked yet. */
  | 'connecting'
  /** It answers. */
  | 'up'
  /** It answers, and takes no new calls. */
  | 'draining'
  /** A connection is possible, but the node does not answer introspection. */
  | 'silent'
  | 'unreachable'
  /** It is no longer in the registry. */
  | 'gone';

export const isAnswering = (state: NodeState): boolean => state === 'up' || state === 'draining';

/** A service, in one version, over all nodes. */
export interface ServiceRow {
  readonly name: string;
  readonly version: string;
  readonly groups: readonly string[];
  /** How many nodes offer it, and how many of them answer. */
  readonly nodes: number;
  readonly answering: number;
  readonly inFlight: number;
  readonly point: Point;
}

/** A service as one node offers it. */
export interface OfferedService {
  readonly name: string;
  readonly version: string;
  readonly group: string;
  readonly codecs: readonly string[];
  /** The weight in the registry. Absent: the node is not from a registry. */
  readonly weight?: number | undefined;
}

/** A server: all services at one address. */
export interface NodeRow {
  /** Identifies the node: its address without secrets. */
  readonly key: string;
  readonly id: string;
  readonly state: NodeState;
  /** Why the node is in this state, for people. Empty: the state says all. */
  readonly reason: string;
  readonly services: readonly OfferedService[];
  readonly inFlight: number;
  readonly point: Point;
}

/**
 * The calls of one second: calls per second, failed calls per second, and the latencies that 50 %
 * and 99 % of the calls do not exceed, in milliseconds. null: unknown, or there were no calls.
 */
export type Point = readonly [
  rate: number | null,
  errors: number | null,
  p50: number | null,
  p99: number | null,
];

export const NO_POINT: Point = [null, null, null, null];

/** The server or the registry that the console shows. */
export interface TargetState {
  readonly kind: 'address' | 'registry';
  /** Without secrets. */
  readonly url: string;
  readonly isAway: boolean;
  /** Why the registry is away. */
  readonly reason: string;
}

export type EventKind =
  | 'console'
  | 'node'
  | 'weight'
  | 'reachability'
  | 'drain'
  | 'refused'
  | 'registry'
  | 'errors';

export interface FleetEvent {
  /** Increases with each event. */
  readonly number: number;
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly kind: EventKind;
  readonly level: 'info' | 'good' | 'warning' | 'bad';
  readonly text: string;
  /** The key of the node that the event is about. */
  readonly node?: string | undefined;
}

/** What changes each second. */
export interface FleetUpdate {
  readonly type: 'update';
  /** When the points were taken, in milliseconds since the epoch; 0: there are none yet. */
  readonly time: number;
  readonly target: TargetState;
  readonly services: readonly ServiceRow[];
  readonly nodes: readonly NodeRow[];
  /** Nodes and services that are left out, because there are too many. */
  readonly omitted: number;
  /** Events since the last update; in the first update, all that are kept. */
  readonly events: readonly FleetEvent[];
}

/** The first message of a watch. */
export interface FleetStart {
  readonly type: 'start';
  readonly isAdminAllowed: boolean;
  /** Milliseconds since the epoch of the points of all histories, oldest first. */
  readonly times: readonly number[];
}

/** The points of a service or a node, one for each of `times`. */
export interface FleetHistory {
  readonly type: 'history';
  readonly service?: { readonly name: string; readonly version: string } | undefined;
  readonly node?: string | undefined;
  readonly rate: readonly (number | null)[];
  readonly errors: readonly (number | null)[];
  readonly p50: readonly (number | null)[];
  readonly p99: readonly (number | null)[];
}

export type FleetMessage = FleetStart | FleetHistory | FleetUpdate;

/** The calls of one method in the last second. Latencies are in milliseconds. */
export interface MethodRow {
  readonly service: string;
  readonly version: string;
  readonly method: string;
  /** Absent: the node has not described the method. */
  readonly kind?: MethodKind | undefined;
  readonly rate: number;
  readonly errors: number;
  readonly inFlight: number;
  readonly p50: number | null;
  readonly p99: number | null;
  /** The codes of failed calls, with their calls per second. */
  readonly codes: Readonly<Record<string, number>>;
}

/** One node of a service. */
export interface ServiceNodeRow {
  readonly key: string;
  readonly rate: number;
  readonly errors: number;
  readonly p99: number | null;
}

export interface ServiceDetail {
  readonly methods: readonly MethodRow[];
  readonly nodes: readonly ServiceNodeRow[];
}

/** A session of a node. A field is absent if the node does not report it. */
export interface SessionRow {
  readonly id?: string | undefined;
  readonly peer: string;
  readonly identity?: string | undefined;
  /** Milliseconds. */
  readonly age?: number | undefined;
  readonly bytesRead?: number | undefined;
  readonly bytesWritten?: number | undefined;
  readonly queuedBytes?: number | undefined;
  readonly serving: number;
  readonly served: number;
  readonly failed: number;
}

/** The process of a node. A field is absent if the node does not report it. */
export interface ProcessState {
  readonly pid?: number | undefined;
  /** Milliseconds. */
  readonly uptime?: number | undefined;
  /** Bytes. */
  readonly rss?: number | undefined;
  /** Bytes. */
  readonly heapUsed?: number | undefined;
  /** Milliseconds, of the last seconds. */
  readonly loopDelay?: number | undefined;
  readonly version?: string | undefined;
}

export interface NodeDetail {
  readonly methods: readonly MethodRow[];
  readonly sessions: readonly SessionRow[];
  /** How many sessions there are. Absent: the node does not report it. */
  readonly totalSessions?: number | undefined;
  readonly process: ProcessState;
  /** What the node did not answer, and why. */
  readonly missing: readonly string[];
}

/** A part of JSON Schema, from which a form is made. */
export interface FormSchema {
  readonly type?: 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean' | undefined;
  readonly title?: string | undefined;
  readonly description?: string | undefined;
  readonly properties?: Readonly<Record<string, FormSchema>> | undefined;
  readonly required?: readonly string[] | undefined;
  readonly items?: FormSchema | undefined;
  readonly enum?: readonly (string | number | boolean | null)[] | undefined;
  readonly default?: unknown;
}

/** A method that can be called. */
export interface CallableRow {
  readonly service: string;
  readonly version: string;
  readonly method: string;
  readonly kind: MethodKind;
  readonly codecs: readonly string[];
  /** Milliseconds. Absent: the default. */
  readonly timeout?: number | undefined;
  readonly idempotent: boolean;
  /** Absent: the node does not describe the argument. */
  readonly input?: FormSchema | undefined;
  /** An argument to begin with, as JSON. */
  readonly example: string;
}

/** The first message of a call. */
export interface CallRequest {
  readonly node: string;
  readonly service: string;
  readonly version: string;
  readonly method: string;
  readonly kind: MethodKind;
  readonly codec: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Milliseconds. Absent: the default of the method; a stream has none. */
  readonly timeout?: number | undefined;
  /** Replaces the token of the console. */
  readonly token?: string | undefined;
}

/** What a page sends in a call: the request, and then each message as JSON. */
export type CallInput = { readonly open: CallRequest } | { readonly message: string };

/** What a page gets in a call. */
export type CallOutput =
  | {
      readonly type: 'reply';
      readonly json: string;
      /** Characters that were cut off. */
      readonly cut: number;
    }
  | {
      readonly type: 'end';
      /** `OK`, or the code of the error. */
      readonly code: string;
      readonly message: string;
      /** Milliseconds from the first message until the end, without the connection. */
      readonly duration: number;
      readonly metadata: Readonly<Record<string, string>>;
    };

export interface AdminRequest {
  readonly node: string;
  readonly action: 'drain' | 'undrain' | 'weight';
  /** For the action `weight`: from 0 to 1,000,000. */
  readonly weight?: number | undefined;
}
