import { expect, test } from 'vitest';

import { readPatch } from './patch';

test('lines have the numbers of the side that they are on', () => {
  const patch = `diff --git a/x b/x
index 1..2 100644
--- a/x
+++ b/x
@@ -3,3 +3,3 @@ fn main()
 same
-old
+new
 same
\\ No newline at end of file
`;
  expect(readPatch(patch)).toEqual([
    { sign: '@', text: 'fn main()', number: null },
    { sign: ' ', text: 'same', number: 3 },
    { sign: '-', text: 'old', number: 4 },
    { sign: '+', text: 'new', number: 4 },
    { sign: ' ', text: 'same', number: 5 },
    { sign: '@', text: 'No newline at end of file', number: null },
  ]);
});

test('a line of the text that looks like a head is text', () => {
  const patch = '@@ -1,2 +1,2 @@\n--- a\n+++ b\n';
  expect(readPatch(patch).map(({ sign, text }) => sign + text)).toEqual(['@', '--- a', '+++ b']);
});

test('of what has no lines it is said what it is', () => {
  const patch = 'diff --git a/x b/x\nBinary files a/x and b/x differ\n';
  expect(readPatch(patch)).toEqual([
    { sign: '@', text: 'Binary files a/x and b/x differ', number: null },
  ]);
  expect(readPatch('')).toEqual([]);
});
