/** The generated Protobuf code corresponds to its .proto files. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TEMPLATES = readdirSync(ROOT).filter((name) => /^buf\.gen.*\.yaml$/.test(name));

test('`npm run proto` uses every template', () => {
  const { proto } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).scripts;
  expect(TEMPLATES.length).toBeGreaterThan(0);
  for (const name of TEMPLATES.filter((one) => one !== 'buf.gen.yaml'))
    expect(proto).toContain(`--template ${name}`);
});

test.each(TEMPLATES)(
  'the generated code of %s is up to date (else run `npm run proto`)',
  async (name) => {
    const template = readFileSync(join(ROOT, name), 'utf8');
    const [, folder = ''] = /^ {4}out: (.*)$/m.exec(template) ?? [];
    const fresh = await mkdtemp(join(tmpdir(), 'getty-proto-'));
    try {
      await writeFile(
        join(fresh, 'template.yaml'),
        template.replace(/^ {4}out: .*$/m, `    out: ${JSON.stringify(fresh)}`),
      );
      const bin = join(ROOT, 'node_modules/.bin');
      const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` };
      await promisify(execFile)(
        join(bin, 'buf'),
        ['generate', '--template', join(fresh, 'template.yaml')],
        { cwd: ROOT, env },
      );
      const files = readdirSync(join(ROOT, folder)).filter((file) => file.endsWith('_pb.ts'));
      expect(files.length).toBeGreaterThan(0);
      expect(readdirSync(fresh).filter((file) => file.endsWith('_pb.ts'))).toEqual(files);
      for (const file of files)
        expect(await readFile(join(ROOT, folder, file), 'utf8')).toBe(
          await readFile(join(fresh, file), 'utf8'),
        );
    } finally {
      await rm(fresh, { recursive: true });
    }
  },
);
