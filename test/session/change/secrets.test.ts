import { describe, expect, it } from 'vitest';
import { describeFound, redactSecrets } from '../../../src/session/change/secrets.ts';

/** Assembles fake secrets, so that no scanner mistakes this file for a leak. */
const join = (...parts: string[]): string => parts.join('');
const SK = join('sk-', 'ant-api03-', 'Zk3vR8mQ1xW7pL5tY9uE2cB6nD4sF0hJ');
const GH = join('ghp', '_', 'Zk3vR8mQ1xW7pL5tY9uE2cB6nD4sF0hJgK1a');
const AKIA = join('AKIA', 'IOSFODNN7EXAMPLE');
const AWS = join('wJalrXUtnFEMI/K7MDENG/', 'bPxRfiCYEXAMPLEKEY');
const JWT = join('eyJhbGciOiJIUzI1NiJ9', '.eyJzdWIiOiIxMjM0NTY3ODkwIn0', '.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P');
const PEM = join(
  '-----BEGIN RSA PRIV',
  'ATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEpAIBAAKCAQEA7\nq3XQ==\n-----END RSA PRIV',
  'ATE KEY-----',
);

/** A text, the secret in it, and its kind. */
const secrets: readonly (readonly [string, string, string])[] = [
  [`use ${SK} here`, SK.slice(3), 'API key'],
  [`key is ${join('sk-', 'proj-abcdefghijkl1234567890')}.`, 'abcdefghijkl1234567890', 'API key'],
  [join('rk_live', '_4eC39HqLyjWDarjtT1zdp7dc'), '4eC39HqLyjWDarjtT1zdp7dc', 'API key'],
  [`git clone with ${GH}`, GH, 'GitHub token'],
  [join('gho', '_abcdefghijklmnopqrstuvwxyz0123456789'), 'abcdefghij', 'GitHub token'],
  [join('github', '_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz'), '11ABCDEFG0', 'GitHub token'],
  [join('glpat', '-abcdefghij1234567890'), 'abcdefghij1234567890', 'GitLab token'],
  [`id ${AKIA} alone`, AKIA, 'AWS key'],
  [`${AKIA}\n${AWS}\n`, AWS, 'AWS key'],
  [join('ASIA', 'IOSFODNN7EXAMPLE'), 'IOSFODNN7EXAMPLE', 'AWS key'],
  [join('AIza', 'SyA1234567890abcdefghijklmnopqrstuv'), 'SyA1234567890', 'Google API key'],
  [join('xoxb', '-123456789012-abcdefABCDEF'), '123456789012', 'Slack token'],
  [`cookie: s=${JWT}; path=/`, JWT.slice(20), 'JSON web token'],
  [PEM, 'MIIEpAIBAAKCAQEA7', 'private key'],
  [JSON.stringify(PEM), 'MIIEpAIBAAKCAQEA7', 'private key'],
  [
    PEM.slice(0, PEM.indexOf('Proc')).concat(`${'MIIEpAIBAAKCAQEA7'.repeat(3)}\nand then it was cut`),
    'MIIEpAIBAAKCAQEA7',
    'private key',
  ],
  ['Authorization: Bearer abcdef', 'abcdef', 'header credential'],
  ['curl -H "authorization: token 0123456789abcdef"', '0123456789abcdef', 'header credential'],
  ['send Bearer 1a2b3c4d5e6f7a8b9c along', '1a2b3c4d5e6f', 'header credential'],
  ['Basic dXNlcjpodW50ZXIyMg==', 'dXNlcjpodW50', 'header credential'],
  ['postgres://app:hunter2@db.example/x', 'hunter2', 'URL password'],
  ['redis://:hunter2@db:6379', 'hunter2', 'URL password'],
  ['DB_PASSWORD=correcthorse', 'correcthorse', 'assigned secret'],
  ['password: hunter2', 'hunter2', 'assigned secret'],
  ['{"password": "correct horse"}', 'correct horse', 'assigned secret'],
  ['{\\"api_key\\":\\"abcd1234\\"}', 'abcd1234', 'assigned secret'],
  ["const apiKey = 'abcd1234';", 'abcd1234', 'assigned secret'],
  ['client_secret => "abcd1234"', 'abcd1234', 'assigned secret'],
  ['os["TOKEN_2"] = `abcd1234`', 'abcd1234', 'assigned secret'],
  ['export SECRET_KEY=abcd1234', 'abcd1234', 'assigned secret'],
  ['?user=me&access_token=abcd1234&x=1', 'abcd1234', 'assigned secret'],
  ['aws_secret_access_key = abcd/1234', 'abcd/1234', 'assigned secret'],
  ['<password>hunter2</password>', 'hunter2', 'assigned secret'],
  ['machine x login y password hunter2', 'hunter2', 'assigned secret'],
  ['mysql --password hunter2 db', 'hunter2', 'assigned secret'],
];

