/** The code of a system error, such as `ENOENT`, or of a GettyError; '' for any other value. */
export function errorCode(error: unknown): string {
  return String((error as { code?: unknown } | null | undefined)?.code ?? '');
}
