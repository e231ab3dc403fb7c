/**
 * Calls as spans of OpenTelemetry: one interceptor for callers and servers. The trace context
 * travels in the metadata of the call (W3C Trace Context).
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
import { notifyOrWarn } from '../../core/callbacks.js';
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
import { isIterable, TracedReplies } from './traced-replies.js';

/** Options of tracing(). */
export interface TracingOptions {
  /** Makes the spans. Default: the tracer `getty` of the global provider. */
  tracer?: Tracer | undefined;
  /**
   * True if callers are not trusted: each received call starts a new trace, with a link to the
   * trace of its caller. So callers cannot add spans to your traces, or decide what is sampled.
   * Default: false.
   */
  publicEndpoint?: boolean | undefined;
}

const NAMES = { tracer: true, publicEndpoint: true } satisfies NamesOf<TracingOptions>;

/**
 * An interceptor that records a span for each call made (CLIENT) and received (SERVER). While a
 * handler runs, its span is the active one. A span has the name of the method and the code of the
 * error, but no arguments and no messages. The global propagator writes the trace context into the
 * metadata. Without an OpenTelemetry SDK, calls pass unchanged. Throws BAD_OPTION.
 */
export function tracing(options: TracingOptions = {}): Interceptor {
  checkNames('tracing()', options, NAMES);
  const { tracer = trace.getTracer('getty'), publicEndpoint = false } = options;
  if (typeof tracer?.startSpan !== 'function')
    throw badOption('tracer', tracer, 'a Tracer of OpenTelemetry');
  if (typeof publicEndpoint !== 'boolean')
    throw badOption('publicEndpoint', publicEndpoint, 'a boolean');
  return (next) => (call) =>
    isReceived(call)
      ? traceServerCall(tracer, publicEndpoint, next, call)
      : traceClientCall(tracer, next, call);
}

/** The name and attributes that all spans of a method have. */
const descriptions = new WeakMap<
  Method,
  { readonly name: string; readonly attributes: Attributes }
>();

function describe(method: Method): { readonly name: string; readonly attributes: Attributes } {
  let description = descriptions.get(method);
  if (description === undefined) {
    const { service, name } = method;
    description = {
      name: `${service}/${name}`,
      attributes: { 'rpc.system': 'getty', 'rpc.service': service, 'rpc.method': name },
    };
    descriptions.set(method, description);
  }
  return description;
}

/**
 * Starts a span. Undefined: it neither records nor propagates a trace, or the tracer fails, which
 * is a warning of the process.
 */
function startSpan(start: () => Span): Span | undefined {
  let started: Span | undefined;
  notifyOrWarn('the tracer', () => {
    const span = start();
    if (span.isRecording() || isSpanContextValid(span.spanContext())) started = span;
  });
  return started;
}

function traceClientCall(tracer: Tracer, next: Invoke, call: Call): Promise<unknown> {
  const { name, attributes } = describe(call.method);
  const parent = context.active();
  const span = startSpan(() =>
    tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes }, parent),
  );
  if (span === undefined) return next(call);
  const spanContext = trace.setSpan(parent, span);
  // Metadata have no prototype.
  const metadata: Record<string, string> = Object.assign(Object.create(null), call.metadata);
  let traced = call;
  notifyOrWarn('the propagator', () => {
    propagation.inject(spanContext, metadata);
    // Throws if a value of the propagator is no string.
    traced = call.with({ metadata });
  });
  return invokeInSpan(next, traced, spanContext, new CallSpan(span, call, false));
}

function traceServerCall(
  tracer: Tracer,
  publicEndpoint: boolean,
  next: Invoke,
  call: CallContext,
): Promise<unknown> {
  const { name, attributes } = describe(call.method);
  // The active context belongs to the code that opened the session, not to this call.
  let callerContext = ROOT_CONTEXT;
  notifyOrWarn('the propagator', () => {
    callerContext = propagation.extract(ROOT_CONTEXT, call.metadata);
  });
  const options: SpanOptions = { kind: SpanKind.SERVER, attributes };
  const caller = publicEndpoint ? trace.getSpanContext(callerContext) : undefined;
  if (caller !== undefined) options.links = [{ context: caller }];
  const parent = publicEndpoint ? ROOT_CONTEXT : callerContext;
  const span = startSpan(() => tracer.startSpan(name, options, parent));
  if (span === undefined) return next(call);
  return invokeInSpan(next, call, trace.setSpan(parent, span), new CallSpan(span, call, true));
}

/** Makes the call in `spanContext`, and ends the span when the call ends. */
async function invokeInSpan(
  next: Invoke,
  call: Call,
  spanContext: Context,
  span: CallSpan,
): Promise<unknown> {
  const { kind } = call.method;
  const streamsReplies = kind === 'serverStream' || kind === 'duplex';
  if (streamsReplies) span.endWithCaller();
  let reply: unknown;
  try {
    reply = await context.with(spanContext, next, undefined, call);
    if (streamsReplies && isIterable(reply))
      return new TracedReplies(reply, spanContext, (error) => span.end(error));
  } catch (error) {
    span.end(error);
    throw error;
  }
  span.end(streamsReplies ? new RpcError('INTERNAL', 'the reply is not iterable') : undefined);
  return reply;
}
