/** The compiled code of schemas, made once for each schema. */
import { create, type DescMessage, protoInt64, ScalarType } from '@bufbuild/protobuf';
import { compileDecoder } from './decoder-compiler.js';
import { compileEncoder } from './encoder-compiler.js';
import { mayBeDouble, zeroLiteral } from './scalars.js';
import { type AnyMessage, type CompiledSchema, IMPLICIT, literal } from './types.js';

const EMPTY = new Uint8Array(0);
/**
 * When a field that had only 32-bit integers gets its first other number, V8 makes a new hidden
 * class and copies all fields. From so many of these fields on, the first message would take
 * milliseconds; with 1,000 fields it takes seconds.
 */
const MANY_NUMBER_FIELDS = 50;
const compiledSchemas = new WeakMap<DescMessage, CompiledSchema>();
let canCompile: boolean | undefined;

/**
 * Returns the compiled code of a schema. Undefined: code generation is forbidden or impossible, and
 * protobuf-es must be used.
 */
export function compiledOf(schema: DescMessage): CompiledSchema | undefined {
  canCompile ??= protoInt64.supported && isCodeGenerationAllowed();
  return canCompile && isCompilable(schema, new Set()) ? compiledCodeOf(schema) : undefined;
}

/**
 * False under --disallow-code-generation-from-strings, or a Content Security Policy without
 * unsafe-eval.
 */
function isCodeGenerationAllowed(): boolean {
  try {
    new Function('');
    return true;
  } catch {
    return false;
  }
}

/**
 * Generated code cannot assign a property `__proto__`. A name of a .proto file never becomes that
 * local name; a descriptor made by hand may have it.
 */
function isCompilable(schema: DescMessage, seen: Set<DescMessage>): boolean {
  if (seen.has(schema)) return true;
  seen.add(schema);
  if ([...schema.members, ...schema.fields].some(({ localName }) => localName === '__proto__'))
    return false;
  return schema.fields.every(({ message }) => message === undefined || isCompilable(message, seen));
}

/**
 * Returns the code of a schema, which is compiled at its first call: a recursive schema refers to
 * itself.
 */
function compiledCodeOf(schema: DescMessage): CompiledSchema {
  const found = compiledSchemas.get(schema);
  if (found !== undefined) return found;
  const prototype: object = Object.getPrototypeOf(create(schema));
  const compiled: CompiledSchema = {
    schema,
    encode(output, message, at, allowInit) {
      compiled.encode = compileEncoder(schema, prototype !== Object.prototype, compiledCodeOf);
      return compiled.encode(output, message, at, allowInit);
    },
    decode(bytes, at, end, limit, message, depth, group) {
      compiled.decode = compileDecoder(schema, compiledCodeOf);
      return compiled.decode(bytes, at, end, limit, message, depth, group);
    },
    Message: messageClass(schema, prototype),
  };
  compiledSchemas.set(schema, compiled);
  return compiled;
}

/**
 * Makes a class whose instances equal the messages that create() returns, with the same prototype.
 * That prototype is Object.prototype, or has the defaults of the fields with presence. V8 keeps the
 * fields of a constructed object in the object itself, also those that are set later.
 */
function messageClass(schema: DescMessage, prototype: object): new () => AnyMessage {
  const isPrepared = schema.fields.filter(mayBeDouble).length >= MANY_NUMBER_FIELDS;
  const lines = [`this.$typeName = ${literal(schema.typeName)};`];
  for (const member of schema.members) {
    const name = `this[${literal(member.localName)}]`;
    if (member.kind === 'oneof') lines.push(`${name} = { case: undefined };`);
    else if (member.fieldKind === 'list') lines.push(`${name} = [];`);
    else if (member.fieldKind === 'map') lines.push(`${name} = {};`);
    else if (member.presence === IMPLICIT && member.scalar === ScalarType.BYTES)
      lines.push(`${name} = EMPTY;`);
    else if (member.presence === IMPLICIT)
      lines.push(`${name} = ${isPrepared && mayBeDouble(member) ? 'zero' : zeroLiteral(member)};`);
  }
  // Lists, maps and oneofs are made for each message, because a program may change them in place.
  // An empty Uint8Array can be shared.
  const make = new Function(
    'EMPTY',
    'prototype',
    // The first instance decides how V8 keeps the fields.
    `"use strict"; function Message() { ${lines.join(' ')} }; Message.prototype = prototype;
${isPrepared ? 'let zero = 0.5; new Message(); zero = 0;' : ''} return Message;`,
  );
  return make(EMPTY, prototype);
}
