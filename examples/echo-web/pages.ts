/** Serves the page of an example, bundled by esbuild. */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

export interface Pages {
  /** For `allowOrigin`: browsers let every page connect to every server. */
  readonly origins: readonly string[];
  /** Serves index.html, page.css and page.ts of `folder`. ADDRESS in the HTML becomes `address`. */
  show(folder: URL, address: string): Promise<void>;
  close(): void;
}

/** Listens at 127.0.0.1. Port 0: a free port. */
export async function openPages(port: number): Promise<Pages> {
  const files = new Map<string, [type: string, content: string | Uint8Array]>();
  const server = createServer(({ url = '' }, response) => {
    const file = files.get(url);
    if (file === undefined)
      return void response.writeHead(404, { 'Content-Type': 'text/plain' }).end('not found\n');
    response.writeHead(200, { 'Content-Type': file[0] }).end(file[1]);
  });
  await new Promise<void>((resolve, reject) =>
    server.once('error', reject).listen(port, '127.0.0.1', resolve),
  );
  const openedPort = (server.address() as AddressInfo).port;
  return {
    origins: [`http://127.0.0.1:${openedPort}`, `http://localhost:${openedPort}`],
    async show(folder, address) {
      const entry = fileURLToPath(new URL('page.ts', folder));
      const { outputFiles } = await build({
        entryPoints: [entry],
        bundle: true,
        format: 'esm',
        platform: 'browser',
        minify: true,
        write: false,
      });
      const html = await readFile(new URL('index.html', folder), 'utf8');
      files.set('/', ['text/html; charset=utf-8', html.replace('ADDRESS', address)]);
      files.set('/page.css', [
        'text/css; charset=utf-8',
        await readFile(new URL('page.css', folder)),
      ]);
      files.set('/page.js', ['text/javascript; charset=utf-8', outputFiles[0]?.contents ?? '']);
      console.log(`open http://127.0.0.1:${openedPort}/`);
    },
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
