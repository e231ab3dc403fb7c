/** The argument SERVICE/METHOD. */
import { show } from '../../core/options.js';
import { UsageError } from '../failure.js';

export interface MethodName {
  readonly service: string;
  /** Undefined: the whole service. */
  readonly method: string | undefined;
}

/** `SERVICE` or `SERVICE/METHOD`. Throws UsageError. */
export function parseServiceName(text: string): MethodName {
  const at = text.lastIndexOf('/');
  const [service, method] = at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
  if (service === '' || method === '')
    throw new UsageError(
      `SERVICE/METHOD: got ${show(text)}, expected a name such as Greeter/hello`,
    );
  return { service, method };
}

/** `SERVICE/METHOD`. Throws UsageError. */
export function parseMethodName(text: string): MethodName & { readonly method: string } {
  const { service, method } = parseServiceName(text);
  if (method !== undefined) return { service, method };
  throw new UsageError(
    `SERVICE/METHOD: got ${show(text)}, expected a service and a method such as Greeter/hello`,
  );
}
