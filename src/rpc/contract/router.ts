/**
 * Finds the handler of a request: by service, version and method. Shared by all channels of a
 * server or client.
 */

import type { Bytes } from '../../core/bytes.js';
import { badOption } from '../../core/options.js';
import { RpcError } from '../errors.js';
import type { CodecName, Handler, Method, Service } from '../types.js';
import { type RequestHead, readRequestHead } from '../wire/header.js';
import { HeadCache, LARGEST_HEAD } from '../wire/header-cache.js';

export interface Route {
  readonly method: Method;
  readonly handler: Handler;
}

/** A request's header and what it leads to: a route, or the reason why there is none. */
export interface Routed extends RequestHead {
  readonly route: Route | RpcError;
}

export class Router {
  /** By name, then by version. Maps, so that `constructor` is a name like any other. */
  readonly #services = new Map<string, Map<string, Service>>();
  readonly #cache: Readonly<Record<CodecName, HeadCache<Routed>>> = {
    json: new HeadCache(),
    protobuf: new HeadCache(),
  };

  /** Throws BAD_OPTION when two services have the same name and version. */
  constructor(services: readonly Service[]) {
    if (!Array.isArray(services))
      throw badOption('services', services, 'an array of what implement() returns');
    for (const service of services) {
      if (!(service?.handlers instanceof Map))
        throw badOption('services', service, 'what implement() returns');
      const { name, version } = service.contract;
      const versions = this.#services.get(name) ?? new Map<string, Service>();
      if (versions.has(version))
        throw badOption('services', `${name} ${version}`, 'each service and version once');
      this.#services.set(name, versions.set(version, service));
    }
  }

  /**
   * An unknown service, version or method is UNIMPLEMENTED. Throws INVALID_ARGUMENT for a header
   * that does not parse.
   */
  find(codec: CodecName, bytes: Bytes, start: number, end: number): Routed {
    if (end - start > LARGEST_HEAD) return this.#read(codec, bytes, start, end);
    const cache = this.#cache[codec];
    const known = cache.get(bytes, start, end);
    if (known !== undefined) return known;
    const routed = this.#read(codec, bytes, start, end);
    // Metadata differ from call to call, and would push everything else out; so would made-up
    // names.
    if (routed.metadata === undefined && !(routed.route instanceof RpcError))
      cache.set(bytes, start, end, routed);
    return routed;
  }

  #read(codec: CodecName, bytes: Bytes, start: number, end: number): Routed {
    const head = parse(codec, bytes, start, end);
    return { route: this.#route(head), ...head };
  }

  #route({ service, version, method }: RequestHead): Route | RpcError {
    const versions = this.#services.get(service);
    if (versions === undefined) return notServed(`there is no service ${quote(service)} here`);
    // A caller that names no version, as Go's never do, gets the first; a service without a version
    // serves every caller.
    const found =
      version === ''
        ? (versions.get('') ?? versions.values().next().value)
        : (versions.get(version) ?? versions.get(''));
    if (found === undefined) {
      return notServed(
        `service ${quote(service)} is here in version ${[...versions.keys()].join(', ')}, not in ${quote(version)}`,
      );
    }
    return found.handlers.get(method) ?? noMethod(service, method);
  }
}

/**
 * Another node may have it; this one does serve the service, so it is not one that is listed in
 * error.
 */
function noMethod(service: string, method: string): RpcError {
  return new RpcError('UNIMPLEMENTED', `service ${quote(service)} has no method ${quote(method)}`, {
    reason: 'refused',
    unsent: true,
  });
}

function notServed(message: string): RpcError {
  return new RpcError('UNIMPLEMENTED', message, { reason: 'not-served', unsent: true });
}

function parse(codec: CodecName, bytes: Bytes, start: number, end: number): RequestHead {
  try {
    return readRequestHead(codec, bytes, start, end);
  } catch (error) {
    throw new RpcError('INVALID_ARGUMENT', `the ${codec} request header does not parse`, {
      cause: error,
    });
  }
}

/** A name that a stranger sent, short enough for a message. */
function quote(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name);
}
