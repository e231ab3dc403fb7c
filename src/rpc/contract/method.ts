/** The methods of a contract that is written by hand: their kinds, options and types. */
import { badOption, checkNames, type Names, type NamesOf } from '../../core/options.js';
import { checkTimeout, streams } from '../calls/client-call.js';
import { checkClass, type MessageClass, type MethodClasses } from '../codecs/message-class.js';
import type { MethodKind, MethodSpec } from '../types.js';
import {
  isSchema,
  type SchemaInput,
  type SchemaOutput,
  type StandardSchemaV1,
} from './standard-schema.js';

export interface MethodOptions {
  /**
   * True: calling twice does what calling once does, so a call whose fate is unknown may be tried
   * again. Default: false.
   */
  idempotent?: boolean | undefined;
  /** Milliseconds; default: the client's. */
  timeout?: number | undefined;
}

export interface StreamOptions {
  /** Milliseconds for the whole of the stream; default: none. */
  timeout?: number | undefined;
}

const STREAM_NAMES = { timeout: true } satisfies NamesOf<StreamOptions>;
const METHOD_NAMES = { idempotent: true, ...STREAM_NAMES } satisfies NamesOf<MethodOptions>;
const ONEWAY_NAMES = { idempotent: true } satisfies NamesOf<Pick<MethodOptions, 'idempotent'>>;
const CLASS_NAMES = { input: true, output: true } satisfies NamesOf<MethodClasses>;

/**
 * What the serving side makes of an argument before the handler gets it; a wrong one is
 * INVALID_ARGUMENT. Of a stream: of each message.
 */
interface InputSchema<Schema> {
  input: Schema;
}

/**
 * What it makes of the handler's answer before that leaves; a wrong one is INTERNAL. Of a stream:
 * of each message.
 */
interface OutputSchema<Schema> {
  output: Schema;
}

/** Classes that encode and decode Protobuf, as protobufjs and ts-proto generate them. */
interface Protobuf<Classes> {
  protobuf: Classes;
}

/**
 * Makes a method with arguments and answers. Their types are written (`unary<Input, Output>()`) or
 * those of schemas of any library that follows the Standard Schema (`unary({ input, output })`) or
 * those of classes (`unary({ protobuf: { input, output } })`). Throws BAD_OPTION.
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
 * Makes a method that answers nothing: types, a schema or a class for the argument alone. Throws
 * BAD_OPTION.
 */
interface MakeSilentMethod<Kind extends MethodKind, Options> {
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
export const unary: MakeMethod<'unary', MethodOptions> = maker('unary');

/**
 * A method without a reply: the call settles when it is queued, and nobody learns what became of
 * it.
 */
export const oneway: MakeSilentMethod<'oneway', Pick<MethodOptions, 'idempotent'>> = maker(
  'oneway',
);

/**
 * A method whose caller learns that it was handled, and no more: neither a value nor, in Go's
 * protocol, an error.
 */
export const noReply: MakeSilentMethod<'noReply', MethodOptions> = maker('noReply');

/**
 * A method with one argument and a stream of replies. Between TypeScript peers only, as all
 * streams.
 */
export const serverStream: MakeMethod<'serverStream', StreamOptions> = maker('serverStream');

/** A method with a stream of arguments and one reply. */
export const clientStream: MakeMethod<'clientStream', StreamOptions> = maker('clientStream');

/** A method with a stream of arguments and a stream of replies, each at its own pace. */
export const duplex: MakeMethod<'duplex', StreamOptions> = maker('duplex');

interface SpecOptions
  extends MethodOptions,
    Partial<InputSchema<StandardSchemaV1> & OutputSchema<StandardSchemaV1>> {
  protobuf?: Partial<MethodClasses> | undefined;
}

// biome-ignore lint/suspicious/noExplicitAny: the overloads say which types
type AnySpec<Kind extends MethodKind> = MethodSpec<any, any, any, any, Kind>;

function maker<Kind extends MethodKind>(kind: Kind): (options?: SpecOptions) => AnySpec<Kind> {
  const answers = kind !== 'oneway' && kind !== 'noReply';
  const ofKind: Names =
    kind === 'oneway' ? ONEWAY_NAMES : streams(kind) ? STREAM_NAMES : METHOD_NAMES;
  const known: Names = { ...ofKind, input: true, protobuf: true, ...(answers && { output: true }) };
  return (options = {}) => {
    if (typeof options !== 'object' || options === null)
      throw badOption('options', options, 'an object');
    checkNames(`${kind}()`, options, known);
    const { idempotent = false, timeout, input, output, protobuf } = options;
    if (timeout !== undefined) checkTimeout(timeout);
    checkSchema('input', input);
    checkSchema('output', output);
    if (protobuf !== undefined) {
      checkNames('protobuf', protobuf, CLASS_NAMES);
      checkClass('protobuf.input', protobuf?.input);
      if (answers) checkClass('protobuf.output', protobuf?.output);
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
