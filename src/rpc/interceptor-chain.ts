/** Interceptors, composed with the Invoke that they wrap. */
import { promiseOf } from '../core/callbacks.js';
import { codeOf, gettyError, messageOf } from '../core/errors.js';
import { badOption, checkArray } from '../core/options.js';
import { runInCall } from './calls/inherited-call.js';
import type { ServerCall } from './calls/server-call.js';
import { RpcError } from './errors.js';
import { invokeWithDeadline } from './interceptors/timeout.js';
import type { Interceptor, Invoke } from './types.js';

/**
 * Wrap `invoke` in interceptors; the first one sees a call first. Throws BAD_OPTION when an
 * interceptor is no function or returns none, and when `invoke` is no function.
 */
export function compose(interceptors: readonly Interceptor[], invoke: Invoke): Invoke {
  checkArray('interceptors', interceptors);
  for (const interceptor of interceptors)
    if (typeof interceptor !== 'function')
      throw badOption('interceptors', interceptor, 'functions that return a function');
  if (typeof invoke !== 'function') throw badOption('invoke', invoke, 'a function of a call');
  return interceptors.reduceRight((next, interceptor, index) => {
    const wrapped = makeInvoke(() => interceptor(next), `interceptors[${index}]`, interceptor.name);
    return wrapped === next ? next : wrapUserInvoke(wrapped);
  }, invoke);
}

/** `invoke`, which a program may call: it rejects with BAD_OPTION for what is no call. */
export function checkedInvoke(invoke: Invoke): Invoke {
  return (call) =>
    typeof call?.method === 'object'
      ? invoke(call)
      : Promise.reject(badOption('call', call, 'a Call, which interceptors receive'));
}

/**
 * Returns what `make` returns. A BAD_OPTION that it throws names `option`: the user may have given
 * a function such as `retry` instead of `retry()`. `name`: the name of the function.
 */
function makeInvoke(make: () => Invoke, option: string, name: string): Invoke {
  try {
    return make();
  } catch (error) {
    if (codeOf(error) !== 'BAD_OPTION') throw error;
    const hint = name === '' ? '' : `; did you mean ${name}()?`;
    throw gettyError('BAD_OPTION', `${option}: ${messageOf(error)}${hint}`, error);
  }
}

/**
 * Wraps an Invoke of a user. The result always returns a promise: also when `invoke` throws, and
 * when it returns a value or a thenable. Throws BAD_OPTION when `invoke` is no function.
 */
export function wrapUserInvoke(invoke: Invoke): Invoke {
  if (typeof invoke !== 'function') {
    promiseOf(invoke)?.catch(() => {});
    throw badOption('interceptors', invoke, 'functions that return a function');
  }
  return (call) => {
    try {
      const outcome: unknown = invoke(call);
      return promiseOf(outcome) ?? Promise.resolve(outcome);
    } catch (error) {
      return Promise.reject(error);
    }
  };
}

/**
 * The Invoke that runs the handler of a received call through the interceptors. Undefined when
 * there are none: then the responder calls handlers itself, which costs less.
 */
export function composeHandlerInvoke(
  interceptors: readonly Interceptor[],
  inheritContext: boolean,
): Invoke | undefined {
  if (interceptors.length === 0) return undefined;
  const invokeHandler: Invoke = async (call) => {
    const context = call as ServerCall;
    const { origin } = context;
    // An interceptor may answer before the handler settles. The count limits handlers that still
    // run.
    origin.runningHandlers.onHandlerStart(origin);
    try {
      // with() of an interceptor returns another context, which may have an earlier deadline.
      const isOther = inheritContext && context !== origin;
      const answer = await (isOther
        ? runInCall(context, () => context.handler(context.input, context))
        : context.handler(context.input, context));
      return origin.stream?.writer === undefined
        ? answer
        : origin.runningHandlers.trackReplies(origin, answer);
    } catch (error) {
      throw RpcError.from(error);
    } finally {
      origin.runningHandlers.onHandlerEnd(origin);
    }
  };
  return compose(interceptors, (call) => {
    const context = call as ServerCall;
    const { nearerDeadline } = context;
    if (nearerDeadline === undefined) return invokeHandler(context);
    const left = Math.max(0, Math.ceil(nearerDeadline - performance.now()));
    return invokeWithDeadline(
      invokeHandler,
      context,
      context.timeout ?? left,
      nearerDeadline,
      left,
    );
  });
}
