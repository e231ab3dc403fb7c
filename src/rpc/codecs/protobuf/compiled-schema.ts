/** The compiled code of every schema that was asked for. */
import { create, type DescMessage, protoInt64, ScalarType } from '@bufbuild/protobuf';
import { compileDecoder } from './decoder-compiler.js';
import { compileEncoder } from './encoder-compiler.js';
import { zeroLiteral } from './scalars.js';
import { type AnyMessage, type CompiledSchema, IMPLICIT, literal } from './types.js';

const EMPTY = new Uint8Array(0);
const known = new WeakMap<DescMessage, CompiledSchema>();
let allowed: boolean | undefined;

/**
 * The compiled code of a schema; undefined where there can be none, and protobuf-es has to do it.
 */
export function compiledOf(schema: DescMessage): CompiledSchema | undefined {
  allowed ??= protoInt64.supported && mayGenerateCode();
  return allowed && isCompilable(schema, new Set()) ? linkTo(schema) : undefined;
}

/** False under --disallow-code-generation-from-strings, or a policy to that effect. */
function mayGenerateCode(): boolean {
  try {
    new Function('');
    return true;
  } catch {
    return false;
  }
}

/**
 * A descriptor made by hand may have a name that is no property like others. No name from a .proto
 * file is that one.
 */
function isCompilable(schema: DescMessage, seen: Set<DescMessage>): boolean {
  if (seen.has(schema)) return true;
  seen.add(schema);
  if ([...schema.members, ...schema.fields].some(({ localName }) => localName === '__proto__'))
    return false;
  return schema.fields.every(({ message }) => message === undefined || isCompilable(message, seen));
}

/** Recursive schemas link to themselves, so code is only made when it is first called. */
function linkTo(schema: DescMessage): CompiledSchema {
  const found = known.get(schema);
  if (found !== undefined) return found;
  const prototype: object = Object.getPrototypeOf(create(schema));
  const compiled: CompiledSchema = {
    schema,
    encode(output, message, at, allowInit) {
      compiled.encode = compileEncoder(schema, prototype !== Object.prototype, linkTo);
      return compiled.encode(output, message, at, allowInit);
    },
    decode(bytes, at, end, limit, message, depth, group) {
      compiled.decode = compileDecoder(schema, linkTo);
      return compiled.decode(bytes, at, end, limit, message, depth, group);
    },
    Message: messageClass(schema, prototype),
  };
  known.set(schema, compiled);
  return compiled;
}

/**
 * A constructor of what create() makes, with the very prototype that create() gives: the plain one,
 * or one with the defaults of the fields that have presence. An object from a constructor has its
 * fields in itself, also those that are set later.
 */
function messageClass(schema: DescMessage, prototype: object): new () => AnyMessage {
  const lines = [`this.$typeName = ${literal(schema.typeName)};`];
  for (const member of schema.members) {
    const name = `this[${literal(member.localName)}]`;
    if (member.kind === 'oneof') lines.push(`${name} = { case: undefined };`);
    else if (member.fieldKind === 'list') lines.push(`${name} = [];`);
    else if (member.fieldKind === 'map') lines.push(`${name} = {};`);
    else if (member.presence === IMPLICIT && member.scalar === ScalarType.BYTES)
      lines.push(`${name} = EMPTY;`);
    else if (member.presence === IMPLICIT) lines.push(`${name} = ${zeroLiteral(member)};`);
  }
  // Lists, maps and oneofs are made for each message, for a program may change them in place; no
  // bytes are there to be changed.
  const Message = new Function(
    'EMPTY',
    `"use strict"; return function Message() { ${lines.join(' ')} };`,
  )(EMPTY);
  Message.prototype = prototype;
  return Message;
}
