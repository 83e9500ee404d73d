import {
  Button,
  Divider,
  Group,
  Popover,
  Stack,
  Text,
  TextInput,
  UnstyledButton,
} from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { IconCheck, IconGitBranch, IconSelector } from '@tabler/icons-react';
import { useState } from 'react';

import { call, http } from '../api/client';
import { FormError } from '../components/states';
import { choices } from './branches';
import type { Workspace } from './changes-panel';
import { branchesQuery, workspaceKeys } from './queries';
import classes from './workspace.module.css';

/** The branch that is checked out, and a way to another or a new one. */
export function BranchMenu({ workspace, branch }: { workspace: Workspace; branch: string }) {
  const { sandboxId: id, directory } = workspace;
  const client = useQueryClient();
  const [opened, setOpened] = useState(false);
  const [name, setName] = useState('');
  const branches = useQuery({ ...branchesQuery(id, directory), enabled: opened });
  const checkout = useMutation({
    mutationFn: (asked: { branch: string; create: boolean }) =>
      call(
        http.POST('/api/v1/sandboxes/{id}/git/checkout', {
          params: { path: { id } },
          body: { ...asked, ...(directory !== '' && { directory }) },
        }),
      ),
    onSuccess: async () => {
      setOpened(false);
      setName('');
      await client.invalidateQueries({ queryKey: workspaceKeys.at(id, directory) });
    },
  });
  const toggle = (next: boolean) => {
    setOpened(next);
    checkout.reset();
  };
  return (
    <Popover opened={opened} onChange={toggle} position="bottom-start" width={300} trapFocus>
      <Popover.Target>
        <Button
          size="compact-sm"
          variant="default"
          leftSection={<IconGitBranch size={14} />}
          rightSection={<IconSelector size={14} />}
          maw={260}
          aria-label={`Branch ${branch}`}
          onClick={() => {
            toggle(!opened);
          }}
        >
          {branch}
        </Button>
      </Popover.Target>
      <Popover.Dropdown aria-label="Branches" p="xs">
        <div className={classes.branches}>
          {branches.isError && <FormError error={branches.error} />}
          {choices(branches.data ?? []).map(({ name: each, remote, current }) => (
            <UnstyledButton
              key={each}
              className={classes.branch ?? ''}
              disabled={checkout.isPending}
              {...(current && { 'aria-current': true })}
              onClick={() => {
                checkout.mutate({ branch: each, create: false });
              }}
            >
              <span className={classes.check}>
                {current && <IconCheck size={14} aria-hidden />}
              </span>
              <span>
                {each}
                {remote && (
                  <Text span size="xs" c="dimmed">
                    {' '}
                    on the server
                  </Text>
                )}
              </span>
            </UnstyledButton>
          ))}
        </div>
        <Divider my={6} />
        <form
          onSubmit={(event) => {
            event.preventDefault();
            checkout.mutate({ branch: name.trim(), create: true });
          }}
        >
          <Stack gap="xs">
            <Group gap={6} wrap="nowrap">
              <TextInput
                size="xs"
                flex={1}
                aria-label="Name of a new branch"
                placeholder="A new branch"
                value={name}
                onChange={({ currentTarget }) => {
                  setName(currentTarget.value);
                }}
              />
              <Button
                size="xs"
                type="submit"
                loading={checkout.isPending}
                disabled={name.trim() === ''}
              >
                Create
              </Button>
            </Group>
            <FormError error={checkout.error} />
          </Stack>
        </form>
      </Popover.Dropdown>
    </Popover>
  );
}
