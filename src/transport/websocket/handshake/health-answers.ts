/** Answers the health checks of load balancers at a WebSocket server. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { callAsync } from '../../../core/callbacks.js';
import { gettyError } from '../../../core/errors.js';
import { encodePath } from '../../address.js';
import type { Handshake, HandshakeTracker } from '../../stream/handshake-tracker.js';
import type { Admission, HealthCheck, WebSocketOptions } from '../../types.js';
import { statusResponse } from './server-handshake.js';
import { hasBody, pathAndQueryOf } from './upgrade-request.js';

interface HealthAnswersOptions {
  readonly admission: Admission;
  readonly handshakes: HandshakeTracker;
}

export class HealthAnswers {
  readonly #path: string | undefined;
  readonly #isHealthy: () => boolean | Promise<boolean>;
  readonly #options: HealthAnswersOptions;

  constructor(health: WebSocketOptions['health'], options: HealthAnswersOptions) {
    const check: Partial<HealthCheck> = typeof health === 'object' ? health : { path: health };
    const { path, isHealthy = () => true } = check;
    this.#path = path === undefined ? undefined : encodePath(path);
    this.#isHealthy = isHealthy;
    this.#options = options;
  }

  /**
   * Answers a request that is a health check; returns whether it is one. The Host header is not
   * checked, because health checks of HTTP/1.0 have none.
   */
  answer(request: IncomingMessage, socket: Socket): boolean {
    const { method, url = '', headers } = request;
    if (this.#path === undefined || (method !== 'GET' && method !== 'HEAD') || hasBody(headers))
      return false;
    const path = pathAndQueryOf(url)?.split('?', 1)[0];
    if (path === undefined || encodePath(path) !== this.#path) return false;
    const { handshakes } = this.#options;
    const handshake = handshakes.find(socket);
    if (handshake === undefined) socket.destroy();
    else
      handshakes.whenDecided(handshake, this.#check(), (isHealthy) =>
        this.#send(handshake, socket, isHealthy, method === 'HEAD'),
      );
    return true;
  }

  async #check(): Promise<boolean> {
    try {
      return (await callAsync(this.#isHealthy)) === true;
    } catch (error) {
      const { admission } = this.#options;
      admission.warnOncePerMinute(
        gettyError('HANDLER_FAILED', 'isHealthy failed, so the answer was 503', error),
      );
      return false;
    }
  }

  #send(handshake: Handshake, socket: Socket, isHealthy: boolean, isHead: boolean): void {
    const response = statusResponse(isHealthy ? 200 : 503, undefined, ['Cache-Control: no-store']);
    const headerLength = response.indexOf('\r\n\r\n') + 4;
    this.#options.handshakes.answer(
      handshake,
      socket,
      isHead ? response.slice(0, headerLength) : response,
    );
  }
}
