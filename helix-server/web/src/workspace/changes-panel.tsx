import { ActionIcon, Badge, Card, Group, Stack, Text, Tooltip } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { IconGitBranch, IconRefresh } from '@tabler/icons-react';
import { useState, type ReactNode } from 'react';

import type { GitStatus } from '../api/types';
import { ErrorState, LoadingState } from '../components/states';
import { count } from '../format';
import { useDrives, useRight } from '../sessions/right';
import { BranchMenu } from './branch-menu';
import { ChangedFile } from './changed-file';
import { CommitForm } from './commit-form';
import { PushButton } from './push-button';
import { statusQuery, workspaceKeys } from './queries';

/** What changes has no event that would say so. */
const REFRESH_MS = 5_000;

/** Where a repository is: in which sandbox, and from the user's home on. */
export interface Workspace {
  sandboxId: string;
  directory: string;
}

/**
 * What changed in a git repository of a sandbox, and a way to commit and push it. `elsewhere`
 * is shown where there is none.
 */
export function ChangesPanel({
  workspace,
  elsewhere,
}: {
  workspace: Workspace;
  elsewhere: ReactNode;
}) {
  const { sandboxId, directory } = workspace;
  const status = useQuery({
    ...statusQuery(sandboxId, directory),
    refetchInterval: ({ state }) => (state.status === 'error' ? false : REFRESH_MS),
  });
  if (status.isPending) return <LoadingState label="Loading the changes" />;
  if (status.data) return <Changes workspace={workspace} status={status.data} />;
  if (status.isError) {
    return (
      <ErrorState
        what="The changes could not be loaded"
        error={status.error}
        onRetry={() => void status.refetch()}
      />
    );
  }
  return elsewhere;
}

function Changes({ workspace, status }: { workspace: Workspace; status: GitStatus }) {
  const { files, truncated } = status;
  const drives = useDrives();
  // Everything is committed but what somebody leaves out.
  const [without, setWithout] = useState<ReadonlySet<string>>(new Set());
  const chosen = files.filter(({ path }) => !without.has(path));
  return (
    <Stack gap="md">
      <Head workspace={workspace} status={status} />
      <Card padding={0} component="section" aria-label="Files that changed">
        {files.length === 0 ? (
          <Text size="sm" c="dimmed" p="md">
            Nothing has changed since the last commit.
          </Text>
        ) : (
          files.map((file) => (
            <ChangedFile
              key={file.path}
              workspace={workspace}
              file={file}
              chosen={!without.has(file.path)}
              onChoose={(choose) => {
                const next = new Set(without);
                if (choose) next.delete(file.path);
                else next.add(file.path);
                setWithout(next);
              }}
            />
          ))
        )}
        {truncated && (
          <Text size="xs" c="dimmed" p="sm">
            More files than these changed.
          </Text>
        )}
      </Card>
      {files.length > 0 && drives && (
        <CommitForm
          workspace={workspace}
          count={chosen.length}
          paths={chosen.length === files.length ? null : chosen.map(({ path }) => path)}
        />
      )}
    </Stack>
  );
}

function Head({ workspace, status }: { workspace: Workspace; status: GitStatus }) {
  const { directory, branch, upstream, ahead, behind, commit } = status;
  const client = useQueryClient();
  const right = useRight();
  return (
    <Group justify="space-between" gap="sm">
      <Group gap="xs" miw={0}>
        {branch == null ? (
          <Badge color="orange" leftSection={<IconGitBranch size={12} />}>
            No branch, at {commit?.slice(0, 8) ?? 'nothing'}
          </Badge>
        ) : right === 'read' ? (
          <Badge color="gray" tt="none" leftSection={<IconGitBranch size={12} />}>
            {branch}
          </Badge>
        ) : (
          <BranchMenu workspace={workspace} branch={branch} />
        )}
        {ahead > 0 && <Badge color="blue">{count(ahead, 'commit')} to push</Badge>}
        {behind > 0 && (
          <Badge color="orange">
            {count(behind, 'commit')} behind {upstream}
          </Badge>
        )}
        <Text size="xs" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
          {directory}
        </Text>
      </Group>
      <Group gap="xs">
        <Tooltip label="Look again">
          <ActionIcon
            aria-label="Look again"
            onClick={() =>
              void client.invalidateQueries({
                queryKey: workspaceKeys.at(workspace.sandboxId, workspace.directory),
              })
            }
          >
            <IconRefresh size={17} />
          </ActionIcon>
        </Tooltip>
        {right === 'own' && branch != null && commit != null && (
          <PushButton workspace={workspace} pushed={upstream != null && ahead === 0} />
        )}
      </Group>
    </Group>
  );
}
