/** The Protobuf descriptors that a server tells through its introspection service. */
import { createFileRegistry, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { codeOf, messageOf } from '../../core/errors.js';
import { Introspection, type RpcClient, RpcError } from '../../rpc/index.js';
import type { IntrospectionSettings } from './introspection.js';
import { readDescriptors } from './introspection-answer.js';

/** The most characters of descriptors in base64 that are read of one server. */
const MAX_CHARACTERS = 2 ** 23;
/** The most services of one server whose descriptors are asked for. */
const MAX_ASKED = 500;

/**
 * UNIMPLEMENTED: an older server. RESOURCE_EXHAUSTED: they are too large for a message.
 * PERMISSION_DENIED: this caller may ask for the services alone.
 */
const UNTOLD: ReadonlySet<unknown> = new Set([
  'UNIMPLEMENTED',
  'NOT_FOUND',
  'RESOURCE_EXHAUSTED',
  'PERMISSION_DENIED',
]);

/** Asks one server for descriptors. Services with equal descriptors share them. */
export class DescriptorReader {
  readonly #client: RpcClient;
  readonly #signal: AbortSignal;
  readonly #registries = new Map<string, FileRegistry>();
  #asked = 0;
  #characters = 0;
  #isFull = false;

  constructor(client: RpcClient, { signal }: IntrospectionSettings) {
    this.#client = client;
    this.#signal = signal;
  }

  /** Whether services have no descriptors because the server has too many. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /**
   * The descriptors of a service. Undefined: the server has none, does not tell them, or has told
   * too many. Rejects with INTERNAL for an answer that is no FileDescriptorSet, and as calls do.
   */
  async read(service: string): Promise<FileRegistry | undefined> {
    this.#isFull ||= ++this.#asked > MAX_ASKED;
    if (this.#isFull) return undefined;
    const text = await this.#ask(service);
    if (text === '') return undefined;
    const known = this.#registries.get(text);
    if (known !== undefined) return known;
    if (text.length > MAX_CHARACTERS)
      throw new RpcError('INTERNAL', `the server answers with ${text.length} bytes of descriptors`);
    this.#characters += text.length;
    this.#isFull = this.#characters > MAX_CHARACTERS;
    if (this.#isFull) return undefined;
    const registry = parse(text);
    this.#registries.set(text, registry);
    return registry;
  }

  async #ask(service: string): Promise<string> {
    const stub = this.#client.stub(Introspection);
    try {
      return readDescriptors(await stub.descriptors({ service }, { signal: this.#signal }));
    } catch (error) {
      if (UNTOLD.has(codeOf(error))) return '';
      throw error;
    }
  }
}

function parse(text: string): FileRegistry {
  try {
    return createFileRegistry(fromBinary(FileDescriptorSetSchema, Buffer.from(text, 'base64')));
  } catch (error) {
    throw new RpcError(
      'INTERNAL',
      `the server answers with descriptors that cannot be read: ${messageOf(error)}`,
    );
  }
}
