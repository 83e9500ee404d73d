import { Button, Divider, Group, Menu, ScrollArea, Stack, Text, TextInput } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { IconCheck, IconGitBranch, IconSelector } from '@tabler/icons-react';
import { useState } from 'react';

import { call, http } from '../api/client';
import { FormError } from '../components/states';
import { choices } from './branches';
import type { Workspace } from './changes-panel';
import { branchesQuery, workspaceKeys } from './queries';

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
    <Menu opened={opened} onChange={toggle} position="bottom-start" width={300}>
      <Menu.Target>
        <Button
          size="compact-sm"
          variant="default"
          leftSection={<IconGitBranch size={14} />}
          rightSection={<IconSelector size={14} />}
          maw={260}
          aria-label={`Branch ${branch}`}
        >
          {branch}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>Branches</Menu.Label>
        <ScrollArea.Autosize mah={260}>
          {branches.isError && <FormError error={branches.error} />}
          {choices(branches.data ?? []).map((each) => (
            <Menu.Item
              key={each.name}
              closeMenuOnClick={false}
              disabled={checkout.isPending}
              leftSection={each.current ? <IconCheck size={14} /> : <span style={{ width: 14 }} />}
              onClick={() => {
                checkout.mutate({ branch: each.name, create: false });
              }}
            >
              {each.name}
              {each.remote && (
                <Text span size="xs" c="dimmed">
                  {' '}
                  on the server
                </Text>
              )}
            </Menu.Item>
          ))}
        </ScrollArea.Autosize>
        <Divider my={4} />
        <form
          onSubmit={(event) => {
            event.preventDefault();
            checkout.mutate({ branch: name.trim(), create: true });
          }}
        >
          <Stack gap="xs" p={6}>
            <Group gap={6} wrap="nowrap">
              <TextInput
                size="xs"
                flex={1}
                aria-label="Name of a new branch"
                placeholder="A new branch"
                value={name}
                onKeyDown={(event) => {
                  // Letters are text here, not a way through the menu.
                  if (event.key !== 'Escape') event.stopPropagation();
                }}
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
      </Menu.Dropdown>
    </Menu>
  );
}
