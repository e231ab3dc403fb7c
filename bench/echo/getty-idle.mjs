// @ts-check
/** Sessions with onCron and an idle timeout, as a server has that detects lost peers. */
import { serveAt } from './getty.mjs';

/** Three times the period of heartbeats, in ms. */
const IDLE_TIMEOUT = 180_000;

export const serve = () => serveAt('tcp', { idleTimeout: IDLE_TIMEOUT });
