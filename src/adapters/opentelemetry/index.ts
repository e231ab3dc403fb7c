/**
 * Calls as spans of OpenTelemetry: one interceptor for both sides, whose spans meet across the wire
 * (W3C trace context).
 */
import {
  type Attributes,
  type Context,
  context,
  isSpanContextValid,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  type SpanOptions,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { badOption, checkNames, type NamesOf } from '../../core/options.js';
import {
  type Call,
  type CallContext,
  type Interceptor,
  type Invoke,
  isReceived,
  type Method,
  RpcError,
} from '../../rpc/index.js';
import { CallSpan } from './call-span.js';
import { isIterable, TracedReplies } from './replies.js';

export interface TracingOptions {
  /** Default: that of the global provider, `getty`. */
  tracer?: Tracer | undefined;
  /**
   * True where strangers call: a call that comes begins a trace of its own, with a link to the
   * caller's, so that nobody adds to ours or decides what is recorded. Default: false.
   */
  publicEndpoint?: boolean | undefined;
}

const NAMES = { tracer: true, publicEndpoint: true } satisfies NamesOf<TracingOptions>;

/**
 * A span for each call that we make (CLIENT) and for each that comes to us (SERVER); while a
 * handler runs, its span is the active one. The name and the error's code are recorded, no
 * arguments and no texts. The trace travels in the metadata, as the global propagator writes it.
 * Where nobody has set up OpenTelemetry, calls pass as they are. Throws BAD_OPTION.
 */
export function tracing(options: TracingOptions = {}): Interceptor {
  checkNames('tracing()', options, NAMES);
  const { tracer = trace.getTracer('getty'), publicEndpoint = false } = options;
  if (typeof tracer?.startSpan !== 'function')
    throw badOption('tracer', tracer, 'a Tracer of OpenTelemetry');
  if (typeof publicEndpoint !== 'boolean')
    throw badOption('publicEndpoint', publicEndpoint, 'a boolean');
  return (next) => (call) =>
    isReceived(call) ? serve(tracer, publicEndpoint, next, call) : make(tracer, next, call);
}

/** What is the same for all calls of a method. */
const known = new WeakMap<Method, { readonly name: string; readonly attributes: Attributes }>();

function describe(method: Method): { readonly name: string; readonly attributes: Attributes } {
  let description = known.get(method);
  if (description === undefined) {
    const { service, name } = method;
    description = {
      name: `${service}/${name}`,
      attributes: { 'rpc.system': 'getty', 'rpc.service': service, 'rpc.method': name },
    };
    known.set(method, description);
  }
  return description;
}

/** True for the span that is none, and hands on no trace. */
function isNone(span: Span): boolean {
  return !span.isRecording() && !isSpanContextValid(span.spanContext());
}

function make(tracer: Tracer, next: Invoke, call: Call): Promise<unknown> {
  const { name, attributes } = describe(call.method);
  const parent = context.active();
  const span = tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes }, parent);
  if (isNone(span)) return next(call);
  const inner = trace.setSpan(parent, span);
  // Without a prototype, as what comes has none.
  const metadata: Record<string, string> = Object.assign(Object.create(null), call.metadata);
  propagation.inject(inner, metadata);
  return follow(next, call.with({ metadata }), inner, new CallSpan(span, undefined));
}

function serve(
  tracer: Tracer,
  publicEndpoint: boolean,
  next: Invoke,
  call: CallContext,
): Promise<unknown> {
  const { name, attributes } = describe(call.method);
  // What is active here is the context of whoever opened the session, or wrote last to it: no
  // business of this call.
  const sent = propagation.extract(ROOT_CONTEXT, call.metadata);
  const options: SpanOptions = { kind: SpanKind.SERVER, attributes };
  const caller = publicEndpoint ? trace.getSpanContext(sent) : undefined;
  if (caller !== undefined) options.links = [{ context: caller }];
  const parent = publicEndpoint ? ROOT_CONTEXT : sent;
  const span = tracer.startSpan(name, options, parent);
  if (isNone(span)) return next(call);
  return follow(next, call, trace.setSpan(parent, span), new CallSpan(span, call));
}

async function follow(next: Invoke, call: Call, inner: Context, span: CallSpan): Promise<unknown> {
  const { kind } = call.method;
  const streams = kind === 'serverStream' || kind === 'duplex';
  if (streams) span.endWithCaller();
  let reply: unknown;
  try {
    reply = await context.with(inner, next, undefined, call);
  } catch (error) {
    span.end(error);
    throw error;
  }
  if (streams && isIterable(reply))
    return new TracedReplies(reply, inner, (error) => span.end(error));
  span.end(streams ? new RpcError('INTERNAL', 'what was answered cannot be iterated') : undefined);
  return reply;
}
