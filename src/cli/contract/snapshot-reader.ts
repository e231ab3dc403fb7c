/** Reads a snapshot from a file, which any program may have written. */
import { messageOf } from '../../core/errors.js';
import { UsageError } from '../failure.js';
import { readLimited } from '../limited-file.js';
import { type FieldChecks, type Fields, fieldChecks, own } from '../target/checked-fields.js';
import {
  type Cardinality,
  type ContractSnapshot,
  isOwnService,
  type MessageSnapshot,
  type MethodSnapshot,
  type NumberRange,
  type ProtobufEnum,
  type ProtobufField,
  type ProtobufMessage,
  type ServiceSnapshot,
  SNAPSHOT_FORMAT,
  type UnreadSnapshot,
} from './snapshot.js';

/** The most bytes of a file. */
const MAX_BYTES = 2 ** 24;
/** The most levels of the JSON. */
const MAX_DEPTH = 120;
const MAX_SERVICES = 5_000;
/** The most groups and codecs of a service, and the most reserved names or ranges of a type. */
const MAX_LIST = 1_000;

const KINDS = ['unary', 'oneway', 'noReply', 'serverStream', 'clientStream', 'duplex'] as const;
const CODECS = ['json', 'protobuf'] as const;
const OMISSIONS = ['failed', 'too-large'] as const;
const CARDINALITIES: readonly Cardinality[] = [
  'single',
  'optional',
  'required',
  'repeated',
  'map',
  'unknown',
];

/** Reads a snapshot. Throws UsageError. */
export function readSnapshotFile(path: string): ContractSnapshot {
  let text: string;
  try {
    text = readLimited(path, MAX_BYTES).toString();
  } catch (error) {
    throw new UsageError(`${path}: ${messageOf(error)}; give the file of a snapshot, or a target`);
  }
  return parseSnapshot(text, path);
}

/** Reads the text of a snapshot. `name`: that of its file. Throws UsageError. */
export function parseSnapshot(text: string, name: string): ContractSnapshot {
  const fail = (what: string): never => {
    throw new UsageError(
      `${name}: it has ${what}; make a snapshot with \`getty contract snapshot TARGET > FILE\``,
    );
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return fail('no JSON');
  }
  if (isDeeperThan(value, MAX_DEPTH)) return fail(`more than ${MAX_DEPTH} levels`);
  return new SnapshotReader(fail).read(value);
}

/** Goes down level by level, because recursion could exceed the stack. */
function isDeeperThan(value: unknown, depth: number): boolean {
  let level: unknown[] = [value];
  for (let at = 0; at <= depth; at++) {
    level = level.flatMap((each) =>
      typeof each === 'object' && each !== null ? Object.values(each) : [],
    );
    if (level.length === 0) return false;
  }
  return true;
}

class SnapshotReader {
  readonly #fail: (what: string) => never;
  readonly #checks: FieldChecks;

  constructor(fail: (what: string) => never) {
    this.#fail = fail;
    this.#checks = fieldChecks(fail);
  }

  read(value: unknown): ContractSnapshot {
    const snapshot = this.#checks.fields(value, 'snapshot');
    const format = own(snapshot, 'format');
    if (format !== SNAPSHOT_FORMAT)
      return this.#fail(
        `the format ${JSON.stringify(format)?.slice(0, 20)}, not ${SNAPSHOT_FORMAT}`,
      );
    const services = this.#list(own(snapshot, 'services'), 'services', MAX_SERVICES);
    return {
      format,
      services: services
        .map((service) => this.#readService(service))
        .filter((service) => !isOwnService(service)),
      unread: this.#readUnread(own(snapshot, 'unread')),
    };
  }

