// @ts-check
/** `npm run bench -- NAME …` runs the benchmark of that name. */
const NAMES = ['rpc', 'transport'];

const [name = ''] = process.argv.slice(2);
if (NAMES.includes(name)) await import(`./${name}.mjs`);
else {
  console.error(`bench: given ${JSON.stringify(name)}, expected ${NAMES.join(' or ')}`);
  process.exitCode = 2;
}
