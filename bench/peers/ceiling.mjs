/** See ../ceiling.mjs. */
export { connect, serve } from '../ceiling.mjs';