/** Texts that look like secrets but aren't. */
const plain: readonly string[] = [
  'The password is asked for, the secret: patience. A token of thanks.',
  'Basic understanding of JavaScriptCompilers, and Bearer of bad news at midnight',
  'commit 869b770f3c1a5d2e4b6a8c0d1e2f3a4b5c6d7e8f\nAuthor: a <a@example.com>',
  'uuid 0f8fad5b-d9cb-469f-a165-70867728950e, file 0123456789abcdef0123456789abcdef',
  'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=',
  'max_tokens: 4096, inputTokens=128, tokens = 12345678',
  'function f(token: string, password: Buffer): tokenizer = "cl100k_base"',
  'const token = await getToken2();\nconst secret = process.env.SECRET2;',
  'password=$DB_PASSWORD1 token: <your-token-1> secret=***',
  `api_key="$${'{API_KEY}'}"`,
  'class="sk-loading-spinner-container" task-runner-abcdefghijklmnop1',
  'https://example.com:8080/path@2x and mailto:me@example.com at 10:30',
  '2025-07-04_12-30 and 2025-07-04_12-30_fixing-auth-bug-2',
  'the header says -----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
  'AKIA is how such ids begin',
];

describe('redactSecrets', () => {
  it.each(secrets)('redacts the secret in %j', (text, secret, kind) => {
    const { value, found } = redactSecrets(text);
    expect(text).toContain(secret);
    expect(value).not.toContain(secret);
    expect(value).toContain('[redacted]');
    expect(found.get(kind)).toBeGreaterThan(0);
    expect(redactSecrets(value)).toEqual({ value, found: new Map() });
  });

  it.each(plain)('leaves %j unchanged', (text) => {
    expect(redactSecrets(text)).toEqual({ value: text, found: new Map() });
  });

  it('keeps the text around a secret', () => {
    expect(redactSecrets(`a postgres://app:pw@db/x b ${SK}, c`).value).toBe(
      'a postgres://app:[redacted]@db/x b sk-[redacted], c',
    );
  });

  it('redacts every string of a value, including field names', () => {
    const value = {
      a: [{ b: GH }],
      [GH]: 1,
      password: 'x1',
      nested: { apiKey: 'abc', note: 'abc', token: '' },
      n: 7,
      none: null,
    };
    expect(redactSecrets(value)).toEqual({
      value: {
        a: [{ b: '[redacted]' }],
        '[redacted]': 1,
        password: '[redacted]',
        nested: { apiKey: '[redacted]', note: 'abc', token: '' },
        n: 7,
        none: null,
      },
      found: new Map([
        ['GitHub token', 2],
        ['assigned secret', 2],
      ]),
    });
  });

  it('redacts attached text files', () => {
    const fileOf = (text: string): object => {
      return { type: 'file', mediaType: 'text/plain', data: Buffer.from(text).toString('base64') };
    };
    const { value, found } = redactSecrets([fileOf(`use ${GH}\n`), fileOf('nothing')]);
    expect(value).toEqual([fileOf('use [redacted]\n'), fileOf('nothing')]);
    expect(found).toEqual(new Map([['GitHub token', 1]]));
  });

  it('counts the secrets by kind', () => {
    expect(describeFound(redactSecrets(`${GH} ${GH} Authorization: Bearer x1`).found)).toBe(
      '1 header credential, 2 GitHub tokens',
    );
    expect(describeFound(new Map())).toBe('nothing that looks like a key or a token');
  });

  it.each([
    'a',
    ' ',
    '-',
    '\\',
    '"',
    'eyJ',
    'eyJ.',
    'eyJaaaaaaaa.',
    'sk-',
    'a://',
    'a://b:',
    'token=',
    'token ',
    'password: "',
    'AKIAIOSFODNN7EXAMPL',
    'AKIAIOSFODNN7EXAMPLE ',
    'Bearer ',
    'Basic AAAAAAAA ',
    'authorization:',
    '-----BEGIN PRIVATE KEY-----',
    '-----BEGIN PRIVATE KEY-----\nAAAAAAAAAAAAAAAAAAAAAAAA',
    '-----BEGIN PRIVATE KEY----- a-',
    'login a password ',
    '<secret>',
    '--',
  ])('takes linear time for a long text of %j', (part) => {
    // A pattern that isn't linear takes hours for a megabyte: the test's timeout is the guard.
    const text = part.repeat(Math.ceil(1_000_000 / part.length));
    expect(redactSecrets(text).value.length).toBeGreaterThan(0);
  });
});
