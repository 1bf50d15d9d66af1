/*
 * A repository that a sandboxed command has created keeps its configuration only if nothing in it
 * can run a program. A setting that is not known to be harmless counts as harmful, so that this
 * list need not follow git's new ones.
 */

/** The longest configuration that is looked at, in characters. */
const LONGEST = 65_536;

/**
 * Tells whether a git configuration has only settings that `git init` and `git clone` write, and
 * that run nothing.
 */
export function isHarmlessConfig(text: string): boolean {
  if (text.length > LONGEST || !/^[\t\n\x20-\x7e]*$/.test(text)) return false;
  let section = '';
  return text.split('\n').every((line) => {
    const header = /^\[([a-z]+)(?: "[\w./@+ -]*")?\]$/.exec(line);
    if (header) {
      section = header[1] ?? '';
      return true;
    }
    if (line === '') return true;
    const [, name = '', value = ''] = /^\t([a-z]+) = (.*)$/i.exec(line) ?? [];
    return HARMLESS[section]?.[name.toLowerCase()]?.test(value) ?? false;
  });
}

const YES_OR_NO = /^(true|false)$/;
const NAME = /^[\w./@+:*, -]*$/;

/**
 * An address in which git finds no command: not `ext::`, which is one, nor an address that a
 * program could take for an option.
 */
const ADDRESS = /^(https?:\/\/[\w.]|ssh:\/\/[\w.]|git:\/\/[\w.]|file:\/\/\/|[\w.]+@[\w.]+:[\w./~]|\/)[\w./@:~%+-]*$/;

const HARMLESS: Readonly<Record<string, Readonly<Record<string, RegExp>>>> = {
  core: {
    repositoryformatversion: /^0$/,
    filemode: YES_OR_NO,
    bare: YES_OR_NO,
    logallrefupdates: YES_OR_NO,
    symlinks: YES_OR_NO,
    ignorecase: YES_OR_NO,
    precomposeunicode: YES_OR_NO,
  },
  user: { name: NAME, email: NAME },
  init: { defaultbranch: NAME },
  remote: { url: ADDRESS, fetch: NAME },
  branch: { remote: NAME, merge: NAME },
};
