import { describe, expect, it } from 'vitest';
import { nearest } from '../../src/chat/models/nearest.ts';
import { parseLine } from '../../src/terminal/input/slash-line.ts';

describe('parseLine', () => {
  it.each([
    ['hello', { message: 'hello' }],
    ['  hello  ', { message: '  hello  ' }],
    [' /save', { message: ' /save' }],
    ['//etc/passwd', { message: '/etc/passwd' }],
    ['//', { message: '/' }],
    ['/save', { command: '/save', argument: '' }],
    ['/save  fixing auth  bug ', { command: '/save', argument: 'fixing auth  bug' }],
    ['/save Grüße 😀', { command: '/save', argument: 'Grüße 😀' }],
    ['/', { command: '/', argument: '' }],
    ['/ x', { command: '/', argument: 'x' }],
    ['/save a\nb', { message: '/save a\nb' }],
    ['', undefined],
    [' \t ', undefined],
  ])('reads %j', (line, wanted) => {
    expect(parseLine(line)).toEqual(wanted);
  });
});

describe('nearest', () => {
  const names = ['/save', '/sessions', '/resume', '/reset', '/exit'];

  it.each([
    ['/sav', '/save'],
    ['/seve', '/save'],
    ['/sesions', '/sessions'],
    ['/session', '/sessions'],
    ['/resum', '/resume'],
    ['/exti', '/exit'],
    ['/quit', '/exit'],
    ['/delete', undefined],
    ['/x', undefined],
    ['/', undefined],
  ])('%s is most like %s', (word, name) => {
    expect(nearest(word, names)).toBe(name);
  });
});
