/**
 * Makes docs/console.png: the overview of `getty console` while the demo runs. It needs Chromium at
 * CHROMIUM, by default /usr/bin/chromium, and takes a minute.
 *   node scripts/console-picture.mjs
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import { ROOT, setup } from './setup.mjs';

/** Milliseconds. A provider is killed after a third of it, and started again after two thirds. */
const DURATION = 60_000;

setup();
const demo = spawn(
  process.execPath,
  ['build/demo/main.js', '--console', '--rate', '400', '--duration', `${DURATION / 1_000}s`],
  { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] },
);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu'],
});
try {
  let url = '';
  for await (const line of createInterface(demo.stdout)) {
    if (!line.startsWith('http://')) continue;
    url = line;
    break;
  }
  const page = await browser.newPage({ viewport: { width: 1120, height: 640 } });
  await page.goto(url);
  await page.getByText('is in the registry').first().waitFor({ timeout: DURATION });
  // Some seconds, so that the lines show the provider that is back.
  await page.waitForTimeout(DURATION / 8);
  await page.screenshot({ path: join(ROOT, 'docs/console.png') });
} finally {
  await browser.close();
  demo.kill('SIGINT');
  await once(demo, 'exit');
}
