/**
 * The token of the page. It comes with the address that the command prints. The page keeps it in
 * the storage of its origin, which has the port, so no other server of this host gets it.
 */
const KEY = 'getty-console-token';
/** Milliseconds. */
const ANSWER_LIMIT = 2_000;

/** The token of the address, until it is kept. */
let given = new URLSearchParams(location.search).get('token');

/** Keeps an accepted token for reloads and for other tabs, in place of an older one. */
export function keepToken(): void {
  if (given === null) return;
  try {
    localStorage.setItem(KEY, given);
    given = null;
  } catch {
    // The browser keeps no data for this page: the token is valid until a reload.
  }
}

function currentToken(): string | null {
  if (given !== null) return given;
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** Where the process listens, with the token. */
export function rpcAddress(scheme: 'ws' | 'http'): string {
  const token = currentToken();
  const query = token === null ? '' : `?token=${encodeURIComponent(token)}`;
  return `${scheme}${location.protocol === 'https:' ? 's' : ''}://${location.host}/rpc${query}`;
}

/** Whether the process answers, and does not accept the token. */
export async function isTokenRefused(): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(ANSWER_LIMIT);
    return (await fetch(rpcAddress('http'), { signal })).status === 401;
  } catch {
    return false;
  }
}
