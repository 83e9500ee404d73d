import { Stack, Text } from '@mantine/core';
import { IconFileDiff } from '@tabler/icons-react';
import { useMemo } from 'react';

import { Diff } from '../../components/diff';
import { EmptyState } from '../../components/states';
import { count } from '../../format';
import { changesOf } from '../changes';
import type { AgentLog } from '../log/view';
import classes from './session.module.css';

/** No more files than these are laid out. */
const MOST_FILES = 100;

/** The files that the agent changed, as it says. */
export function ChangesTab({ log: { items } }: { log: AgentLog }) {
  const changes = useMemo(() => changesOf(items), [items]);
  if (changes.length === 0) {
    return (
      <EmptyState icon={IconFileDiff} title="No changes yet">
        Files that the agent changes are shown here, line by line.
      </EmptyState>
    );
  }
  return (
    <Stack gap="md">
      <Text size="sm" c="dimmed">
        {count(changes.length, 'file')} changed, as the agent says. What its programs changed
        besides is seen among the files.
      </Text>
      {changes.slice(0, MOST_FILES).map(({ path, before, after, times, omitted }) => (
        <div key={path}>
          <Diff path={path} before={before} after={after} omitted={omitted} />
          {times > 1 && <div className={classes.small}>Changed {count(times, 'time')}</div>}
        </div>
      ))}
      {changes.length > MOST_FILES && (
        <Text size="sm" c="dimmed">
          {(changes.length - MOST_FILES).toLocaleString()} more files are not shown.
        </Text>
      )}
    </Stack>
  );
}
