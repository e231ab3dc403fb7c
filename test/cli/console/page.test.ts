/** The page of `getty console` in Chromium. */
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type RpcServer, serve } from '../../../src/rpc/index.js';
import { launchChromium } from '../../fixtures/chromium.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { testService } from '../../fixtures/rpc.js';
import { until } from '../../fixtures/waiting.js';
import { Greeter, greeter, openFleet, type TestFleet } from '../greeter-servers.js';
import { type OpenConsole, openConsole } from './open-console.js';

let browser: Browser;
let fleet: TestFleet;
let console: OpenConsole;
let context: BrowserContext;
let page: Page;
/** Errors of the page, and requests to other hosts. */
let problems: string[];

beforeAll(async () => {
  browser = await launchChromium();
  fleet = openFleet();
  await fleet.provide('a', { services: [greeter('a'), testService()] });
  await fleet.provide('b', { admin: true });
  console = await openConsole(fleet.url);
}, INSTALL_TIMEOUT);

afterAll(async () => {
  await browser?.close();
  await console?.[Symbol.asyncDispose]();
  await fleet?.[Symbol.asyncDispose]();
});

beforeEach(() => open());
afterEach(async () => {
  await context.close();
  expect(problems).toEqual([]);
});

interface Look {
  readonly width?: number;
  readonly colorScheme?: 'light' | 'dark';
}

/** Opens the page of a console in a new window. */
async function open(
  { url, origin }: OpenConsole = console,
  { width = 1440, colorScheme = 'light' }: Look = {},
): Promise<void> {
  await context?.close();
  problems = [];
  context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
  page = await context.newPage();
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== origin) problems.push(request.url());
  });
  await page.goto(url);
  await page.getByRole('table', { name: 'Nodes' }).waitFor();
}

/** Goes to a view. */
async function go(hash: string): Promise<void> {
  await page.goto(`${console.origin}/${hash}`);
}

const row = (table: string, text: string) =>
  page.getByRole('table', { name: table, exact: true }).getByRole('row').filter({ hasText: text });

describe('the overview', () => {
  test('has the services, the nodes with their states, and the last events', async () => {
    await row('Services', 'Greeter v1').getByText('2', { exact: true }).waitFor();
    await row('Services', 'TestService v1.0').waitFor();
    for (const id of ['a', 'b'])
      await row('Nodes', `${id}tcp://`).getByText('takes calls').waitFor();
    await row('Last events', 'the console watches memory:').waitFor();
    await page.getByText('registry ok').waitFor();
    expect(await page.title()).toBe('Overview · getty console');
  });

  test('leads to a service and to a node', async () => {
    await page.getByRole('link', { name: 'Greeter v1' }).click();
    await page.getByRole('heading', { name: 'Greeter v1', level: 1 }).waitFor();
    await row('Nodes of the service', 'btcp').getByRole('link').click();
    await page.getByRole('heading', { name: 'b', level: 1 }).waitFor();
    await page.goBack();
    await page.getByRole('heading', { name: 'Greeter v1', level: 1 }).waitFor();
  });
});

test('a node that ends changes its row, and is an event', async () => {
  const server = await serve('tcp://127.0.0.1:0', [greeter('c')], { introspection: true });
  const { address } = server;
  await using _ = await fleet.registry.register({
    id: 'c',
    service: Greeter.name,
    version: Greeter.version,
    group: '',
    protocol: 'json',
    address,
    metadata: {},
  });
  await row('Nodes', address).getByText('takes calls').waitFor();
  server.destroy();
  await row('Nodes', address).getByText('unreachable').waitFor();
  await row('Last events', `c at ${address} is unreachable`).waitFor();
  await page.getByRole('link', { name: 'Events', exact: true }).click();
  await page.getByLabel('Filter').fill('nothing like this');
  await page.getByText('No event matches the filter.').waitFor();
  await page.getByLabel('Filter').fill(address);
  await page.getByLabel('Problems only').check();
  await row('Events', 'is unreachable').waitFor();
  expect(await row('Events', 'is in the registry').count()).toBe(0);
  await page.getByLabel('Kind').selectOption({ label: 'Weights' });
  await page.getByText('No event matches the filter.').waitFor();
});

