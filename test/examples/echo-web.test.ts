/** examples/echo-web, in a page of a browser. */
import { readFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type EchoMessage, echoCodec as exampleCodec } from '../../examples/echo/codec.js';
import type { Codec } from '../../src/transport/index.js';
import { launchChromium } from '../fixtures/chromium.js';
import { decode, encode } from '../fixtures/chunks.js';
import { INSTALL_TIMEOUT } from '../fixtures/debian.js';
import { runExample } from '../fixtures/programs.js';
import { Inbox } from '../fixtures/waiting.js';

/** The example imports the built types, which the compiler distinguishes from those of src. */
const echoCodec = exampleCodec as unknown as Codec<EchoMessage>;

let browser: Browser;
beforeAll(async () => {
  browser = await launchChromium();
}, INSTALL_TIMEOUT);
afterAll(() => browser?.close());

/** Messages that Go's echo clients sent, in hex. */
const RECORDED = readFileSync(
  new URL('../fixtures/vectors/echo-udp.jsonl', import.meta.url),
  'utf8',
)
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line))
  .filter(
    ({ direction, datagramHex }) =>
      direction === 'client-to-server' && datagramHex.startsWith('05091620'),
  )
  .map(({ datagramHex }) => datagramHex as string);

/** Opens the page; `frames` receives the messages that its WebSocket sends. */
async function openPage(
  url: string,
): Promise<{ tab: Page; frames: Inbox<Buffer> } & AsyncDisposable> {
  const tab = await browser.newPage();
  const frames = new Inbox<Buffer>('a frame of the page');
  tab.on('websocket', (socket) =>
    socket.on('framesent', ({ payload }) => frames.push(Buffer.from(payload))),
  );
  await tab.goto(url);
  return { tab, frames, [Symbol.asyncDispose]: () => tab.close() };
}

const shown = async (tab: Page, id: string): Promise<string> =>
  (await tab.locator(`#${id}`).textContent()) ?? '';
/** Waits until the page shows the text at `id`. */
const shows = (tab: Page, id: string, text: string | RegExp): Promise<void> =>
  tab.locator(`#${id}`, { hasText: text }).waitFor();

it('sends the bytes of examples/echo, and shows counts and round trips', async () => {
  await using program = runExample('echo-web');
  const address = await program.line(/echo at (.*)/);
  const url = await program.line(/open (.*)/);
  await using page = await openPage(url);
  const { tab, frames } = page;
  await shows(tab, 'state', 'connected');
  expect(await shown(tab, 'address')).toBe(address);
  await shows(tab, 'beats', '1 × “pong”');
  const heartbeat: EchoMessage = { logId: 0, sequence: 1, command: 0, text: 'ping' };
  expect((await frames.next()).toString('hex')).toBe(
    encode(echoCodec, [heartbeat]).toString('hex'),
  );

  for (const text of ['Hello, getty!', 'grüße 😀']) {
    await tab.fill('#text', text);
    await tab.click('text=Send >> nth=0');
    const frame = await frames.next();
    const [message] = decode(echoCodec, [frame]);
    expect(message).toMatchObject({ command: 1, text });
    expect(frame.toString('hex')).toBe(encode(echoCodec, [message as EchoMessage]).toString('hex'));
    await tab.locator('#log tr', { hasText: text }).filter({ hasText: / ms/ }).waitFor();
    expect((await shown(tab, 'wire')).replaceAll(/\s/g, '')).toBe(frame.toString('hex'));
  }
  await shows(tab, 'answered', /^2$/);
  expect([await shown(tab, 'sent'), await shown(tab, 'missing')]).toEqual([
    '2',
    'none is under way',
  ]);
  expect(await shown(tab, 'trip')).toMatch(/^[\d.]+ ms$/);

  // The client of examples/echo uses the same server.
  await using client = runExample('echo', '--client', '--address', address, '--count', '1');
  expect(await client.ended).toBe(0);
  expect(client.lines.all).toEqual(['1: Hello, getty!', '2: pong']);

  await tab.click('#many');
  await shows(tab, 'answered', /^1,002$/);
  expect(await shown(tab, 'missing')).toBe('none is under way');
  await tab.fill('#text', 'ü'.repeat(200));
  await tab.click('text=Send >> nth=0');
  await shows(tab, 'problem', 'the text has 400 bytes, expected at most 255');
  expect(await shown(tab, 'sent')).toBe('1,002');
});

it('writes the bytes that Go clients sent', () => {
  expect(RECORDED.length).toBeGreaterThan(5);
  for (const hex of RECORDED) {
    const messages = decode(echoCodec, [Buffer.from(hex, 'hex')]);
    expect(encode(echoCodec, messages).toString('hex')).toBe(hex);
  }
});

it('shows a lost connection, and reconnects after a restart of the server', async () => {
  let program = runExample('echo-web');
  try {
    const address = await program.line(/echo at (.*)/);
    const url = await program.line(/open (.*)/);
    await using page = await openPage(url);
    await shows(page.tab, 'state', 'connected');
    await program[Symbol.asyncDispose]();
    await shows(page.tab, 'state', 'reconnecting');
    expect(await shown(page.tab, 'reason')).not.toBe('');
    expect(await page.tab.locator('button:disabled').count()).toBe(2);
    program = runExample('echo-web', '--port', new URL(url).port, '--address', address);
    await shows(page.tab, 'state', 'connected');
    await page.tab.click('text=Send >> nth=0');
    await shows(page.tab, 'answered', /^1$/);
  } finally {
    await program[Symbol.asyncDispose]();
  }
});

it('rejects a connection from a page of another origin', async () => {
  await using program = runExample('echo-web');
  const address = await program.line(/echo at (.*)/);
  await using other = runExample('echo-web');
  await using page = await openPage(await other.line(/open (.*)/));
  const outcome = page.tab.evaluate(
    (where) =>
      new Promise((resolve) => {
        const socket = new WebSocket(where);
        socket.onopen = () => resolve('open');
        socket.onclose = () => resolve('rejected');
      }),
    address,
  );
  expect(await outcome).toBe('rejected');
});
