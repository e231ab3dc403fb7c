/**
 * The methods of a contract written by hand: unary(), oneway(), noReply(), serverStream(),
 * clientStream() and duplex().
 */
import { badOption, checkNames, type Names, type NamesOf } from '../../core/options.js';
import { checkTimeout } from '../calls/client-call.js';
import { checkClass, type MessageClass, type MethodClasses } from '../codecs/message-class.js';
import { isStreaming } from '../method-kind.js';
import type { MethodKind, MethodSpec } from '../types.js';
import {
  isSchema,
  type SchemaInput,
  type SchemaOutput,
  type StandardSchemaV1,
} from './standard-schema.js';

/** Options of unary() and noReply(). */
export interface MethodOptions {
  /**
   * True: two calls have the effect of one, so a call may be repeated when its outcome is unknown.
   * Default: false.
   */
  idempotent?: boolean | undefined;
  /** The timeout of each call, in milliseconds. Default: the `timeout` of the client. */
  timeout?: number | undefined;
}

/** Options of serverStream(), clientStream() and duplex(). */
export interface StreamOptions {
  /** The timeout of the whole stream, in milliseconds. Default: none. */
  timeout?: number | undefined;
}

const STREAM_NAMES = { timeout: true } satisfies NamesOf<StreamOptions>;
const METHOD_NAMES = { idempotent: true, ...STREAM_NAMES } satisfies NamesOf<MethodOptions>;
const ONEWAY_NAMES = { idempotent: true } satisfies NamesOf<Pick<MethodOptions, 'idempotent'>>;
const CLASS_NAMES = { input: true, output: true } satisfies NamesOf<MethodClasses>;

/**
 * The serving side validates each argument, or each message of a stream, before the handler gets
 * it. An invalid one is INVALID_ARGUMENT.
 */
interface InputSchema<Schema> {
  input: Schema;
}

/**
 * The serving side validates each reply, or each message of a stream, before it is sent. An invalid
 * one is INTERNAL.
 */
interface OutputSchema<Schema> {
  output: Schema;
}

/** Classes that encode and decode Protobuf, as protobufjs and ts-proto generate them. */
interface Protobuf<Classes> {
  protobuf: Classes;
}

/**
 * Makes a method with arguments and replies. Their types are written (`unary<Input, Output>()`),
 * come from schemas of a Standard Schema library (`unary({ input, output })`) or from classes
 * (`unary({ protobuf: { input, output } })`). Throws BAD_OPTION.
 */
interface MakeMethod<Kind extends MethodKind, Options> {
  <Input extends StandardSchemaV1, Output extends StandardSchemaV1>(
    options: Options & InputSchema<Input> & OutputSchema<Output> & Partial<Protobuf<MethodClasses>>,
  ): MethodSpec<
    SchemaInput<Input>,
    SchemaOutput<Output>,
    SchemaOutput<Input>,
    SchemaInput<Output>,
    Kind
  >;
  <Input, InputMessage, Output, OutputMessage>(
    options: Options &
      Protobuf<{
        input: MessageClass<Input, InputMessage>;
        output: MessageClass<Output, OutputMessage>;
      }>,
  ): MethodSpec<Input, OutputMessage, InputMessage, Output, Kind>;
  <Input, Output>(
    options?: Options &
      Partial<
        InputSchema<StandardSchemaV1<Input>> &
          OutputSchema<StandardSchemaV1<Output>> &
          Protobuf<MethodClasses>
      >,
  ): MethodSpec<Input, Output, Input, Output, Kind>;
}

/**
 * Makes a method without a reply. Its argument has a type, a schema or a class. Throws BAD_OPTION.
 */
interface MakeMethodWithoutReply<Kind extends MethodKind, Options> {
  <Input extends StandardSchemaV1>(
    options: Options & InputSchema<Input> & Partial<Protobuf<Pick<MethodClasses, 'input'>>>,
  ): MethodSpec<SchemaInput<Input>, void, SchemaOutput<Input>, void, Kind>;
  <Input, InputMessage>(
    options: Options & Protobuf<{ input: MessageClass<Input, InputMessage> }>,
  ): MethodSpec<Input, void, InputMessage, void, Kind>;
  <Input>(
    options?: Options & Partial<Protobuf<Pick<MethodClasses, 'input'>>>,
  ): MethodSpec<Input, void, Input, void, Kind>;
}

/** A method with one argument and one reply. */
export const unary: MakeMethod<'unary', MethodOptions> = methodMaker('unary');

/** A method without a reply. The call settles when it is queued; its outcome is unknown. */
export const oneway: MakeMethodWithoutReply<
  'oneway',
  Pick<MethodOptions, 'idempotent'>
> = methodMaker('oneway');

/**
 * A method with an empty reply. The answer shows that the handler has finished, or has its error.
 * Go's protocol carries no error for it.
 */
export const noReply: MakeMethodWithoutReply<'noReply', MethodOptions> = methodMaker('noReply');

/** A method with one argument and a stream of replies. Streams need a TypeScript peer. */
export const serverStream: MakeMethod<'serverStream', StreamOptions> = methodMaker('serverStream');

/** A method with a stream of arguments and one reply. */
export const clientStream: MakeMethod<'clientStream', StreamOptions> = methodMaker('clientStream');

/** A method with a stream of arguments and a stream of replies, which are independent. */
export const duplex: MakeMethod<'duplex', StreamOptions> = methodMaker('duplex');

interface SpecOptions
  extends MethodOptions,
    Partial<InputSchema<StandardSchemaV1> & OutputSchema<StandardSchemaV1>> {
  protobuf?: Partial<MethodClasses> | undefined;
}

// biome-ignore lint/suspicious/noExplicitAny: the overloads say which types
type AnySpec<Kind extends MethodKind> = MethodSpec<any, any, any, any, Kind>;

function methodMaker<Kind extends MethodKind>(
  kind: Kind,
): (options?: SpecOptions) => AnySpec<Kind> {
  const hasReply = kind !== 'oneway' && kind !== 'noReply';
  const namesOfKind: Names =
    kind === 'oneway' ? ONEWAY_NAMES : isStreaming(kind) ? STREAM_NAMES : METHOD_NAMES;
  const optionNames: Names = {
    ...namesOfKind,
    input: true,
    protobuf: true,
    ...(hasReply && { output: true }),
  };
  return (options = {}) => {
    checkNames(`${kind}()`, options, optionNames);
    const { idempotent = false, timeout, input, output, protobuf } = options;
    if (typeof idempotent !== 'boolean') throw badOption('idempotent', idempotent, 'a boolean');
    if (timeout !== undefined) checkTimeout(timeout);
    checkSchema('input', input);
    checkSchema('output', output);
    if (protobuf !== undefined) {
      checkNames('protobuf', protobuf, CLASS_NAMES);
      checkClass('protobuf.input', protobuf?.input);
      if (hasReply) checkClass('protobuf.output', protobuf?.output);
    }
    const schemas = input === undefined && output === undefined ? undefined : { input, output };
    return { kind, idempotent, timeout, schemas, protobuf };
  };
}

function checkSchema(name: string, schema: unknown): void {
  if (schema !== undefined && !isSchema(schema))
    throw badOption(name, schema, 'a schema that follows the Standard Schema');
}

const KINDS: readonly MethodKind[] = [
  'unary',
  'oneway',
  'noReply',
  'serverStream',
  'clientStream',
  'duplex',
];

export function isMethodSpec(spec: unknown): spec is MethodSpec {
  return (
    typeof spec === 'object' &&
    spec !== null &&
    KINDS.includes((spec as Partial<MethodSpec>).kind as MethodKind)
  );
}
