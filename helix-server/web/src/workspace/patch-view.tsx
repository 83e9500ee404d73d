import { Button, Text } from '@mantine/core';
import { useMemo, useState } from 'react';

import classes from '../components/diff.module.css';
import { readPatch } from './patch';

/** More lines than these are shown when somebody asks for them. */
const SHOWN = 400;

/** The change of a file, line by line. */
export function PatchView(props: { path: string; patch: string; truncated: boolean }) {
  const { path, patch, truncated } = props;
  const lines = useMemo(() => readPatch(patch), [patch]);
  const [all, setAll] = useState(false);
  const shown = all ? lines : lines.slice(0, SHOWN);
  if (lines.length === 0) {
    return (
      <Text size="sm" c="dimmed" p="sm">
        Nothing in it differs, line by line.
      </Text>
    );
  }
  return (
    <>
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls */}
      <div className={classes.lines} role="region" aria-label={`Changes of ${path}`} tabIndex={0}>
        {shown.map(({ sign, text, number }, index) => (
          // Lines have no identity but their place.
          <div key={index} className={classes.line} data-sign={sign}>
            <span className={classes.number} aria-hidden>
              {number}
            </span>
            <span className={classes.sign}>{sign === '@' ? '⋯' : sign}</span>
            <span className={classes.text}>{text}</span>
          </div>
        ))}
      </div>
      {lines.length > shown.length && (
        <Button
          size="compact-xs"
          variant="subtle"
          color="gray"
          fullWidth
          onClick={() => {
            setAll(true);
          }}
        >
          Show all {lines.length.toLocaleString()} lines
        </Button>
      )}
      {truncated && (
        <Text size="xs" c="dimmed" p="xs">
          The change is larger than what is shown.
        </Text>
      )}
    </>
  );
}
