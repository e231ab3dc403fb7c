/** The .proto files of services as a FileDescriptorSet, as gRPC reflection gives them. */
import { create, type DescFile, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { RpcError } from '../errors.js';
import type { Service } from '../types.js';
import { toBase64 } from '../wire/base64.js';

/** So many bytes fit the default maxMessageBytes in base64. */
const MAX_BYTES = 750_000;

/** The FileDescriptorSets of the services of one server. Each one is encoded once. */
export class DescriptorSets {
  readonly #services: readonly Service[];
  readonly #sets = new Map<string | undefined, string>();

  constructor(services: readonly Service[]) {
    this.#services = services;
  }

  /**
   * Returns the set of one service, or of all, in base64. Throws INVALID_ARGUMENT, NOT_FOUND or
   * RESOURCE_EXHAUSTED.
   */
  find(service: unknown): string {
    if (service !== undefined && typeof service !== 'string')
      throw new RpcError('INVALID_ARGUMENT', 'service: expected the name of a service');
    const known = this.#sets.get(service);
    if (known !== undefined) return known;
    const selected = this.#services.filter(
      ({ contract }) => service === undefined || contract.name === service,
    );
    if (service !== undefined && selected.length === 0)
      throw new RpcError('NOT_FOUND', 'service: this server has no service of that name');
    const set = encodeSet(selected.flatMap(({ contract }) => contract.files ?? []));
    this.#sets.set(service, set);
    return set;
  }
}

function encodeSet(files: readonly DescFile[]): string {
  const all = new Map<string, DescFile>();
  for (const file of files) addFile(file, all);
  const set = create(FileDescriptorSetSchema, {
    file: [...all.values()].map(({ proto }) => proto),
  });
  const bytes = toBinary(FileDescriptorSetSchema, set);
  if (bytes.length <= MAX_BYTES) return toBase64(bytes);
  throw new RpcError(
    'RESOURCE_EXHAUSTED',
    `the descriptors have ${bytes.length} bytes, more than ${MAX_BYTES}; ask for one service`,
  );
}

/** Adds the imports of a file, and then the file. */
function addFile(file: DescFile, all: Map<string, DescFile>): void {
  if (all.has(file.name)) return;
  for (const imported of file.dependencies) addFile(imported, all);
  all.set(file.name, file);
}
