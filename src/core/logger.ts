/** Where the package says what nobody asked for but somebody may want to know: shaped like pino's logger, silent by default. */
export interface Logger {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
}

export const SILENT: Logger = { info() {}, warn() {} };
