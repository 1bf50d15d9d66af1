import { setImmediate } from 'node:timers/promises';
import { CofferError } from '../../errors.ts';
import type { Message } from '../../session/event/event.ts';
import { textOf } from '../../session/event/message-text.ts';
import { type ChatModel, DEFAULT_WINDOW } from '../reply.ts';
import { cancelled } from '../wire/faults.ts';
import { type DemoReply, NO_TOOLS, useTools } from './demo-tools.ts';
import { quote } from './providers.ts';

/**
 * Returns an embedded demo model, which needs no network: `eliza`, a small script that is kind and
 * brief, `echo`, which answers `echo: <text>`, or `tools`, which follows instructions with the
 * tools it is offered. Replies depend on the conversation alone. Throws `MODEL_UNKNOWN` for any
 * other name.
 */
export function demoModel(model: string): ChatModel {
  const answer = Object.hasOwn(partners, model) ? partners[model] : undefined;
  if (answer === undefined) {
    const [last, ...known] = Object.keys(partners)
      .map((name) => `demo/${name}`)
      .toReversed();
    const available = `${known.toReversed().join(', ')} and ${last}`;
    throw new CofferError('MODEL_UNKNOWN', `no demo model ${quote(model)}`, { advice: `available: ${available}` });
  }
  return {
    name: `demo/${model}`,
    isLocal: true,
    contextWindow: DEFAULT_WINDOW,
    refuses: new Set(model === 'tools' ? [] : ['tools']),
    async *reply(messages, signal, tools) {
      const wanted = answer(messages);
      const said = typeof wanted === 'string' || tools !== undefined ? wanted : NO_TOOLS;
      const calls = typeof said === 'string' ? [] : said;
      for (const word of typeof said === 'string' ? (said.match(/\S*\s*/g) ?? []) : []) {
        // One turn of the event loop per word, so that Ctrl+C can interrupt.
        await setImmediate();
        if (signal.aborted) throw cancelled();
        if (word !== '') yield { type: 'text', text: word };
      }
      for (const call of calls) yield { type: 'tool-call', toolCallId: 'call', ...call };
      yield { type: 'finish', usage: { inputTokens: null, outputTokens: null, cost: null }, reason: 'stop' };
    },
  };
}

const partners: Readonly<Record<string, (messages: readonly Message[]) => DemoReply>> = {
  eliza,
  echo,
  tools: useTools,
};

/** The names of all demo models, as `demo/…`. */
export const demoModels: readonly string[] = Object.keys(partners).map((name) => `demo/${name}`);

function echo(messages: readonly Message[]): string {
  return `echo: ${lastWords(messages)}`;
}

function eliza(messages: readonly Message[]): string {
  const turns = messages.filter(({ role }) => role === 'user').length;
  const answer = elizaAnswer(lastWords(messages).trim(), turns);
  return messages.some(({ role }) => role === 'assistant') ? answer : `${introduction}\n\n${answer}`;
}

function lastWords(messages: readonly Message[]): string {
  const last = messages.findLast(({ role }) => role === 'user');
  return last === undefined ? '' : textOf(last);
}

function elizaAnswer(text: string, turns: number): string {
  for (const [pattern, answers] of rules) {
    const found = pattern.exec(text);
    if (found !== null) return pick(answers, turns).replace('*', () => turnAround(found[1] ?? ''));
  }
  return pick(otherwise, turns);
}

function pick(answers: readonly string[], turns: number): string {
  return answers[turns % answers.length] ?? '';
}

/** Turns a phrase of the user around: "my notes" becomes "your notes". */
function turnAround(words: string): string {
  const said = words.length > 80 ? `${words.slice(0, 80)}…` : words;
  return said
    .replace(/[.!?\s]+$/, '')
    .replace(/\b(i am|i'm|i was|i|me|my|mine|myself|you are|you|your|yours)\b/gi, (word) => {
      return turned.get(word.toLowerCase()) ?? word;
    });
}

const turned: ReadonlyMap<string, string> = new Map([
  ['i am', 'you are'],
  ["i'm", 'you are'],
  ['i was', 'you were'],
  ['i', 'you'],
  ['me', 'you'],
  ['my', 'your'],
  ['mine', 'yours'],
  ['myself', 'yourself'],
  ['you are', 'I am'],
  ['you', 'me'],
  ['your', 'my'],
  ['yours', 'mine'],
]);

const introduction =
  'I am a scripted demo that lives inside coffer, not a language model, and nothing you write leaves this machine. ' +
  'To talk to a real one, choose it: /model ollama/qwen3';

const rules: readonly (readonly [pattern: RegExp, answers: readonly string[]])[] = [
  [/^$/, ['Take your time. I am here.']],
  [
    /^(?:hi|hello|hey|good (?:morning|evening|day))\b/i,
    ['Hello! What are you working on today?', 'Good to see you. What is new?'],
  ],
  [
    /\b(?:bye|goodbye|good night)\b/i,
    ['Take care. This conversation is sealed; /resume brings it back.', 'See you soon.'],
  ],
  [/\b(?:thanks|thank you)\b/i, ['You are welcome.', 'Gladly. What comes next?']],
  [/\b(?:save|saved|snapshot)\b/i, ['Every step is saved as we speak. /save gives this moment a name of its own.']],
  [
    /\b(?:encrypt|sealed|secret|password|vault)/i,
    ['What you write here is sealed before the prompt comes back. What would you like to keep?'],
  ],
  [
    /\bwho are you|what are you|are you (?:real|human|a bot|an ai)\b/i,
    ['A handful of patterns, honestly. I listen, and I repeat things kindly.'],
  ],
  [
    /\bwhat can you do|help me\b/i,
    ['I can listen and ask. For more than that, /model chooses a real model, and /help lists the commands.'],
  ],
  [/\bi need (.+)/i, ['What would change if you had *?', 'How would * help you?']],
  [/\bi want (?:to )?(.+)/i, ['What is a first small step towards: *?', 'Suppose it works: *. What then?']],
  [/\bi (?:feel|am feeling) (.+)/i, ['How long have you felt *?', 'I am glad you tell me. What makes you feel *?']],
  [/\b(?:i am|i'm) (.+)/i, ['What is it like, being *?', 'Since when are you *?']],
  [
    /\bi (?:can't|cannot|can not) (.+)/i,
    ['What would have to be different so that you can *?', 'What stands between you and that: *?'],
  ],
  [/\bi (?:think|believe|guess) (.+)/i, ['What makes you think *?', 'And if it were the other way round?']],
  [
    /\b(?:bug|error|crash|broken|failing|does not work|doesn't work)\b/i,
    [
      'That sounds tiresome. What is the smallest case in which it happens?',
      'What did you expect to see, and what came instead?',
    ],
  ],
  [/\b(?:because|since) (.+)/i, ['Would it still be so without that: *?', 'That is one reason. Is there another?']],
  [/\bmy ([\p{L}\p{N}' -]{2,60})/iu, ['Tell me more about your *.', 'What matters most to you about your *?']],
  [/^(?:yes|yeah|sure|ok|okay)\b/i, ['Good. Tell me a little more.', 'And what follows from that?']],
  [/^(?:no|nope|not really)\b/i, ['That is fine. What would be closer to it?', 'All right. What then?']],
  [/\?\s*$/, ['What would your own answer be?', 'A good question. What have you found out so far?']],
];

const otherwise: readonly string[] = [
  'I see. Tell me more.',
  'What is the most important part of that?',
  'And how do you see it now?',
];
