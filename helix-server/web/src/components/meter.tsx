import { Group, Text } from '@mantine/core';
import type { ReactNode } from 'react';

import classes from './meter.module.css';

/** From this share on, what is used is shown as a warning. */
const NEARLY_FULL = 0.9;

interface Props {
  /** What is measured, for screen readers. */
  label: string;
  /** The same for the ear as the bar for the eye. */
  text: string;
  used: number;
  total: number;
  promised?: number;
  /** Whether being nearly full is something to worry about. */
  warns?: boolean;
  /** What is used, in words. */
  usedText: string;
  promisedText?: string;
}

/** How much of something is used, and how much is promised to somebody. */
export function Meter(props: Props) {
  const { label, text, used, total, promised = 0, warns = false, usedText, promisedText } = props;
  const share = (amount: number) => (total > 0 ? Math.min(1, Math.max(0, amount / total)) : 0);
  const percent = (amount: number) => `${share(amount) * 100}%`;
  const full = warns && share(used) >= NEARLY_FULL;
  return (
    <div>
      <div
        className={classes.bar}
        role="meter"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={total}
        aria-valuenow={Math.min(used, total)}
        aria-valuetext={text}
      >
        <div className={classes.promised} style={{ width: percent(promised) }} />
        <div
          className={classes.used}
          data-full={full ? true : undefined}
          style={{ width: percent(used) }}
        />
      </div>
      <Group gap={4} mt={6} style={{ columnGap: 16 }} aria-hidden>
        <Figure className={promisedText === undefined ? undefined : classes.usedKey}>
          {usedText}
        </Figure>
        {promisedText !== undefined && (
          <Figure className={classes.promisedKey}>{promisedText}</Figure>
        )}
      </Group>
    </div>
  );
}

function Figure(props: { className: string | undefined; children: ReactNode }) {
  return (
    <Text size="xs" c="dimmed">
      {props.className !== undefined && <span className={props.className} />} {props.children}
    </Text>
  );
}
