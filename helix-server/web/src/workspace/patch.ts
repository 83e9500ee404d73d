/** Reads a unified patch of one file. */

export interface PatchLine {
  /** `@` is where lines that did not change are left out, or something is said of the file. */
  sign: ' ' | '+' | '-' | '@';
  text: string;
  /** The line's number: of the new text, or of the old one where it was removed. */
  number: number | null;
}

const HUNK = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@ ?(.*)$/;

/** The lines of a patch; what git says around them where it says something to people. */
export function readPatch(patch: string): PatchLine[] {
  const lines: PatchLine[] = [];
  let [old, now, inside] = [0, 0, false];
  for (const line of patch.replace(/\n$/, '').split('\n')) {
    const hunk = HUNK.exec(line);
    if (hunk) {
      [old, now, inside] = [Number(hunk[1]), Number(hunk[2]), true];
      lines.push({ sign: '@', text: hunk[3] ?? '', number: null });
      continue;
    }
    if (line.startsWith('diff --git ')) inside = false;
    if (!inside) {
      if (/^(Binary files|old mode|new mode|similarity index|rename )/.test(line)) {
        lines.push({ sign: '@', text: line, number: null });
      }
      continue;
    }
    const text = line.slice(1);
    switch (line.charAt(0)) {
      case '+':
        lines.push({ sign: '+', text, number: now++ });
        break;
      case '-':
        lines.push({ sign: '-', text, number: old++ });
        break;
      case '\\':
        lines.push({ sign: '@', text: text.trim(), number: null });
        break;
      default:
        lines.push({ sign: ' ', text, number: now++ });
        old++;
    }
  }
  return lines;
}
