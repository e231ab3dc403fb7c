/** The search domains of the system. The resolver of Node.js does not use them. */
import { readFile } from 'node:fs/promises';
import { isHostName } from './dns-name.js';

/** Each domain is one more query for a name that does not exist. */
export const MAX_SEARCH = 8;
const MAX_CHARACTERS = 64 * 1024;

/** The domains of the last `search` or `domain` line, in their order. */
export function parseSearchDomains(text: string): readonly string[] {
  let domains: readonly string[] = [];
  for (const line of text.slice(0, MAX_CHARACTERS).split('\n')) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    if (keyword === 'search') domains = values;
    else if (keyword === 'domain') domains = values.slice(0, 1);
  }
  return domains
    .map((domain) => domain.replace(/\.$/, ''))
    .filter(isHostName)
    .slice(0, MAX_SEARCH);
}

/** None if the system has no /etc/resolv.conf. */
export async function systemSearchDomains(): Promise<readonly string[]> {
  try {
    return parseSearchDomains(await readFile('/etc/resolv.conf', 'utf8'));
  } catch {
    return [];
  }
}
