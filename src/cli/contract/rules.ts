/** The rules of `getty contract diff`: the kinds of changes, and what each of them breaks. */

/**
 * `callers`: a caller with the old contract gets an error, does not reach the server, or misreads a
 * reply. `servers`: a server with the new contract misreads what such a caller sends, or does more
 * than the caller asked for, without an error.
 */
export type Party = 'callers' | 'servers';

export interface Rule {
  readonly breaks: readonly Party[];
  /** Why the change breaks them, or why it breaks neither callers nor servers. */
  readonly why: string;
}

const callers = (why: string): Rule => ({ breaks: ['callers'], why });
const servers = (why: string): Rule => ({ breaks: ['servers'], why });
const both = (why: string): Rule => ({ breaks: ['callers', 'servers'], why });
const none = (why: string): Rule => ({ breaks: [], why });

const NOT_READ = 'callers ignore what they do not know';
const MORE_ACCEPTED = 'the server accepts what it accepted before';
const LESS_SENT = 'callers know each value that the server sends';
const NOT_VALIDATED = 'callers do not validate replies';
const NEEDS_NEW_SERVER = 'nothing uses it yet; update the servers before callers that use it';

export const RULES = {
  'service-removed': callers('calls of the service fail with UNIMPLEMENTED'),
  'service-added': none(NEEDS_NEW_SERVER),
  'service-version-removed': callers('a call reaches a service of the same version only'),
  'service-version-added': none('callers without a version reach each version'),
  'service-group-removed': callers('consumers of the group find no node'),
  'service-group-added': none('consumers of other groups do not see its nodes'),
  'codec-removed': callers('calls in this codec fail'),
  'codec-added': none(NEEDS_NEW_SERVER),
  'method-removed': callers('calls of the method fail with UNIMPLEMENTED'),
  'method-added': none(NEEDS_NEW_SERVER),
  'kind-changed': callers('the caller and the server expect different messages of the other'),
  'idempotent-removed': servers(
    'callers with the old contract still repeat a call that may have run',
  ),
  'idempotent-added': none('callers with the old contract do not repeat calls'),
  'timeout-shortened': none('callers with the old contract keep their timeout'),
  'timeout-lengthened': none('callers with the old contract keep their timeout'),

  'input-field-required': callers('callers do not send it, and get INVALID_ARGUMENT'),
  'input-field-optional': none(MORE_ACCEPTED),
  'input-field-added': none('the field is optional'),
  'input-field-removed': none('the server accepts and ignores other fields'),
  'input-field-refused': callers('callers send it, and get INVALID_ARGUMENT'),
  'input-type-narrowed': callers('values of the old type get INVALID_ARGUMENT'),
  'input-type-widened': none(MORE_ACCEPTED),
  'input-enum-value-removed': callers('callers that send the value get INVALID_ARGUMENT'),
  'input-enum-value-added': none(MORE_ACCEPTED),
  'input-constraint-tightened': callers('values that were valid may get INVALID_ARGUMENT'),
  'input-constraint-loosened': none(MORE_ACCEPTED),
  'input-closed': callers('callers that send other fields get INVALID_ARGUMENT'),
  'input-opened': none(MORE_ACCEPTED),
  'input-default-changed': none('callers may leave out the field, as before'),

  'output-field-removed': callers('callers rely on the field'),
  'output-field-optional': callers('callers rely on the field'),
  'output-field-required': none(LESS_SENT),
  'output-field-added': none(NOT_READ),
  'output-optional-field-removed': none('callers work without the field'),
  'output-type-widened': callers('callers do not know the new type'),
  'output-type-narrowed': none(LESS_SENT),
  'output-enum-value-added': callers('callers do not know the value'),
  'output-enum-value-removed': none(LESS_SENT),
  'output-constraint-loosened': none(NOT_VALIDATED),
  'output-constraint-tightened': none(LESS_SENT),
  'output-closed': none(LESS_SENT),
  'output-opened': none(NOT_READ),
  'output-default-changed': none('the server sends the field, as before'),

  'protobuf-field-added': none('both sides ignore fields that they do not know'),
  'protobuf-required-field-added': both('a message without the field is refused'),
  'protobuf-field-removed': none('its number is reserved; both sides ignore the field'),
  'protobuf-field-removed-unreserved': both(
    'another field can get the number or the name; reserve them',
  ),
  'protobuf-field-number-reused': both('each side reads the field of the other as its own'),
  'protobuf-field-number-changed': both('each side ignores the field of the other'),
  'protobuf-field-renamed': none('Protobuf has no names, and the service offers no JSON'),
  'protobuf-field-renamed-json': callers('the JSON of both sides has another name'),
  'protobuf-field-type-compatible': none(
    'both types have one encoding; a value that does not fit is cut, or text must be UTF-8',
  ),
  'protobuf-field-type-json': callers('the types have one encoding in Protobuf, but not in JSON'),
  'protobuf-field-type-changed': both('the types have different encodings'),
  'protobuf-field-cardinality-changed': both(
    'one side sends several values, and the other reads one',
  ),
  'protobuf-field-presence-changed': none('the encoding is the same'),
  'protobuf-field-required-changed': both('one side refuses a message without the field'),
  'protobuf-field-oneof-moved': both('setting one field of a oneof clears the others'),
  'protobuf-field-oneof-new': none('the field is alone in a new oneof'),
  'protobuf-oneof-renamed': none('neither Protobuf nor JSON has the name of a oneof'),
  'protobuf-message-renamed': none('a message is sent without its name'),
  'protobuf-enum-renamed': none('an enum is sent without its name'),
  'protobuf-enum-value-added': none('the value is sent as its number, which both sides keep'),
  'protobuf-enum-value-removed': none('its number is reserved'),
  'protobuf-enum-value-removed-unreserved': both(
    'another value can get the number or the name; reserve them',
  ),
  'protobuf-enum-value-renamed': none('Protobuf has no names, and the service offers no JSON'),
  'protobuf-enum-value-renamed-json': callers('callers may send the old name in JSON'),
  'protobuf-enum-value-number-changed': both('each side reads the value of the other as another'),
  'protobuf-enum-closed': both('a closed enum drops numbers that it does not have'),
  'protobuf-enum-opened': none('an open enum keeps all numbers'),
} satisfies Readonly<Record<string, Rule>>;

export type RuleId = keyof typeof RULES;
