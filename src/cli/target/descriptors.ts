/** The Protobuf descriptors that a server tells through its introspection service. */
import { createFileRegistry, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { codeOf, messageOf } from '../../core/errors.js';
import { Introspection, type RpcClient, RpcError } from '../../rpc/index.js';
import type { IntrospectionSettings } from './introspection.js';
import { readDescriptors } from './introspection-answer.js';

/** The most characters of descriptors in base64 that are read. */
const MAX_CHARACTERS = 2 ** 23;

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

/**
 * The descriptors of a service. Undefined: the server has none, or does not tell them. Rejects with
 * INTERNAL for an answer that is no FileDescriptorSet, and as calls do.
 */
export async function descriptorsOf(
  client: RpcClient,
  service: string,
  { signal }: IntrospectionSettings,
): Promise<FileRegistry | undefined> {
  let answer: unknown;
  try {
    answer = await client.stub(Introspection).descriptors({ service }, { signal });
  } catch (error) {
    if (UNTOLD.has(codeOf(error))) return undefined;
    throw error;
  }
  const text = readDescriptors(answer);
  if (text === '') return undefined;
  if (text.length > MAX_CHARACTERS)
    throw new RpcError('INTERNAL', `the server answers with ${text.length} bytes of descriptors`);
  try {
    return createFileRegistry(fromBinary(FileDescriptorSetSchema, Buffer.from(text, 'base64')));
  } catch (error) {
    throw new RpcError(
      'INTERNAL',
      `the server answers with descriptors that cannot be read: ${messageOf(error)}`,
    );
  }
}
