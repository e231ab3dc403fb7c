/** Wire types and scalar types of Protobuf, as the compilers need them. */
import { type DescField, ScalarType } from '@bufbuild/protobuf';

/** The wire types of Protobuf. */
export const VARINT = 0;
export const FIXED64 = 1;
export const LENGTH_DELIMITED = 2;
export const START_GROUP = 3;
export const END_GROUP = 4;
export const FIXED32 = 5;

interface Scalar {
  /** The name of its functions in value-writer.ts, delimited-writer.ts and value-reader.ts. */
  readonly name:
    | 'double'
    | 'float'
    | 'int64'
    | 'uint64'
    | 'int32'
    | 'fixed64'
    | 'fixed32'
    | 'bool'
    | 'string'
    | 'bytes'
    | 'uint32'
    | 'sfixed32'
    | 'sfixed64'
    | 'sint32'
    | 'sint64';
  readonly wireType: 0 | 1 | 2 | 5;
  /** The least bytes of a value. */
  readonly bytes: number;
  /** True: the values are bigints. */
  readonly big?: true | undefined;
}

const SCALARS: Readonly<Record<ScalarType, Scalar>> = {
  [ScalarType.DOUBLE]: { name: 'double', wireType: 1, bytes: 8 },
  [ScalarType.FLOAT]: { name: 'float', wireType: 5, bytes: 4 },
  [ScalarType.INT64]: { name: 'int64', wireType: 0, bytes: 1, big: true },
  [ScalarType.UINT64]: { name: 'uint64', wireType: 0, bytes: 1, big: true },
  [ScalarType.INT32]: { name: 'int32', wireType: 0, bytes: 1 },
  [ScalarType.FIXED64]: { name: 'fixed64', wireType: 1, bytes: 8, big: true },
  [ScalarType.FIXED32]: { name: 'fixed32', wireType: 5, bytes: 4 },
  [ScalarType.BOOL]: { name: 'bool', wireType: 0, bytes: 1 },
  [ScalarType.STRING]: { name: 'string', wireType: 2, bytes: 1 },
  [ScalarType.BYTES]: { name: 'bytes', wireType: 2, bytes: 1 },
  [ScalarType.UINT32]: { name: 'uint32', wireType: 0, bytes: 1 },
  [ScalarType.SFIXED32]: { name: 'sfixed32', wireType: 5, bytes: 4 },
  [ScalarType.SFIXED64]: { name: 'sfixed64', wireType: 1, bytes: 8, big: true },
  [ScalarType.SINT32]: { name: 'sint32', wireType: 0, bytes: 1 },
  [ScalarType.SINT64]: { name: 'sint64', wireType: 0, bytes: 1, big: true },
};

export const scalarOf = (type: ScalarType): Scalar => SCALARS[type];

/** Returns the scalar of a field's values; an enum is an int32 on the wire. */
export const valueScalar = (field: DescField): Scalar => SCALARS[field.scalar ?? ScalarType.INT32];

/** Whether values of the field can be numbers that are no signed 32-bit integers. */
export function mayBeDouble({ scalar }: DescField): boolean {
  return (
    scalar === ScalarType.DOUBLE ||
    scalar === ScalarType.FLOAT ||
    scalar === ScalarType.UINT32 ||
    scalar === ScalarType.FIXED32
  );
}

/** Returns the zero value as code. */
export function zeroLiteral(field: DescField, type: ScalarType | undefined = field.scalar): string {
  if (type === undefined) return String((field.enum?.values[0]?.number ?? 0) | 0);
  const { name, big } = SCALARS[type];
  if (big) return 'longAsString' in field && field.longAsString ? '"0"' : '0n';
  if (name === 'string') return '""';
  if (name === 'bytes') return 'new Uint8Array(0)';
  return name === 'bool' ? 'false' : '0';
}
