import { describe, expect, it } from 'vitest';
import { logLine } from '../../../../src/cli/commands/list/log-line.ts';
import type { Event, NewEvent } from '../../../../src/session/event/event.ts';
import { unused } from '../../../../src/session/list/usage.ts';
import { describeBytes, describeCost, describeCount, describeTokens } from '../../../../src/terminal/output/amounts.ts';

const at = new Date(2025, 6, 4, 12, 31, 5);

function line(event: NewEvent): string {
  return logLine({ ...event, id: 12, ts: at.getTime() } as Event, at);
}

describe('logLine', () => {
  const uuid = 'b6682a87-0000-4000-8000-000000000000';
  const parent = { uuid, id: '2025-07-04_12-00', reason: 'forked after prompt 2' };
  const call = { toolCallId: 'c1', toolName: 'read_file' };
  const asked = { toolCallId: 'c1', rule: 'command' };
  it.each<[NewEvent, string]>([
    [{ type: 'begin', uuid, directory: '/work' }, 'begin in /work'],
    [
      { type: 'begin', uuid, directory: '/work', branch: 'main', parent },
      'begin in /work, main, from 2025-07-04_12-00: forked after prompt 2',
    ],
    [{ type: 'message', message: { role: 'user', content: '\n  one\r\ntwo' } }, 'message user: one…'],
    [{ type: 'message', message: { role: 'user', content: 'one\n' } }, 'message user: one'],
    [
      { type: 'message', message: { role: 'assistant', content: 'so f' }, partial: true },
      'message assistant: so f (cut short)',
    ],
    [
      {
        type: 'message',
        message: {
          role: 'assistant',
          content: [
            { type: 'reasoning', text: 'hm' },
            { type: 'text', text: 'let me look' },
            { type: 'tool-call', ...call, input: { path: 'x' } },
          ],
        },
      },
      'message assistant: let me look; calls read_file',
    ],
    [
      { type: 'message', message: { role: 'assistant', content: [{ type: 'reasoning', text: 'hm' }] } },
      'message assistant: reasoning only',
    ],
    [
      {
        type: 'message',
        message: { role: 'tool', content: [{ type: 'tool-result', ...call, output: { type: 'text', value: 'a\nb' } }] },
      },
      'message tool: read_file answers a…',
    ],
    [
      { type: 'message', message: { role: 'tool', content: [{ type: 'tool-result', ...call, output: { n: 1 } }] } },
      'message tool: read_file answers {"n":1}',
    ],
    [
      { type: 'message', message: { role: 'user', content: [{ type: 'file', mediaType: 'image/png', data: '' }] } },
      'message user: file image/png',
    ],
    [
      { type: 'usage', model: 'demo/echo', usage: { inputTokens: 1234, outputTokens: 5, cost: 0.0123 } },
      'usage demo/echo: tokens 1,234 in, 5 out; cost $0.0123',
    ],
    [{ type: 'model', model: 'demo/echo' }, 'model demo/echo'],
    [{ type: 'name', name: 'the bug' }, 'name the bug'],
    [{ type: 'pin', pinned: true }, 'pin'],
    [{ type: 'pin', pinned: false }, 'unpinned'],
    [{ type: 'archive', archived: true }, 'archive'],
    [{ type: 'archive', archived: false }, 'unarchived'],
    [{ type: 'tags', tags: ['a', 'b'] }, 'tags #a #b'],
    [{ type: 'tags', tags: [] }, 'tags: none'],
    [{ type: 'status', status: 'running' }, 'status running'],
    [{ type: 'status', status: 'failed', reason: 'interrupted' }, 'status failed: interrupted'],
    [{ type: 'error', code: 'MODEL_FAILED', message: 'one\ntwo' }, 'error MODEL_FAILED: one…'],
    [{ type: 'tool-start', ...call }, 'tool-start read_file'],
    [{ type: 'tool-end', ...call, outcome: 'denied', bytes: 1200 }, 'tool-end read_file: denied, 1,200 bytes'],
    [{ type: 'approval-asked', ...asked, about: 'npm test' }, 'approval-asked command: npm test'],
    [
      { type: 'approval-answered', ...asked, answer: 'once', by: 'person' },
      'approval-answered command: once, by person',
    ],
    [{ type: 'permission', rule: 'read', decision: 'revoke' }, 'permission revoke read'],
    [{ type: 'context-warning', tokens: 12_000, window: 16_000 }, 'context-warning: 12,000 of 16,000 tokens'],
    [{ type: 'compaction', summary: 'short\nlong', through: 9, model: 'a/b' }, 'compaction by a/b through #9: short…'],
    [{ type: 'rewind', to: 4 }, 'rewind to #4'],
    [{ type: 'project', project: { first: '0123456789abcdef', path: '' } }, 'project 0123456789ab'],
    [{ type: 'project', project: { path: 'src' } }, 'project unknown, src'],
    [{ type: 'child', uuid, reason: 'forked' }, `child ${uuid}: forked`],
  ])('says %j', (event, text) => {
    expect(line(event)).toBe(`#12 12:31:05 ${text}`);
  });

  it('names what a newer version recorded', () => {
    expect(logLine({ id: 1, ts: at.getTime(), type: 'telepathy' }, at)).toBe(
      '#1 12:31:05 telepathy: not understood by this version of coffer',
    );
  });

  it('has the date of another day', () => {
    const event = { id: 1, ts: at.getTime(), type: 'rewind', to: 1 } as const;
    expect(logLine(event, new Date(2025, 6, 5, 0, 0))).toBe('#1 2025-07-04 12:31:05 rewind to #1');
  });
});

describe('amounts', () => {
  it.each([
    [null, 'unknown'],
    [0, '$0.00'],
    [0.00004, 'less than $0.0001'],
    [0.0123, '$0.0123'],
    [12.345, '$12.35'],
  ])('of a cost of %j is %s', (cost, text) => {
    expect(describeCost({ ...unused, requests: 1, cost, unknownCost: Number(cost === null) })).toBe(text);
  });

  it('says of how many requests nothing is known, and that there were none', () => {
    expect(describeCost({ ...unused, requests: 3, cost: 1.5, unknownCost: 1 })).toBe('$1.50 and 1 request unknown');
    expect(describeTokens({ ...unused, requests: 3, inputTokens: 5, unknownTokens: 2 })).toBe(
      '5 in, unknown out and 2 requests unknown',
    );
    const cached = { ...unused, requests: 1, inputTokens: 1200, cachedTokens: 1000, outputTokens: 3 };
    expect(describeTokens(cached)).toBe('1,200 in (1,000 cached), 3 out');
    expect([describeTokens(unused), describeCost(unused)]).toEqual(['none', 'none']);
    expect(describeTokens({ ...unused, requests: 1, unknownTokens: 1 })).toBe('unknown');
  });

  it.each([
    [0, '0 bytes'],
    [999, '999 bytes'],
    [1000, '1.0 KB'],
    [999_949, '999.9 KB'],
    [999_950, '1.0 MB'],
    [5e15, '5000.0 TB'],
  ])('of %i bytes is %s', (bytes, text) => {
    expect(describeBytes(bytes)).toBe(text);
  });

  it('of counts have commas', () => {
    expect([describeCount(null), describeCount(0), describeCount(1_234_567)]).toEqual(['unknown', '0', '1,234,567']);
  });
});
