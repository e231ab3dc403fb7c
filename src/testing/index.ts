/** Tools for tests of programs that use this package. */

export * from './simulation/index.js';
