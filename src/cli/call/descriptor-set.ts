/** Methods of a descriptor set, the file that `buf build -o` and `protoc -o` write. */
import {
  createFileRegistry,
  type DescMethod,
  type DescService,
  type FileRegistry,
  fromBinary,
  fromJson,
  type JsonValue,
  type Message,
  toJson,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { messageOf } from '../../core/errors.js';
import { nearestTo, show } from '../../core/options.js';
import { contract, type MethodKind } from '../../rpc/index.js';
import { UsageError } from '../failure.js';
import { readLimited } from '../limited-file.js';
import { checkFields } from './argument-fields.js';
import type { CallableMethod } from './callable-method.js';

/** The most bytes of a descriptor set. */
const MAX_BYTES = 2 ** 26;

/** Reads a file. Throws UsageError. */
export function readDescriptorSet(file: string): FileRegistry {
  try {
    return createFileRegistry(fromBinary(FileDescriptorSetSchema, readLimited(file, MAX_BYTES)));
  } catch (error) {
    throw new UsageError(
      `--proto: ${file} is no descriptor set: ${messageOf(error)}; make one with ` +
        '`buf build -o FILE.binpb` or `protoc --include_imports -o FILE.binpb`',
    );
  }
}

/**
 * A method in Protobuf and in its JSON form. `service` is the name on the wire: the full name, or
 * that without its package, as servers of Go have it. `kind` replaces that of the descriptor.
 * Throws UsageError.
 */
export function protobufMethod(
  registry: FileRegistry,
  service: string,
  version: string,
  method: string,
  kind: MethodKind | undefined,
): CallableMethod {
  const description = findService(registry, service);
  const found = findMethod(description, method);
  const withoutReply = kind === 'oneway' || kind === 'noReply' ? { [kind]: [found.name] } : {};
  const made = contract(description, { name: service, version, registry, ...withoutReply });
  const actual = made.methods.get(found.localName)?.kind;
  if (kind !== undefined && kind !== actual)
    throw new UsageError(`--kind: got ${kind}, but ${service}/${method} is ${actual} in --proto`);
  return {
    contract: made,
    localName: found.localName,
    kind: actual as MethodKind,
    encode: (value) => {
      checkFields({ type: found.input.typeName, fields: found.input.fields }, value);
      return fromJson(found.input, (value ?? {}) as JsonValue, { registry });
    },
    // Fields with their default values too, so that people see what the message has.
    decode: (message) =>
      message === undefined
        ? undefined
        : toJson(found.output, message as Message, { registry, alwaysEmitImplicit: true }),
  };
}

function findService(registry: FileRegistry, name: string): DescService {
  const all = [...registry].filter((type): type is DescService => type.kind === 'service');
  const found = all.filter(
    ({ typeName }) => typeName === name || typeName.slice(typeName.lastIndexOf('.') + 1) === name,
  );
  const exact = found.find(({ typeName }) => typeName === name) ?? found[0];
  if (exact !== undefined && (exact.typeName === name || found.length === 1)) return exact;
  const names = (found.length > 1 ? found : all).map(({ typeName }) => typeName);
  throw new UsageError(`--proto: got ${show(name)}, expected ${oneOf(names, name)}`);
}

function findMethod({ methods, typeName }: DescService, name: string): DescMethod {
  const found = methods.find((method) => method.name === name);
  if (found !== undefined) return found;
  const names = methods.map((method) => method.name);
  throw new UsageError(
    `--proto: ${typeName} has no method ${show(name)}, only ${oneOf(names, name)}`,
  );
}

function oneOf(names: readonly string[], name: string): string {
  const nearest = nearestTo(name, names);
  const list = names.length === 0 ? 'none: the file has no services' : names.join(', ');
  return nearest === undefined ? list : `${list}; did you mean ${nearest}?`;
}
