/** Tells whether a text looks like an API key or a token: that belongs into no file and into no message. */
export function looksLikeKey(text: string): boolean {
  const [token = ''] = /^(?:bearer\s+)?(\S+)$/i.exec(text.trim())?.slice(1) ?? [];
  if (!/^[\w.-]{8,}$/.test(token)) return false;
  if (prefix.test(token)) return /\d/.test(token) || token.length >= 20;
  return token.split(/[-_.]/).some((part) => part.length >= 16 && /\d/.test(part) && /[A-Za-z]/.test(part));
}

/** What the keys of the better known providers begin with. */
const prefix = /^(?:(?:sk|pk|rk|gsk|hf|xai|ghp|gho|ghs|github_pat|glpat|xox[abp]|r8|nvapi)[-_]|AIza)/;
