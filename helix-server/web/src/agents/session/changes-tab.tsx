import { SegmentedControl, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconFileDiff } from '@tabler/icons-react';
import { useMemo, useState } from 'react';

import type { Sandbox, SessionAgent } from '../../api/types';
import { Diff } from '../../components/diff';
import { EmptyState } from '../../components/states';
import { count } from '../../format';
import { usable } from '../../sandboxes/sandbox-notice';
import { ChangesPanel } from '../../workspace/changes-panel';
import { statusQuery } from '../../workspace/queries';
import { changesOf } from '../changes';
import type { AgentLog } from '../log/view';
import classes from './session.module.css';

/** No more files than these are laid out. */
const MOST_FILES = 100;

const VIEWS = [
  { value: 'git', label: 'In the repository' },
  { value: 'said', label: 'By the agent' },
];

interface Props {
  log: AgentLog;
  of: SessionAgent;
  sandbox: Sandbox | null;
}

/** What changed: as git sees it, where the agent works in a repository, and as the agent says. */
export function ChangesTab({ log, of, sandbox }: Props) {
  const [view, setView] = useState('git');
  const asks = sandbox !== null && usable(sandbox);
  const status = useQuery({ ...statusQuery(of.sandbox_id, of.directory), enabled: asks });
  if (!asks || status.data === null) return <Said log={log} />;
  return (
    <Stack gap="md" align="stretch">
      <SegmentedControl
        size="xs"
        style={{ alignSelf: 'flex-start' }}
        aria-label="Which changes are shown"
        data={VIEWS}
        value={view}
        onChange={setView}
      />
      {view === 'git' ? (
        <ChangesPanel
          workspace={{ sandboxId: of.sandbox_id, directory: of.directory }}
          elsewhere={<Said log={log} />}
        />
      ) : (
        <Said log={log} />
      )}
    </Stack>
  );
}

/** The files that the agent changed, as it says. */
function Said({ log: { items } }: { log: AgentLog }) {
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
