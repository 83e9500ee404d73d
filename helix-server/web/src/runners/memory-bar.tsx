import { Group, Text } from '@mantine/core';
import type { ReactNode } from 'react';

import type { RunnerDevice } from '../api/types';
import { formatBytes } from '../format';
import classes from './memory-bar.module.css';

/** How a device's memory is used: what is taken, what else is set aside, what is free. */
export function MemoryBar({ device }: { device: RunnerDevice }) {
  const { total_bytes: total, free_bytes: free, reserved_bytes: reserved } = device;
  const used = Math.max(0, total - free);
  const share = (bytes: number) => (total > 0 ? `${Math.min(100, (bytes / total) * 100)}%` : '0%');
  const text = `${formatBytes(used)} used, ${formatBytes(reserved)} reserved for models, of ${formatBytes(total)}`;
  return (
    <div>
      <div
        className={classes.bar}
        role="meter"
        aria-label={`Memory of ${device.name}`}
        aria-valuemin={0}
        aria-valuemax={total}
        aria-valuenow={used}
        aria-valuetext={text}
      >
        <div className={classes.reserved} style={{ width: share(reserved) }} />
        <div className={classes.used} style={{ width: share(used) }} />
      </div>
      <Group gap={4} mt={6} style={{ columnGap: 16 }} aria-hidden>
        <Figure className={classes.usedKey}>
          {formatBytes(used)} of {formatBytes(total)} used
        </Figure>
        <Figure className={classes.reservedKey}>{formatBytes(reserved)} reserved for models</Figure>
      </Group>
    </div>
  );
}

function Figure(props: { className: string | undefined; children: ReactNode }) {
  return (
    <Text size="xs" c="dimmed">
      <span className={props.className} /> {props.children}
    </Text>
  );
}
