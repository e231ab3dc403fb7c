/**
 * The router: finds the handler of a request by service, version and method. All channels of a
 * server or client share one.
 */

import { badOption } from '../../core/options.js';
import { RpcError } from '../errors.js';
import type { CodecName, Handler, Method, Service } from '../types.js';
import type { Frame } from '../wire/frame.js';
import { HeaderCache, LARGEST_CACHED_HEADER } from '../wire/header-cache.js';
import { type RequestHeader, readRequestHeader } from '../wire/request-header.js';

export interface Route {
  readonly method: Method;
  readonly handler: Handler;
}

/** The header of a request with its route. */
export interface RoutedHeader extends RequestHeader {
  /** The route, or the error of a request for which there is none. */
  readonly route: Route | RpcError;
  readonly codec: CodecName;
}

export class Router {
  /** The services, by name, then by version. Maps, because `constructor` is a valid name. */
  readonly #services = new Map<string, Map<string, Service>>();
  readonly #jsonHeaders = new HeaderCache<RoutedHeader>();
  readonly #protobufHeaders = new HeaderCache<RoutedHeader>();

  /** Throws BAD_OPTION when two services have the same name and version. */
  constructor(services: readonly Service[]) {
    if (!Array.isArray(services))
      throw badOption('services', services, 'an array of services, made by implement()');
    for (const service of services) {
      if (!(service?.handlers instanceof Map))
        throw badOption('services', service, 'a service, made by implement()');
      const { name, version } = service.contract;
      const versions = this.#services.get(name) ?? new Map<string, Service>();
      if (versions.has(version))
        throw badOption('services', `${name} ${version}`, 'each service and version once');
      this.#services.set(name, versions.set(version, service));
    }
  }

  /**
   * Reads a request header and finds its route. For an unknown service, version or method `route`
   * is the error UNIMPLEMENTED. Throws INVALID_ARGUMENT for a header that does not parse.
   */
  find(codec: CodecName, frame: Frame): RoutedHeader {
    const { view, headerStart, headerEnd } = frame;
    if (headerEnd - headerStart > LARGEST_CACHED_HEADER) return this.#read(codec, frame);
    const cache = codec === 'json' ? this.#jsonHeaders : this.#protobufHeaders;
    const known = cache.get(view, headerStart, headerEnd);
    if (known !== undefined) return known;
    const routed = this.#read(codec, frame);
    // Not cached: headers with metadata, which differ from call to call, and unknown names, which a
    // peer can invent. Both would evict the others.
    if (routed.metadata === undefined && !(routed.route instanceof RpcError))
      cache.set(view, headerStart, headerEnd, routed);
    return routed;
  }

  #read(codec: CodecName, frame: Frame): RoutedHeader {
    const header = parse(codec, frame);
    return { route: this.#routeOf(header), codec, ...header };
  }

  #routeOf({ service, version, method }: RequestHeader): Route | RpcError {
    const versions = this.#services.get(service);
    if (versions === undefined)
      return notServedError(`service ${quote(service)} is not served here`);
    // A caller without a version, as each Go caller is, gets the service without a version, or the
    // first one. A service without a version accepts every caller.
    const found =
      version === ''
        ? (versions.get('') ?? versions.values().next().value)
        : (versions.get(version) ?? versions.get(''));
    if (found === undefined) {
      return notServedError(
        `service ${quote(service)} is served in version ${[...versions.keys()].join(', ')}, not in ${quote(version)}`,
      );
    }
    return found.handlers.get(method) ?? noMethodError(service, method);
  }
}

/**
 * The reason is `refused`, because another node may have the method. It is not `not-served`: the
 * node does serve the service.
 */
function noMethodError(service: string, method: string): RpcError {
  return new RpcError('UNIMPLEMENTED', `service ${quote(service)} has no method ${quote(method)}`, {
    reason: 'refused',
    unsent: true,
  });
}

function notServedError(message: string): RpcError {
  return new RpcError('UNIMPLEMENTED', message, { reason: 'not-served', unsent: true });
}

function parse(codec: CodecName, frame: Frame): RequestHeader {
  try {
    return readRequestHeader(codec, frame.bytes, frame.headerStart, frame.headerEnd);
  } catch (error) {
    throw new RpcError('INVALID_ARGUMENT', `the ${codec} request header does not parse`, {
      cause: error,
    });
  }
}

/** Returns a name that a peer sent, quoted and shortened for a message. */
function quote(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name);
}
