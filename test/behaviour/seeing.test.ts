import { beforeEach, describe, expect, it } from 'vitest';
import { requirePosix } from '../files/facilities.ts';
import { makePlace } from '../support/coffer.ts';

beforeEach(requirePosix);

describe('/session list', () => {
  it('lets the user choose a session that is not archived, and keeps the current one on Escape', async () => {
    await using place = await makePlace();
    await place.run(['--model', 'demo/echo'], { input: 'about apples\n/archive\n' });
    await place.run(['--model', 'demo/echo'], { input: 'about bananas\n' });
    await using chat = place.terminal(['--model', 'demo/echo']);
    await chat.waitFor(/» /);
    // This changes what the numbers that this chat began with mean.
    await place.run(['--model', 'demo/echo'], { input: 'about cherries\n' });
    chat.enter('/session list');
    const [shown] = await chat.waitFor(/resume which session\?.*about cherries.*about bananas.*to search/s);
    expect(shown).not.toContain('apples');
    chat.key('escape');
    await chat.waitFor(/» /);
    chat.enter('/session');
    await chat.waitFor(/id +none yet/);
    await chat.waitFor(/» /);
    chat.enter('/resume 2');
    await chat.waitFor(/resumed session \S+ \(2 messages, demo\/echo\)/);
    await chat.waitFor(/» /);
    chat.enter('/session');
    await chat.waitFor(/title +about bananas/);
    await chat.waitFor(/» /);
    chat.enter('/session list');
    await chat.waitFor(/resume which session\?/);
    await chat.waitFor(/to search/);
    chat.key('enter');
    await chat.waitFor(/already in session \S+|resumed session/);
  });

  it('says so if there are no sessions', async () => {
    await using place = await makePlace();
    await using chat = place.terminal(['--model', 'demo/echo']);
    await chat.waitFor(/» /);
    chat.enter('/session list');
    await chat.waitFor(/no saved sessions yet/);
  });
});