describe('a service', () => {
  test('has charts, nodes and methods, and is a link', async () => {
    await go('#/service?name=Greeter&version=v1');
    for (const title of ['Calls per second', 'Failed calls per second', 'Latency'])
      await page.getByRole('img', { name: new RegExp(`^${title}: `) }).waitFor();
    // The legend has the time of the newest values.
    const legend = page.locator('.u-legend').first();
    const before = await legend.textContent();
    await until(async () => (await legend.textContent()) !== before, 'the next second');
    await row('Methods', 'echo').getByText('duplex').waitFor();
    await row('Nodes of the service', 'atcp').getByText('100', { exact: true }).waitFor();
    await row('Methods', 'hello').getByRole('link').click();
    await page.getByRole('heading', { name: 'Call', level: 1 }).waitFor();
    expect(page.url()).toContain('method=hello');
  });

  test('that is not known says so', async () => {
    await go('#/service?name=Nope');
    await page.getByText('This service is not known').waitFor();
    await go('#/nope');
    await page.getByRole('heading', { name: 'Not found' }).waitFor();
    await page.getByRole('link', { name: 'Go to the overview' }).click();
    await row('Services', 'Greeter v1').waitFor();
  });
});

describe('a node', () => {
  test('has its sessions, its process and its methods', async () => {
    await row('Nodes', 'atcp').getByRole('link').click();
    await row('Sessions', 'tcp://127.0.0.1').first().waitFor();
    await row('Methods', 'Greeter/hello').waitFor();
    await row('Services of the node', 'TestService v1.0').waitFor();
    await page.locator('.tile', { hasText: 'Memory' }).getByText('MiB').waitFor();
  });

  test('cannot be drained without permission', async () => {
    await row('Nodes', 'btcp').getByRole('link').click();
    await page.getByText('Read only: start the console with --allow-admin.').waitFor();
    expect(await page.getByRole('button', { name: 'Drain', exact: true }).isDisabled()).toBe(true);
  });

  test('is drained and undrained with permission', async () => {
    await using other = await openConsole(fleet.url, ['--allow-admin']);
    await open(other);
    // The page keeps the token, and not in the address.
    expect(page.url()).toBe(`${other.origin}/`);
    expect(await context.cookies()).toEqual([]);
    const tab = await context.newPage();
    await tab.goto(`${other.origin}/#/events`);
    await tab.getByRole('heading', { name: 'Events', level: 1 }).waitFor();
    await tab.close();
    await row('Nodes', 'btcp').getByRole('link').click();
    await page.getByRole('button', { name: 'Drain', exact: true }).click();
    await page.getByText('Done.').waitFor();
    await page.locator('.state', { hasText: 'draining' }).waitFor();
    await page.getByRole('button', { name: 'Undrain' }).click();
    await page.locator('main .state', { hasText: 'takes calls' }).waitFor();
    await page.getByLabel('Weight').fill('1.5');
    await page.getByRole('button', { name: 'Set weight' }).click();
    await page.getByText('The weight is a whole number').waitFor();
    await page.getByLabel('Weight').fill('100');
    await page.getByRole('button', { name: 'Set weight' }).click();
    await page.getByText('Done.').waitFor();
    await page.reload();
    await page.getByRole('heading', { name: 'b', level: 1 }).waitFor();
    await context.close();
  });
});

