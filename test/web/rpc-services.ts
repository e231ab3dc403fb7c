/** The services that the tests of `getty-ts/web/rpc` call from a page. */
import {
  clientStream,
  contract,
  duplex,
  implement,
  oneway,
  RpcError,
  type Service,
  serverStream,
  unary,
} from '../../src/rpc/index.js';
import { testService } from '../fixtures/rpc.js';
import { Inbox } from '../fixtures/waiting.js';

const Greeter = contract(
  'Greeter',
  { hello: unary<string, string>(), fail: unary<string, string>(), note: oneway<string>() },
  { version: 'v1' },
);
/** The service of the page, which the server calls. */
const Page = contract('Page', { title: unary<string, string>() });
const Bulk = contract('Bulk', {
  upload: clientStream<string, number>(),
  download: serverStream<number, string>(),
  echo: duplex<string, string>(),
});

/** 64 KiB, the credits of a stream. */
export const PART = 'x'.repeat(64 * 1024);
/** The parts of a stream of 10 MiB. */
export const PARTS = 160;
/** The arguments of Greeter.note(). */
export const notes = new Inbox<string>('a note');

const greeter: Service = implement(Greeter, {
  async hello(name, context) {
    // The server calls the page on the same session.
    const title = await context.channel.stub(Page).title(name);
    return `hello, ${title} (${context.metadata.from ?? 'nobody'})`;
  },
  fail(text) {
    throw new RpcError('NOT_FOUND', text, {
      details: Uint8Array.of(0, 127, 128, 255),
      metadata: { 'what-is-missing': 'grün' },
    });
  },
  note: (text) => notes.push(text),
});

const bulk: Service = implement(Bulk, {
  async upload(parts) {
    let length = 0;
    for await (const part of parts) length += part.length;
    return length;
  },
  *download(count) {
    for (let i = 0; i < count; i++) yield PART;
  },
  async *echo(parts) {
    yield* parts;
  },
});

export const services: readonly Service[] = [greeter, testService(), bulk];
