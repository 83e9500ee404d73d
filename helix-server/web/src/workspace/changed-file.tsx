import { Badge, Checkbox, UnstyledButton } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconChevronDown, IconChevronRight } from '@tabler/icons-react';
import { useState } from 'react';

import type { GitChange, GitFile } from '../api/types';
import { ErrorState, LoadingState } from '../components/states';
import { useDrives } from '../sessions/right';
import type { Workspace } from './changes-panel';
import { PatchView } from './patch-view';
import { diffQuery } from './queries';
import classes from './workspace.module.css';

const CHANGES: Record<GitChange, { label: string; color: string }> = {
  added: { label: 'New', color: 'teal' },
  untracked: { label: 'New', color: 'teal' },
  modified: { label: 'Changed', color: 'blue' },
  deleted: { label: 'Deleted', color: 'red' },
  renamed: { label: 'Renamed', color: 'grape' },
  copied: { label: 'Copied', color: 'grape' },
  retyped: { label: 'Other kind', color: 'orange' },
  conflicted: { label: 'Conflict', color: 'red' },
};

/** A file that changed, and how when somebody wants to see it. */
export function ChangedFile(props: {
  workspace: Workspace;
  file: GitFile;
  chosen: boolean;
  onChoose: (chosen: boolean) => void;
}) {
  const { workspace, file, chosen, onChoose } = props;
  const drives = useDrives();
  const [opened, setOpened] = useState(false);
  const change = CHANGES[file.unstaged ?? file.staged ?? 'modified'];
  const Chevron = opened ? IconChevronDown : IconChevronRight;
  return (
    <div className={classes.file}>
      <div className={classes.row}>
        {drives && (
          <Checkbox
            size="sm"
            aria-label={`Commit ${file.path}`}
            checked={chosen}
            onChange={({ currentTarget }) => {
              onChoose(currentTarget.checked);
            }}
          />
        )}
        <UnstyledButton
          className={classes.name ?? ''}
          aria-expanded={opened}
          onClick={() => {
            setOpened(!opened);
          }}
        >
          <Chevron size={14} style={{ verticalAlign: -2 }} aria-hidden />{' '}
          {file.from != null && `${file.from} → `}
          {file.path}
        </UnstyledButton>
        <Badge color={change.color}>{change.label}</Badge>
      </div>
      {opened && <FileDiff workspace={workspace} file={file} />}
    </div>
  );
}

function FileDiff({ workspace, file }: { workspace: Workspace; file: GitFile }) {
  const { sandboxId, directory } = workspace;
  const staged = file.unstaged == null;
  const diff = useQuery(diffQuery(sandboxId, directory, file.path, staged));
  if (diff.isPending) return <LoadingState label={`Loading the changes of ${file.path}`} />;
  if (diff.isError) {
    return (
      <ErrorState
        what="The changes of this file could not be loaded"
        error={diff.error}
        onRetry={() => void diff.refetch()}
      />
    );
  }
  return <PatchView path={file.path} {...diff.data} />;
}
