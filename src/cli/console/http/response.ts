/** The answer to a request, after which the connection ends. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';

export interface Response {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

export function textResponse(
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const type = { 'Content-Type': 'text/plain; charset=utf-8' };
  return { status, headers: { ...headers, ...type }, body: Buffer.from(`${text}\n`) };
}

/** Sends a response, without its body if the request was HEAD, and closes the connection. */
export function answer(
  socket: Socket,
  { status, headers = {}, body = Buffer.alloc(0) }: Response,
  isHead = false,
): void {
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    // A response with 204 has no length.
    ...(status === 204 ? [] : [`Content-Length: ${body.length}`]),
    'Connection: close',
  ];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  if (!isHead) socket.write(body);
  // A peer that keeps its side open must not keep the place of a connection.
  socket.destroySoon();
}
