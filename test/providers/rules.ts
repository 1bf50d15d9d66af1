import type { Rule } from './dialect.ts';
import { type Body, body, call, calling, type Message, partsOf, result, said, user } from './wire.ts';

/*
 * Helpers for rules about the OpenAI protocol, and the rules that several dialects share.
 */

/** Returns the calls of a request. */
export function callsOf({ messages }: Body): NonNullable<Message['tool_calls']> {
  return messages.flatMap((message) => message.tool_calls ?? []);
}

/** Tells whether a message has a field that is not one of `known`. */
export function hasOther({ messages }: Body, known: readonly string[]): boolean {
  return messages.some((message) => Object.keys(message).some((name) => !known.includes(name)));
}

/** The fields of OpenAI's messages. */
export const openaiFields: readonly string[] = ['role', 'content', 'name', 'tool_calls', 'tool_call_id', 'refusal'];

/** Tells whether a request has an image. */
function hasImage({ messages }: Body): boolean {
  return messages.some((message) => partsOf(message).some(({ type }) => type === 'image_url'));
}

/** Tells whether each result follows the message with its call, with only results in between. */
function resultsFollowCalls({ messages }: Body): boolean {
  let open: string[] = [];
  for (const { role, tool_calls, tool_call_id = '' } of messages) {
    if (role !== 'tool') open = (tool_calls ?? []).map(({ id }) => id);
    else if (!open.includes(tool_call_id)) return false;
  }
  return true;
}

/** Tells whether each call has its result before any other message. */
function callsAreAnswered({ messages }: Body): boolean {
  return messages.every(({ tool_calls = [] }, at) => {
    const rest = messages.slice(at + 1);
    const end = rest.findIndex(({ role }) => role !== 'tool');
    const answered = rest.slice(0, end === -1 ? undefined : end).map(({ tool_call_id }) => tool_call_id);
    return tool_calls.every(({ id }) => answered.includes(id));
  });
}

/**
 * Tells whether user and assistant alternate after at most one system message; calls and results
 * don't count.
 */
function rolesAlternate({ messages }: Body): boolean {
  const told = messages.filter(({ role, tool_calls }) => {
    return role !== 'tool' && role !== 'system' && tool_calls === undefined;
  });
  return told.every(({ role }, at) => role === (at % 2 === 0 ? 'user' : 'assistant'));
}

/** Refuses a result without its call. */
export const resultFollowsCall = (source: string): Rule => ({
  refused: 'a result that does not follow its call',
  coffer: 'sends each result right after its call and omits results without one',
  source,
  breaks: (request) => !resultsFollowCalls(request),
  example: body(user(), result('a'), user()),
});

/** Refuses a call without its result. */
export const callIsAnswered = (source: string): Rule => ({
  refused: 'a call that is not followed by its result',
  coffer: 'adds a result that says the call was interrupted',
  source,
  breaks: (request) => !callsAreAnswered(request),
  example: body(user(), calling(call('callcall1')), said(), user()),
});

/** Refuses two messages of one role in a row, which a chat template can't render. */
export const rolesTakeTurns = (source: string, status = 400): Rule => ({
  refused: 'two user messages without a reply in between, even with calls and results in between',
  coffer: 'joins adjacent messages of one role, and ends a turn that stopped at results with a note',
  source,
  status,
  breaks: (request) => !rolesAlternate(request),
  example: body(user(), calling(call('callcall1')), result('callcall1'), user()),
});

/** Refuses unknown fields of messages. */
export const unknownFields = (source: string, status = 400, known: readonly string[] = openaiFields): Rule => ({
  refused: 'an unknown field of a message, for example the reasoning of other models',
  coffer: 'sends reasoning only to the model that wrote it, in its original field',
  source,
  status,
  breaks: (request) => hasOther(request, known),
  example: body(user(), said('hi', { reasoning_content: 'hm' }), user()),
});

/** Refuses images; coffer recognises the refusal by its text. */
export const noImages = (source: string, says: string, example: Body, status = 400): Rule => ({
  refused: 'an image, if the model is text-only',
  coffer: 'retries with a line of text in its place, and sends that text from then on',
  source,
  status,
  says,
  breaks: hasImage,
  example,
});

/** Refuses call ids that don't have Mistral's form. */
export const nineLetters = (source: string): Rule => ({
  refused: 'call ids that are not nine letters or digits',
  coffer: 'replaces every call id with one of that form; the record keeps the original',
  source,
  breaks: (request) => callsOf(request).some(({ id }) => !/^[A-Za-z0-9]{9}$/.test(id)),
  example: body(user(), calling(call('call_1')), result('call_1')),
});

/** Refuses a user message directly after results. */
export const replyAfterResults = (source: string): Rule => ({
  refused: 'a user message directly after a result',
  coffer: 'ends a turn that stopped at results with a note',
  source,
  breaks: ({ messages }) => messages.some(({ role }, at) => role === 'user' && messages[at - 1]?.role === 'tool'),
  example: body(user(), calling(call('callcall1')), result('callcall1'), user()),
});
