import { Button, Text } from '@mantine/core';
import { useMemo, useState } from 'react';

import { count, formatBytes } from '../format';
import { diffLines, type LineDiff } from './diff-lines';
import classes from './diff.module.css';

/** More lines than this are shown when somebody asks for them. */
const SHOWN = 300;

interface Props {
  path: string;
  /** Null for a new file. */
  before: string | null;
  after: string;
  /** Bytes that are missing in both. */
  omitted?: number;
}

/** A change to a file, line by line. */
export function Diff({ path, before, after, omitted = 0 }: Props) {
  const diff = useMemo(() => diffLines(before ?? '', after), [before, after]);
  const [all, setAll] = useState(false);
  const lines = diff?.lines ?? plain(after);
  const shown = all ? lines : lines.slice(0, SHOWN);
  return (
    <div className={classes.diff}>
      <div className={classes.head}>
        <span>
          {path}
          {before === null && ' (new)'}
        </span>
        {diff && (
          <span className={classes.counts}>
            <span className={classes.added} aria-label={`${count(diff.added, 'line')} added`}>
              +{diff.added}
            </span>
            <span className={classes.removed} aria-label={`${count(diff.removed, 'line')} removed`}>
              −{diff.removed}
            </span>
          </span>
        )}
      </div>
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls */}
      <div className={classes.lines} role="group" aria-label={`Changes of ${path}`} tabIndex={0}>
        {!diff && (
          <div className={classes.skip}>Too much changed to compare: this is the new text.</div>
        )}
        {diff?.lines.length === 0 && <div className={classes.skip}>Nothing changed</div>}
        {shown.map((line, index) =>
          line.sign === '…' ? (
            // Lines have no identity but their place.
            <div key={index} className={classes.skip} aria-label="Lines that did not change">
              ⋯
            </div>
          ) : (
            <div key={index} className={classes.line} data-sign={line.sign}>
              <span className={classes.number} aria-hidden>
                {line.number}
              </span>
              <span className={classes.sign}>{line.sign}</span>
              <span className={classes.text}>{line.text}</span>
            </div>
          ),
        )}
      </div>
      {lines.length > shown.length && (
        <Button
          size="compact-xs"
          variant="subtle"
          color="gray"
          fullWidth
          radius={0}
          onClick={() => {
            setAll(true);
          }}
        >
          Show all {lines.length.toLocaleString()} lines
        </Button>
      )}
      {omitted > 0 && (
        <Text size="xs" c="dimmed" px={10} py={4}>
          {formatBytes(omitted)} are left out: the change is larger than what is passed on.
        </Text>
      )}
    </div>
  );
}

function plain(text: string): LineDiff['lines'] {
  return text.split('\n').map((line, index) => ({ sign: ' ', text: line, number: index + 1 }));
}
