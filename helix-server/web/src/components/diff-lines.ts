import { structuredPatch } from 'diff';

export interface DiffLine {
  /** `…` is where lines that did not change are left out. */
  sign: ' ' | '+' | '-' | '…';
  text: string;
  /** The line's number: of the new text, or of the old one where it was removed. */
  number: number | null;
}

export interface LineDiff {
  lines: DiffLine[];
  added: number;
  removed: number;
}

/** Texts that differ in more lines than this are not compared line by line. */
const MOST_EDITS = 3_000;
const AROUND = 3;

/**
 * What changed from one text to another, line by line, with a few lines around; null where that
 * is too much to compare.
 */
export function diffLines(before: string, after: string): LineDiff | null {
  const patch = structuredPatch('', '', before, after, '', '', {
    context: AROUND,
    maxEditLength: MOST_EDITS,
  });
  if (!patch) return null;
  const result: LineDiff = { lines: [], added: 0, removed: 0 };
  let end = 1;
  for (const hunk of patch.hunks) {
    let { oldStart: old, newStart: now } = hunk;
    if (now > end) result.lines.push({ sign: '…', text: '', number: null });
    for (const line of hunk.lines) {
      const text = line.slice(1);
      switch (line.charAt(0)) {
        case '+':
          result.lines.push({ sign: '+', text, number: now });
          result.added += 1;
          now += 1;
          break;
        case '-':
          result.lines.push({ sign: '-', text, number: old });
          result.removed += 1;
          old += 1;
          break;
        case ' ':
          result.lines.push({ sign: ' ', text, number: now });
          now += 1;
          old += 1;
          break;
        default:
        // `\ No newline at end of file`
      }
    }
    end = now;
  }
  return result;
}
