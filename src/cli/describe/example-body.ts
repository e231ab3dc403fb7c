/** An example of a message as JSON, which can be pasted into `getty call` and then changed. */
import type { FileRegistry } from '@bufbuild/protobuf';
import type { FieldDescription, MessageDescription } from '../../rpc/index.js';
import { exampleOfSchema } from '../json-schema/schema-example.js';
import { exampleOfMessage, exampleOfType } from './protobuf-example.js';

/**
 * The example of a message; undefined if the server does not describe it. Without descriptors a
 * field whose type is another message or an enum is left out, because the server does not describe
 * it: a message is valid without it. Of a oneof there is only one field.
 */
export function exampleBody(
  message: MessageDescription | undefined,
  registry?: FileRegistry | undefined,
): unknown {
  if (message?.jsonSchema !== undefined) return exampleOfSchema(message.jsonSchema);
  const described = message?.type === undefined ? undefined : registry?.getMessage(message.type);
  if (described !== undefined) return exampleOfMessage(described);
  if (message?.fields === undefined) return undefined;
  const body: Record<string, unknown> = Object.create(null);
  const oneofs = new Set<string>();
  for (const { name, type, oneof } of message.fields) {
    const example = exampleOf(type);
    if (example === undefined || (oneof !== undefined && oneofs.has(oneof))) continue;
    if (oneof !== undefined) oneofs.add(oneof);
    body[name] = example;
  }
  return body;
}

function exampleOf(type: FieldDescription['type']): unknown {
  if (type.startsWith('map<')) return {};
  return type.startsWith('repeated ') ? [] : exampleOfType(type);
}
