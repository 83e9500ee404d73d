import { expect, it } from 'vitest';

import { terminalText } from './terminal-text';

it('shows lines as they were last, without colours and titles', () => {
  const written = '\x1b]0;title\x07\x1b[32mok\x1b[0m\r\n10 %\r50 %\r100 %\r\ndone\r';
  expect(terminalText(written)).toBe('ok\n100 %\ndone');
});
