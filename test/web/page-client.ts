/** A client of the bundle `getty-ts/web`, which runs without the globals of Node.js. */
import type { Client, Session, SessionOptions } from '../../src/transport/index.js';
import type { WebClientOptions } from '../../src/web/index.js';
import { Recorder } from '../fixtures/recorder.js';
import { loadWeb, type Page, type Web } from '../fixtures/web.js';

type Events = Recorder<Uint8Array, Uint8Array>;

interface PageClient extends AsyncDisposable {
  readonly web: Web;
  readonly client: Client<Uint8Array, Uint8Array>;
  /** The first session. */
  readonly session: Session<Uint8Array, Uint8Array>;
  readonly events: Events;
}

/** Connects to `address` with the codec raw(), and waits for the first session. */
export async function connectPage(
  address: string,
  setup: SessionOptions & { on?: ConstructorParameters<typeof Recorder>[1] } = {},
  options: WebClientOptions = {},
  page: Page = {},
): Promise<PageClient> {
  const { on, ...session } = setup;
  const web = await loadWeb(page);
  const events: Events = new Recorder('the page', on as never);
  const client = await web.connect<Uint8Array>(
    address,
    { codec: web.raw(), listener: events, ...session },
    { reconnect: false, ...options },
  );
  return {
    web,
    client,
    events,
    session: await client.session(),
    [Symbol.asyncDispose]: () => {
      client.destroy();
      return client.close();
    },
  };
}

export const decodeText = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
export const encodeText = (text: string): Uint8Array => new TextEncoder().encode(text);
