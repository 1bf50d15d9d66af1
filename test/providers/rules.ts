import type { Rule } from './dialect.ts';
import { type Body, body, call, calling, type Message, partsOf, result, said, user } from './wire.ts';

/*
 * What rules look at in the OpenAI protocol, and those that several dialects have.
 */

/** The calls of a request. */
export function callsOf({ messages }: Body): NonNullable<Message['tool_calls']> {
  return messages.flatMap((message) => message.tool_calls ?? []);
}

/** Tells whether a message has a field that is not one of `known`. */
export function hasOther({ messages }: Body, known: readonly string[]): boolean {
  return messages.some((message) => Object.keys(message).some((name) => !known.includes(name)));
}

/** The fields of OpenAI's messages. */
export const openaiFields: readonly string[] = ['role', 'content', 'name', 'tool_calls', 'tool_call_id', 'refusal'];

/** Tells whether a picture is sent. */
function hasImage({ messages }: Body): boolean {
  return messages.some((message) => partsOf(message).some(({ type }) => type === 'image_url'));
}

/** Tells whether each result stands behind the message that calls it, with nothing but results between. */
function resultsFollowCalls({ messages }: Body): boolean {
  let open: string[] = [];
  for (const { role, tool_calls, tool_call_id = '' } of messages) {
    if (role !== 'tool') open = (tool_calls ?? []).map(({ id }) => id);
    else if (!open.includes(tool_call_id)) return false;
  }
  return true;
}

/** Tells whether each call has its result before anything else is said. */
function callsAreAnswered({ messages }: Body): boolean {
  return messages.every(({ tool_calls = [] }, at) => {
    const rest = messages.slice(at + 1);
    const end = rest.findIndex(({ role }) => role !== 'tool');
    const answered = rest.slice(0, end === -1 ? undefined : end).map(({ tool_call_id }) => tool_call_id);
    return tool_calls.every(({ id }) => answered.includes(id));
  });
}

/** Tells whether user and assistant take turns behind one system message at most; calls and results don't count. */
function rolesAlternate({ messages }: Body): boolean {
  const told = messages.filter(({ role, tool_calls }) => {
    return role !== 'tool' && role !== 'system' && tool_calls === undefined;
  });
  return told.every(({ role }, at) => role === (at % 2 === 0 ? 'user' : 'assistant'));
}

/** Refuses a result without its call. */
export const resultFollowsCall = (source: string): Rule => ({
  refused: 'a result that does not follow its call',
  coffer: 'sends each result right behind its call, and leaves out those without one',
  source,
  breaks: (request) => !resultsFollowCalls(request),
  example: body(user(), result('a'), user()),
});

/** Refuses a call without its result. */
export const callIsAnswered = (source: string): Rule => ({
  refused: 'a call without a result behind it',
  coffer: 'adds a result that says the call was interrupted',
  source,
  breaks: (request) => !callsAreAnswered(request),
  example: body(user(), calling(call('callcall1')), said(), user()),
});

/** Refuses what a chat template can't write: two of one role in a row. */
export const rolesTakeTurns = (source: string, status = 400): Rule => ({
  refused: 'two user messages without a reply between, also when calls and results are between',
  coffer: 'joins neighbours of one role, and ends a turn that stopped at results with a line that says so',
  source,
  status,
  breaks: (request) => !rolesAlternate(request),
  example: body(user(), calling(call('callcall1')), result('callcall1'), user()),
});

/** Refuses fields of messages that the server does not know. */
export const unknownFields = (source: string, status = 400, known: readonly string[] = openaiFields): Rule => ({
  refused: 'a field of a message that it does not know, reasoning of others for example',
  coffer: 'sends reasoning only to the model it came from, in the field it came in',
  source,
  status,
  breaks: (request) => hasOther(request, known),
  example: body(user(), said('hi', { reasoning_content: 'hm' }), user()),
});

/** Refuses pictures; coffer learns of it by the words. */
export const noImages = (source: string, says: string, example: Body, status = 400): Rule => ({
  refused: 'a picture, if the model takes none',
  coffer: 'asks once more with a line of text in its place, and from then on at once',
  source,
  status,
  says,
  breaks: hasImage,
  example,
});

/** Refuses ids of calls that are not like Mistral's. */
export const nineLetters = (source: string): Rule => ({
  refused: 'ids of calls that are not nine letters or digits',
  coffer: 'gives every call an id of that form in the request; the record keeps the original',
  source,
  breaks: (request) => callsOf(request).some(({ id }) => !/^[A-Za-z0-9]{9}$/.test(id)),
  example: body(user(), calling(call('call_1')), result('call_1')),
});

/** Refuses a user's message behind results. */
export const replyAfterResults = (source: string): Rule => ({
  refused: 'a user message directly behind a result',
  coffer: 'ends a turn that stopped at results with a line that says so',
  source,
  breaks: ({ messages }) => messages.some(({ role }, at) => role === 'user' && messages[at - 1]?.role === 'tool'),
  example: body(user(), calling(call('callcall1')), result('callcall1'), user()),
});
