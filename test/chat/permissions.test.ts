import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  type Decision,
  decide,
  defaultPermissions,
  formatRule,
  isWithin,
  type PermissionSettings,
  parseRule,
} from '../../src/chat/permissions.ts';
import { requireUnix } from '../support/keychain.ts';

beforeEach(requireUnix); // the paths are those of Unix

const none: PermissionSettings = { allow: [], deny: [] };

describe('parseRule', () => {
  it.each([
    ['read', { kind: 'read' }],
    ['network', { kind: 'network' }],
    ['read:/etc', { kind: 'read', scope: '/etc' }],
    ['write:/etc/../var/', { kind: 'write', scope: '/var' }],
    ['write:/', { kind: 'write', scope: '/' }],
    ['command:echo a: b', { kind: 'command', scope: 'echo a: b' }],
    ['command: two\nlines ', { kind: 'command', scope: ' two\nlines ' }],
  ])('parses %j', (text, rule) => {
    expect(parseRule(text)).toEqual(rule);
  });

  it.each([
    '',
    'reads',
    'read:',
    'read: /etc',
    'read:etc',
    'read:../etc',
    'Read',
    'command:',
    ' read',
    'read:/a\0b',
    'x:/y',
  ])('rejects %j', (text) => {
    expect(parseRule(text)).toBeUndefined();
  });

  it('parses a formatted rule to the same rule', () => {
    const path = fc.array(fc.stringMatching(/^[^/\0]+$/), { maxLength: 4 }).map((names) => `/${names.join('/')}`);
    const line = fc.string({ minLength: 1 }).filter((text) => !text.includes('\0'));
    const text = fc.oneof(
      fc.constantFrom('read', 'write', 'command', 'network'),
      fc.tuple(fc.constantFrom('read', 'write'), path).map((parts) => parts.join(':')),
      fc.tuple(fc.constantFrom('command', 'network'), line).map((parts) => parts.join(':')),
    );
    fc.assert(
      fc.property(text, (written) => {
        const rule = parseRule(written);
        expect(rule && parseRule(formatRule(rule))).toEqual(rule);
        expect(rule).toBeDefined();
      }),
    );
  });
});

describe('isWithin', () => {
  it.each([
    ['/a', '/a', true],
    ['/a', '/a/b', true],
    ['/a', '/ab', false],
    ['/a/b', '/a', false],
    ['/', '/a', true],
  ])('%s contains %s: %s', (directory, path, within) => {
    expect(isWithin(directory, path)).toBe(within);
  });
});

type Case = readonly [
  name: string,
  asked: string,
  session: Record<string, 'allow' | 'deny'>,
  settings: PermissionSettings,
  decision: Decision,
  path?: string,
];

const cases: readonly Case[] = [
  ['no rule applies', 'read', {}, none, 'ask'],
  ['reading inside is allowed by default', 'read', {}, defaultPermissions, 'allow'],
  ['reading outside is not', 'read:/etc', {}, defaultPermissions, 'ask'],
  ['writing is not', 'write', {}, defaultPermissions, 'ask'],
  ['a command is not', 'command:ls', {}, defaultPermissions, 'ask'],
  ['a directory and below are allowed', 'read:/etc/ssl', {}, { allow: ['read:/etc'], deny: [] }, 'allow'],
  ['a directory with the same prefix is not', 'read:/etcetera', {}, { allow: ['read:/etc'], deny: [] }, 'ask'],
  ['the directory above is not', 'read:/', {}, { allow: ['read:/etc'], deny: [] }, 'ask'],
  ['another kind is not', 'write:/etc', {}, { allow: ['read:/etc'], deny: [] }, 'ask'],
  ['every command is allowed', 'command:ls', {}, { allow: ['command'], deny: [] }, 'allow'],
  ['one command is allowed', 'command:ls', {}, { allow: ['command:ls'], deny: [] }, 'allow'],
  ['another command is not', 'command:ls -l', {}, { allow: ['command:ls'], deny: [] }, 'ask'],
  ['allowing commands does not allow the network', 'network:curl x', {}, { allow: ['command'], deny: [] }, 'ask'],
  ['the network is allowed', 'network:curl x', {}, { allow: ['network'], deny: [] }, 'allow'],
  ['a denied command has no network', 'network:curl x', {}, { allow: ['network'], deny: ['command:curl x'] }, 'deny'],
  ['a denial wins over an equal allowance', 'read', {}, { allow: ['read'], deny: ['read'] }, 'deny'],
  ['the more specific rule allows', 'read:/a/b', {}, { allow: ['read:/a/b'], deny: ['read:/a'] }, 'allow'],
  ['the more specific rule denies', 'read:/a/b', {}, { allow: ['read:/a'], deny: ['read:/a/b'] }, 'deny'],
  ['denying reading denies it everywhere', 'read:/etc', {}, { allow: [], deny: ['read'] }, 'deny'],
  ['except in a directory where it is allowed', 'read:/etc', {}, { allow: ['read:/etc'], deny: ['read'] }, 'allow'],
  ['the session takes precedence', 'write', { write: 'allow' }, { allow: [], deny: [] }, 'allow'],
  ['but not over a denial in the settings', 'write', { write: 'allow' }, { allow: [], deny: ['write'] }, 'deny'],
  ['not even with a more specific rule', 'write:/a', { 'write:/a': 'allow' }, { allow: [], deny: ['write'] }, 'deny'],
  ['the session denies', 'read', { read: 'deny' }, defaultPermissions, 'deny'],
  ['a denial in the session for another path', 'read', { 'read:/a': 'deny' }, defaultPermissions, 'allow', '/b'],
  [
    'a scope inside the working directory',
    'read',
    {},
    { allow: ['read'], deny: ['read:/w/keys'] },
    'deny',
    '/w/keys/a',
  ],
  ['a scope with the same prefix', 'read', {}, { allow: ['read'], deny: ['read:/w/keys'] }, 'allow', '/w/keys2'],
  ['one file of a directory', 'read:/w', {}, { allow: ['read:/w/a'], deny: [] }, 'allow', '/w/a'],
  ['another file of the directory', 'read:/w', {}, { allow: ['read:/w/a'], deny: [] }, 'ask', '/w/b'],
  ['invalid rules are ignored', 'read', { whatever: 'deny' }, { allow: ['read'], deny: ['reed'] }, 'allow'],
];

describe('decide', () => {
  it.for(cases)('%s', ([, asked, session, settings, decision, path]) => {
    expect(decide(asked, session, settings, path)).toBe(decision);
  });

  it('does not depend on the order of the rules', () => {
    const rule = fc.constantFrom(
      'read',
      'read:/a',
      'read:/a/b',
      'read:/c',
      'write',
      'command',
      'command:ls',
      'network:ls',
    );
    const asked = fc.constantFrom('read', 'read:/a', 'read:/a/b', 'write:/a', 'command:ls', 'network:ls');
    fc.assert(
      fc.property(asked, fc.array(rule), fc.array(rule), (wanted, allow, deny) => {
        const decision = decide(wanted, {}, { allow, deny });
        expect(decide(wanted, {}, { allow: allow.toReversed(), deny: deny.toReversed() })).toBe(decision);
        if (allow.length === 0) expect(decision).not.toBe('allow');
        if (deny.length === 0) expect(decision).not.toBe('deny');
      }),
    );
  });

  it('throws for an invalid rule', () => {
    expect(() => decide('anything', {}, none)).toThrow(TypeError);
  });
});