  #readUnread(value: unknown): readonly UnreadSnapshot[] | undefined {
    if (value === undefined) return undefined;
    return this.#list(value, 'unread services', MAX_SERVICES).map((each) => {
      const service = this.#checks.fields(each, 'unread service');
      return {
        name: this.#checks.text(service, 'name'),
        version: this.#checks.text(service, 'version'),
      };
    });
  }

  #list(value: unknown, what: string, limit: number): readonly unknown[] {
    const list = this.#checks.list(value, what);
    return list.length <= limit ? list : this.#fail(`more than ${limit} ${what}`);
  }

  #texts(value: unknown, what: string): readonly string[] | undefined {
    if (value === undefined) return undefined;
    return this.#list(value, what, MAX_LIST).map((text) =>
      typeof text === 'string' ? text : this.#fail(`${what} that are no text`),
    );
  }

  #choice<Choice extends string>(fields: Fields, name: string, choices: readonly Choice[]): Choice {
    const text = this.#checks.text(fields, name);
    return choices.find((choice) => choice === text) ?? this.#fail(`an unknown ${name}`);
  }

  #readService(value: unknown): ServiceSnapshot {
    const service = this.#checks.fields(value, 'service');
    const codecs = this.#texts(own(service, 'codecs'), 'codecs') ?? [];
    const methods = this.#checks.list(own(service, 'methods'), 'methods');
    return {
      name: this.#checks.text(service, 'name'),
      version: this.#checks.text(service, 'version'),
      groups: this.#texts(own(service, 'groups'), 'groups'),
      codecs: CODECS.filter((codec) => codecs.includes(codec)),
      methods: methods.map((method) => this.#readMethod(method)),
      messages: this.#record(service, 'messages', (message) => this.#readMessage(message)),
      enums: this.#record(service, 'enums', (each) => this.#readEnum(each)),
    };
  }

  #record<T>(service: Fields, name: string, read: (value: unknown) => T): Record<string, T> {
    const record: Record<string, T> = Object.create(null);
    const entries = Object.entries(this.#checks.fields(own(service, name), name));
    for (const [key, value] of entries) record[key] = read(value);
    return record;
  }

  #readMethod(value: unknown): MethodSnapshot {
    const method = this.#checks.fields(value, 'method');
    return {
      name: this.#checks.text(method, 'name'),
      kind: this.#choice(method, 'kind', KINDS),
      idempotent: own(method, 'idempotent') === true,
      timeout: this.#checks.optionalNumber(method, 'timeout'),
      input: this.#readDescription(own(method, 'input')),
      output: this.#readDescription(own(method, 'output')),
    };
  }

  #readDescription(value: unknown): MessageSnapshot | undefined {
    if (value === undefined) return undefined;
    const message = this.#checks.fields(value, 'message');
    const jsonSchema = own(message, 'jsonSchema');
    return {
      vendor: this.#checks.text(message, 'vendor'),
      type: this.#checks.optionalText(message, 'type'),
      jsonSchema:
        jsonSchema === undefined ? undefined : this.#checks.fields(jsonSchema, 'JSON Schema'),
      jsonSchemaOmitted: OMISSIONS.find((reason) => reason === own(message, 'jsonSchemaOmitted')),
    };
  }

  #readMessage(value: unknown): ProtobufMessage {
    const message = this.#checks.fields(value, 'Protobuf message');
    const fields = this.#checks.list(own(message, 'fields'), 'fields');
    return {
      isPartial: own(message, 'isPartial') === true,
      fields: fields.map((field) => this.#readField(field)),
      ...this.#readReserved(message),
    };
  }

  #readField(value: unknown): ProtobufField {
    const field = this.#checks.fields(value, 'field');
    return {
      name: this.#checks.text(field, 'name'),
      number: this.#checks.number(field, 'number'),
      type: this.#checks.text(field, 'type'),
      mapKey: this.#checks.optionalText(field, 'mapKey'),
      cardinality: this.#choice(field, 'cardinality', CARDINALITIES),
      oneof: this.#checks.optionalText(field, 'oneof'),
      jsonName: this.#checks.optionalText(field, 'jsonName'),
      isDelimited: own(field, 'isDelimited') === true,
    };
  }

  #readEnum(value: unknown): ProtobufEnum {
    const each = this.#checks.fields(value, 'enum');
    const values = this.#checks.list(own(each, 'values'), 'values');
    return {
      isClosed: own(each, 'isClosed') === true,
      values: values.map((one) => {
        const fields = this.#checks.fields(one, 'value');
        return {
          name: this.#checks.text(fields, 'name'),
          number: this.#checks.number(fields, 'number'),
        };
      }),
      ...this.#readReserved(each),
    };
  }

  #readReserved(fields: Fields): Pick<ProtobufEnum, 'reservedNames' | 'reservedNumbers'> {
    const ranges = own(fields, 'reservedNumbers');
    return {
      reservedNames: this.#texts(own(fields, 'reservedNames'), 'reserved names'),
      reservedNumbers:
        ranges === undefined
          ? undefined
          : this.#list(ranges, 'reserved numbers', MAX_LIST).map((range) => this.#readRange(range)),
    };
  }

  #readRange(value: unknown): NumberRange {
    const [first, last] = this.#list(value, 'numbers of a range', 2);
    if (typeof first === 'number' && typeof last === 'number') return [first, last];
    return this.#fail('a range that has no numbers');
  }
}
