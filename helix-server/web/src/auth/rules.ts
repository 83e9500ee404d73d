/** What the forms check before asking the server, which has the last word. */

export function emailRule(value: string): string | null {
  const email = value.trim();
  if (email === '') return 'Enter your email address';
  if (email.length > 254) return 'At most 254 characters';
  return /^\S+@\S+$/.test(email) ? null : 'This does not look like an email address';
}

export function nameRule(value: string): string | null {
  const name = value.trim();
  if (name === '') return 'Enter a name';
  return name.length > 100 ? 'At most 100 characters' : null;
}

export function newPasswordRule(value: string): string | null {
  if (value.length < 10) return 'At least 10 characters';
  return value.length > 256 ? 'At most 256 characters' : null;
}
