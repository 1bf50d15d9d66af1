/**
 * Returns whether a text looks like an API key or a token, which must not get into a file or a
 * message.
 */
export function looksLikeKey(text: string): boolean {
  const [token = ''] = /^(?:bearer\s+)?(\S+)$/i.exec(text.trim())?.slice(1) ?? [];
  if (!/^[\w.-]{8,}$/.test(token)) return false;
  if (prefix.test(token)) return /\d/.test(token) || token.length >= 20;
  return token.split(/[-_.]/).some((part) => part.length >= 16 && /\d/.test(part) && /[A-Za-z]/.test(part));
}

/** The prefixes of well-known providers' keys. */
const prefix = /^(?:(?:sk|pk|rk|gsk|hf|xai|ghp|gho|ghs|github_pat|glpat|xox[abp]|r8|nvapi)[-_]|AIza)/;
