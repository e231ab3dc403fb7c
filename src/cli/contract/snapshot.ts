/** The format of a snapshot: the contracts of a server or of a registry at one time. */
import type { CodecName, MethodKind } from '../../rpc/index.js';

/** The version of the format. A change that an older getty would misread increments it. */
export const SNAPSHOT_FORMAT = 1;

export interface ContractSnapshot {
  readonly format: typeof SNAPSHOT_FORMAT;
  /** Sorted by name, then by version. */
  readonly services: readonly ServiceSnapshot[];
  /** The services of a registry whose nodes have no introspection; absent if there are none. */
  readonly unread?: readonly UnreadSnapshot[] | undefined;
}

/** A service that no node described. */
export type UnreadSnapshot = Pick<ServiceSnapshot, 'name' | 'version'>;

/**
 * Whether the service is part of getty, such as `getty.Admin`, which an option of the server adds.
 * Its contract is that of the version of getty.
 */
export const isOwnService = ({ name }: UnreadSnapshot): boolean => name.startsWith('getty.');

export interface ServiceSnapshot {
  readonly name: string;
  readonly version: string;
  /** The groups of its nodes, sorted. Absent: the target was an address. */
  readonly groups?: readonly string[] | undefined;
  /** Sorted. */
  readonly codecs: readonly CodecName[];
  /** Sorted by name. */
  readonly methods: readonly MethodSnapshot[];
  /** The Protobuf messages that the methods need, by their full names. */
  readonly messages: Readonly<Record<string, ProtobufMessage>>;
  /** The enums of these messages, by their full names. */
  readonly enums: Readonly<Record<string, ProtobufEnum>>;
}

export interface MethodSnapshot {
  readonly name: string;
  readonly kind: MethodKind;
  readonly idempotent: boolean;
  /** In milliseconds. */
  readonly timeout?: number | undefined;
  readonly input?: MessageSnapshot | undefined;
  readonly output?: MessageSnapshot | undefined;
}

/** A message as its contract describes it. */
export interface MessageSnapshot {
  /** The library of the schema, such as `zod`; `protobuf` for a Protobuf message. */
  readonly vendor: string;
  /** The name of a Protobuf message in `messages`. */
  readonly type?: string | undefined;
  readonly jsonSchema?: object | undefined;
  /** Why there is no JSON Schema, as in MessageDescription. */
  readonly jsonSchemaOmitted?: 'failed' | 'too-large' | undefined;
}

export interface ProtobufMessage {
  /** True: only the fields are known, because the server gives no descriptors. */
  readonly isPartial?: boolean | undefined;
  /** Sorted by number. */
  readonly fields: readonly ProtobufField[];
  readonly reservedNames?: readonly string[] | undefined;
  /** The first and the last number of each range. */
  readonly reservedNumbers?: readonly NumberRange[] | undefined;
}

export type NumberRange = readonly [first: number, last: number];

/**
 * `single`: without presence. `optional`: with presence, so a field that is unset differs from one
 * with the default value. `unknown`: not repeated; the server does not report more.
 */
export type Cardinality = 'single' | 'optional' | 'required' | 'repeated' | 'map' | 'unknown';

export interface ProtobufField {
  readonly name: string;
  readonly number: number;
  /** A scalar type, or the full name of a message or an enum. Of a map: that of its values. */
  readonly type: string;
  /** The type of the keys of a map. */
  readonly mapKey?: string | undefined;
  readonly cardinality: Cardinality;
  readonly oneof?: string | undefined;
  /** The name in ProtoJSON, if the .proto file sets it. */
  readonly jsonName?: string | undefined;
  /** True: the message is encoded as a group. */
  readonly isDelimited?: boolean | undefined;
}

export interface ProtobufEnum {
  /** True: a closed enum, as those of proto2. */
  readonly isClosed?: boolean | undefined;
  /** Sorted by number, then by name. */
  readonly values: readonly ProtobufEnumValue[];
  readonly reservedNames?: readonly string[] | undefined;
  readonly reservedNumbers?: readonly NumberRange[] | undefined;
}

export interface ProtobufEnumValue {
  readonly name: string;
  readonly number: number;
}