test('a page with the token of an earlier console says what it needs', async () => {
  await using other = await openConsole(fleet.url, ['--allow-admin']);
  const tab = await context.newPage();
  await tab.goto(other.origin);
  const advice = tab.getByRole('alert').filter({ hasText: 'open the address that its command' });
  await advice.waitFor();
  await tab.evaluate("localStorage.setItem('getty-console-token', 'earlier')");
  await tab.reload();
  await advice.waitFor();
  // A wrong token of an address does not replace one that was accepted.
  await tab.goto(other.url);
  await tab.getByRole('table', { name: 'Nodes' }).waitFor();
  await tab.goto(`${other.origin}/?token=wrong`);
  await advice.waitFor();
  expect(tab.url()).toBe(`${other.origin}/`);
  await tab.reload();
  await tab.getByRole('table', { name: 'Nodes' }).waitFor();
  await tab.close();
});

describe('a call', () => {
  test('has a form from a JSON Schema, and shows the reply', async () => {
    await go('#/call?service=Greeter&version=v1&method=price');
    await page.getByLabel('item').fill('pear');
    await page.getByRole('button', { name: 'Call', exact: true }).click();
    await page.locator('.run-status', { hasText: /^OK in [\d.]+ ms$/ }).waitFor();
    await page.locator('pre', { hasText: /^4$/ }).waitFor();
    await page.getByRole('button', { name: 'JSON' }).click();
    expect(JSON.parse(await page.getByLabel('Argument as JSON').inputValue())).toEqual({
      item: 'pear',
    });
    await page.getByLabel('Argument as JSON').fill('{');
    await page.getByRole('button', { name: 'Call', exact: true }).click();
    await page.getByRole('alert').filter({ hasText: 'JSON' }).waitFor();
  });

  test('has a form from a Protobuf message', async () => {
    await go('#/call?service=TestService&method=Add');
    await page.getByLabel('A', { exact: true }).fill('1');
    await page.getByLabel('B', { exact: true }).fill('x');
    await page.getByRole('button', { name: 'Call', exact: true }).click();
    await page
      .getByRole('alert')
      .filter({ hasText: 'B: got x, expected a whole number' })
      .waitFor();
    await page.getByLabel('B', { exact: true }).fill('2');
    await page.getByRole('button', { name: 'Call', exact: true }).click();
    await page.locator('pre', { hasText: '"Sum": 3' }).waitFor();
  });

  test('that fails shows the code and the message as text', async () => {
    await go('#/call?service=Greeter&method=fail');
    await page.getByLabel('Argument as JSON').fill('"<img src=x onerror=alert(1)>"');
    await page.getByRole('button', { name: 'Call', exact: true }).click();
    await page
      .locator('.run-status.bad', { hasText: /NOT_FOUND in .*: <img src=x onerror=alert\(1\)>$/ })
      .waitFor();
    expect(await page.locator('main img').count()).toBe(0);
  });

  test('of a stream shows each reply as it comes, and can be cancelled', async () => {
    await go('#/call?service=Greeter&method=echo');
    await page.getByLabel('Argument as JSON').fill('{"n":1}');
    await page.getByRole('button', { name: 'Start' }).click();
    for (const count of ['1 reply', '2 replies']) {
      await page.getByRole('button', { name: 'Send message' }).click();
      await page.locator('.run-status', { hasText: `Receiving: ${count}` }).waitFor();
    }
    await page.getByRole('button', { name: 'End input' }).click();
    await page.locator('.run-status', { hasText: /^OK in .*, 2 replies$/ }).waitFor();
    await page.getByRole('button', { name: 'Start' }).click();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.locator('.run-status', { hasText: 'Cancelled' }).waitFor();
  });

  test('sends metadata and has a timeout, and can be copied', async () => {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await go('#/call?service=Greeter&method=whoami');
    await page.getByText('Metadata, timeout, token').click();
    await page.getByRole('button', { name: 'Add metadata' }).click();
    await page.getByLabel('Key').fill('tenant');
    await page.getByLabel('Value').fill('north');
    await page.getByLabel('Timeout in milliseconds').fill('2000');
    await page.getByRole('button', { name: 'Call', exact: true }).click();
    await page.locator('pre', { hasText: '"tenant": "north"' }).waitFor();
    await page.getByRole('button', { name: 'Copy as command' }).click();
    await page.locator('pre', { hasText: /^getty call .*--meta tenant=north$/ }).waitFor();
    await page.getByRole('button', { name: 'Copy as TypeScript' }).click();
    await page.locator('pre', { hasText: "from 'getty-ts/rpc'" }).waitFor();
  });
});

