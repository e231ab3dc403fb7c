/** examples/rpc-web, in two pages of a browser. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launchChromium } from '../fixtures/chromium.js';
import { INSTALL_TIMEOUT } from '../fixtures/debian.js';
import { runExample } from '../fixtures/programs.js';

let browser: Browser;
beforeAll(async () => {
  browser = await launchChromium();
}, INSTALL_TIMEOUT);
afterAll(() => browser?.close());

async function openPage(url: string): Promise<{ tab: Page } & AsyncDisposable> {
  const tab = await browser.newPage();
  await tab.goto(url);
  return { tab, [Symbol.asyncDispose]: () => tab.close() };
}

/** Waits until the page shows the text at `id`. */
const shows = (tab: Page, id: string, text: string | RegExp): Promise<void> =>
  tab.locator(`#${id}`, { hasText: text }).waitFor();
const tasksOf = (tab: Page): Promise<string[]> => tab.locator('#tasks li').allTextContents();

async function add(tab: Page, text: string): Promise<void> {
  await tab.fill('#text', text);
  await tab.click('text=Add');
}

it('shares a list between pages by calls, a stream, and calls from the server', async () => {
  await using program = runExample('rpc-web');
  const address = await program.line(/tasks at (.*)/);
  const url = await program.line(/open (.*)/);
  await using first = await openPage(url);
  await using second = await openPage(url);
  for (const { tab } of [first, second]) {
    await shows(tab, 'state', 'connected');
    await shows(tab, 'address', address);
    await shows(tab, 'left', 'No tasks yet.');
  }

  await add(first.tab, 'write a guide');
  await shows(second.tab, 'left', '1 of 1 left');
  await add(second.tab, '  <b>grüße</b> 😀 ');
  for (const { tab } of [first, second]) {
    await shows(tab, 'left', '2 of 2 left');
    expect(await tasksOf(tab)).toEqual(['write a guide', '<b>grüße</b> 😀']);
  }
  expect(await second.tab.inputValue('#text')).toBe('');

  await second.tab.click('text=write a guide');
  await shows(first.tab, 'left', '1 of 2 left');
  expect(await first.tab.locator('#tasks :checked').count()).toBe(1);
  await first.tab.click('text=grüße');
  for (const { tab } of [first, second]) await shows(tab, 'said', 'All is done. Well done!');

  await add(first.tab, 'x'.repeat(201));
  await shows(first.tab, 'problem', 'a task is a text of 1 to 200 characters (INVALID_ARGUMENT)');
  expect((await tasksOf(first.tab)).length).toBe(2);
});

it('reconnects after a restart of the server, and watches the new list', async () => {
  let program = runExample('rpc-web');
  try {
    const address = await program.line(/tasks at (.*)/);
    const url = await program.line(/open (.*)/);
    await using page = await openPage(url);
    await shows(page.tab, 'state', 'connected');
    await add(page.tab, 'before');
    await shows(page.tab, 'left', '1 of 1 left');
    await program[Symbol.asyncDispose]();
    await shows(page.tab, 'state', 'reconnecting');
    expect(await page.tab.locator('button:disabled').count()).toBe(1);
    program = runExample('rpc-web', '--port', new URL(url).port, '--address', address);
    await shows(page.tab, 'state', 'connected');
    // The new server has an empty list.
    await shows(page.tab, 'left', 'No tasks yet.');
    await add(page.tab, 'after');
    await shows(page.tab, 'left', '1 of 1 left');
    expect(await tasksOf(page.tab)).toEqual(['after']);
  } finally {
    await program[Symbol.asyncDispose]();
  }
});
