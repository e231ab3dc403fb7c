/**
 * The runs of callHandler() that have not ended, by the address of their server. Leaks are named
 * after them, because a program knows neither the server nor the client of a run.
 */
export const handlerRuns = new Map<string, string>();