test('works with the keyboard alone', async () => {
  const focused = () =>
    page.evaluate("document.activeElement?.textContent || document.activeElement?.id || ''");
  await page.keyboard.press('Tab');
  expect(await focused()).toBe('Skip to the content');
  await page.keyboard.press('Enter');
  expect(await focused()).toBe('Overview');
  await page.keyboard.press('Tab');
  expect(await focused()).toBe('Greeter v1');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Greeter v1', level: 1 }).waitFor();
  expect(await focused()).toBe('Greeter v1');
  await row('Nodes of the service', 'atcp').waitFor();
  await page.keyboard.press('Tab');
  expect(await focused()).toBe('a');
});

test('the theme is that of the system until the user chooses', async () => {
  const ground = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
  await open(console, { colorScheme: 'dark' });
  const dark = await ground();
  await page.getByRole('button', { name: 'Theme: auto' }).click();
  expect(await ground()).not.toBe(dark);
  await page.reload();
  await page.getByRole('button', { name: 'Theme: light' }).click();
  expect(await ground()).toBe(dark);
});

const VIEWS = [
  '#/',
  '#/service?name=Greeter&version=v1',
  '#/call?service=Greeter&method=price',
  '#/events',
];

describe.each([360, 1440])('at %d px', (width) => {
  test.each(['light', 'dark'] as const)(
    'in %s nothing is cut off, and text can be read',
    async (colorScheme) => {
      await open(console, { width, colorScheme });
      const node = await row('Nodes', 'atcp').getByRole('link').getAttribute('href');
      for (const hash of [...VIEWS, node ?? '']) {
        await go(hash);
        await page.locator('main h1').waitFor({ state: 'attached' });
        await page.locator('main .panel').first().waitFor();
        expect([hash, await page.evaluate(OVERFLOW)]).toEqual([hash, 0]);
        expect([hash, await page.evaluate(LOW_CONTRAST)]).toEqual([hash, []]);
      }
    },
  );
});

/** Pixels by which the page is wider than the window. */
const OVERFLOW = 'document.documentElement.scrollWidth - document.documentElement.clientWidth';

/** Texts whose contrast is below 4.5 (WCAG 2, AA). */
const LOW_CONTRAST = `(() => {
  const channel = (value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  };
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) =>
    0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const groundOf = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = parse(getComputedStyle(each).backgroundColor);
      if (color[3] !== 0) return color;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const element of document.querySelectorAll('body *')) {
    const hasText = [...element.childNodes].some(
      (node) => node.nodeType === 3 && node.textContent.trim() !== '',
    );
    if (!hasText || !element.checkVisibility() || element.closest(':disabled')) continue;
    const [a, b] = [parse(getComputedStyle(element).color), groundOf(element)].map(luminance);
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) low.push(element.textContent + ' ' + contrast.toFixed(2));
  }
  return low;
})()`;

test('says that the process is lost, and goes on when it is back', async () => {
  const server: RpcServer = await serve('tcp://127.0.0.1:0', [greeter()], { introspection: true });
  const first = await openConsole(server.address);
  await open(first);
  const { host } = new URL(first.origin);
  await first[Symbol.asyncDispose]();
  await page.getByText('The process of the console does not answer').waitFor();
  await using _ = await openConsole(server.address, ['--listen', host]);
  await page.getByText('The process of the console does not answer').waitFor({ state: 'hidden' });
  await row('Nodes', 'server').waitFor();
  // The browser reports each attempt to connect.
  problems = problems.filter((text) => !/WebSocket|ERR_CONNECTION_REFUSED/.test(text));
  await context.close();
  server.destroy();
});
