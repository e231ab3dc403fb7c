/**
 * Sockets, processes and threads of the system that the code of a simulation has created although
 * a simulation has none. They would stay open, and keep the process alive, after its end.
 */

type Kind = 'forbidden' | 'handle' | 'request';

/** By type. One look-up for each async resource of a simulation keeps the hook fast. */
const KINDS: ReadonlyMap<string, Kind> = new Map([
  // Their events come at a real time, so the same seed would give different traces.
  ['TCPCONNECTWRAP', 'forbidden'],
  ['TCPSERVERWRAP', 'forbidden'],
  ['PIPECONNECTWRAP', 'forbidden'],
  ['PIPESERVERWRAP', 'forbidden'],
  ['UDPWRAP', 'forbidden'],
  ['GETADDRINFOREQWRAP', 'forbidden'],
  ['GETNAMEINFOREQWRAP', 'forbidden'],
  ['QUERYWRAP', 'forbidden'],
  ['PROCESSWRAP', 'forbidden'],
  ['WORKER', 'forbidden'],
  // They belong to forbidden resources. The standard streams have such handles too.
  ['TCPWRAP', 'handle'],
  ['PIPEWRAP', 'handle'],
  ['WRITEWRAP', 'request'],
  ['SHUTDOWNWRAP', 'request'],
  ['UDPSENDWRAP', 'request'],
]);
/** What a message calls the forbidden ones. */
const NAMES: Readonly<Record<string, string>> = {
  TCPCONNECTWRAP: 'TCP connection, such as of node:net, node:http or fetch()',
  TCPSERVERWRAP: 'TCP server, such as of node:net or node:http',
  PIPECONNECTWRAP: 'connection to a Unix socket or pipe',
  PIPESERVERWRAP: 'server at a Unix socket or pipe',
  UDPWRAP: 'UDP socket',
  GETADDRINFOREQWRAP: 'look-up of a host name, such as of node:net, node:http or fetch()',
  GETNAMEINFOREQWRAP: 'look-up of an address',
  QUERYWRAP: 'DNS query',
  PROCESSWRAP: 'child process',
  WORKER: 'worker thread',
};

export function nameOfResource(type: string): string {
  return NAMES[type] ?? type;
}

/** The file descriptors of standard input, output and error. */
const STANDARD_STREAMS: readonly unknown[] = [0, 1, 2];
const SIGKILL = 9;

/** An async resource of Node.js. Which of these it has depends on its type. */
interface SystemResource {
  readonly fd?: number;
  /** Of a request to write. */
  readonly handle?: SystemResource;
  /** Called when a request has ended. */
  oncomplete?: () => void;
  /** Called when a child process has ended. */
  onexit?: () => void;
  close?(): void;
  kill?(signal: number): void;
  stopThread?(): void;
}

export class SystemResources {
  readonly #handles: [type: string, handle: SystemResource][] = [];
  #hasForbidden = false;

  /** Records what closeAll() must end. Returns whether the simulation fails for this resource. */
  add(type: string, resource: SystemResource): boolean {
    const kind = KINDS.get(type);
    if (kind === undefined) return false;
    const isForbidden = kind === 'forbidden';
    if (isForbidden) this.#hasForbidden = true;
    if (kind !== 'request') this.#handles.push([type, resource]);
    // Node.js sets `oncomplete` after it has created the request.
    if (this.#hasForbidden && kind !== 'handle') queueMicrotask(() => silence(resource));
    return isForbidden;
  }

  /** No code of the simulation is informed, as after the crash of a host. */
  closeAll(): void {
    if (!this.#hasForbidden) return;
    for (const [type, handle] of this.#handles) {
      if (isStandardStream(handle)) continue;
      if (type === 'WORKER') handle.stopThread?.();
      else if (type === 'PROCESSWRAP') {
        handle.onexit = () => handle.close?.();
        handle.kill?.(SIGKILL);
      } else handle.close?.();
    }
  }
}

/** A request that ends must not call code that has no listener for its error. */
function silence(request: SystemResource): void {
  if (request.oncomplete !== undefined && !isStandardStream(request.handle))
    request.oncomplete = () => {};
}

/** console.log() in a scenario can be the first use of such a stream. */
function isStandardStream(handle: SystemResource | undefined): boolean {
  return STANDARD_STREAMS.includes(handle?.fd);
}
