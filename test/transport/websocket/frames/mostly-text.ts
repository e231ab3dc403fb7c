import fc from 'fast-check';

/** Bytes of text, of which one byte may have been replaced. */
export const mostlyText = fc
  .tuple(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.option(fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(255)), {
      nil: undefined,
    }),
  )
  .map(([text, replacement]) => {
    const bytes = Buffer.from(text);
    if (replacement !== undefined && bytes.length > 0)
      bytes[Math.floor(replacement[0] * bytes.length)] = replacement[1];
    return bytes;
  });
