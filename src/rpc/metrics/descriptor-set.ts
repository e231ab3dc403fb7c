/** The .proto files of services as a FileDescriptorSet, as gRPC reflection gives them. */
import { create, type DescFile, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { RpcError } from '../errors.js';
import type { Service } from '../types.js';
import { toBase64 } from '../wire/base64.js';
import { selectServices } from './selected-services.js';

/** So many bytes fit the default maxMessageBytes in base64. */
const MAX_BYTES = 750_000;

/** The FileDescriptorSets of the services of one server. Each one is encoded once. */
export class DescriptorSets {
  readonly #services: readonly Service[];
  /** By the name of a service: the set in base64, or how many bytes it has if they are too many. */
  readonly #sets = new Map<unknown, string | number>();

  constructor(services: readonly Service[]) {
    this.#services = services;
  }

  /**
   * Returns the set of one service, or of all, in base64. Throws INVALID_ARGUMENT, NOT_FOUND or
   * RESOURCE_EXHAUSTED.
   */
  find(service: unknown): string {
    const set = this.#sets.get(service) ?? this.#encode(service);
    if (typeof set === 'string') return set;
    throw new RpcError(
      'RESOURCE_EXHAUSTED',
      `the descriptors have ${set} bytes, more than ${MAX_BYTES}; ask for one service`,
    );
  }

  #encode(service: unknown): string | number {
    const selected = selectServices(this.#services, service);
    const set = encodeSet(selected.flatMap(({ contract }) => contract.files ?? []));
    this.#sets.set(service, set);
    return set;
  }
}

/** The set in base64, or how many bytes it has if they are too many. */
function encodeSet(files: readonly DescFile[]): string | number {
  const all = new Map<string, DescFile>();
  for (const file of files) addFile(file, all);
  const set = create(FileDescriptorSetSchema, {
    file: [...all.values()].map(({ proto }) => proto),
  });
  const bytes = toBinary(FileDescriptorSetSchema, set);
  return bytes.length <= MAX_BYTES ? toBase64(bytes) : bytes.length;
}

/** Adds the imports of a file, and then the file. */
function addFile(file: DescFile, all: Map<string, DescFile>): void {
  if (all.has(file.name)) return;
  for (const imported of file.dependencies) addFile(imported, all);
  all.set(file.name, file);
}
