import { ActionIcon, Button, Card, Code, Group, Table, Text, Tooltip } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { IconLock, IconPencil, IconPlus, IconTrash } from '@tabler/icons-react';
import { useState } from 'react';

import { call, http } from '../api/client';
import type { Secret } from '../api/types';
import { ConfirmDialog } from '../components/confirm';
import { Page } from '../components/page';
import { StackedTable } from '../components/stacked-table';
import { EmptyState, ErrorState, LoadingState } from '../components/states';
import { RelativeTime } from '../components/time';
import { purposeOf } from './purpose';
import { secretKeys, secretsQuery } from './queries';
import { SecretDialog } from './secret-dialog';

export default function SecretsPage() {
  const secrets = useQuery(secretsQuery);
  const [adding, { open, close }] = useDisclosure(false);
  const add = (
    <Button leftSection={<IconPlus size={16} />} onClick={open}>
      Add a secret
    </Button>
  );
  return (
    <Page
      title="Secrets"
      description="Passwords and keys for your sandboxes. They are kept sealed and never shown again; a sandbox has only those that you give it."
      actions={add}
    >
      {secrets.isPending && <LoadingState label="Loading the secrets" />}
      {secrets.isError && (
        <ErrorState
          what="The secrets could not be loaded"
          error={secrets.error}
          onRetry={() => void secrets.refetch()}
        />
      )}
      {secrets.data && (
        <Card padding={0}>
          {secrets.data.length === 0 ? (
            <EmptyState icon={IconLock} title="No secret yet" action={add}>
              A token for a git server lets a sandbox clone and push; a key of a provider becomes a
              variable of its programs.
            </EmptyState>
          ) : (
            <SecretTable secrets={secrets.data} />
          )}
        </Card>
      )}
      <SecretDialog key={String(adding)} opened={adding} onClose={close} />
    </Page>
  );
}

function SecretTable({ secrets }: { secrets: Secret[] }) {
  const [changing, setChanging] = useState<Secret | null>(null);
  const [deleting, setDeleting] = useState<Secret | null>(null);
  return (
    <>
      <StackedTable label="Secrets" columns={['Name', 'For', 'Value', 'Changed']} actions>
        {secrets.map((secret) => (
          <Table.Tr key={secret.name}>
            <Table.Td fw={550}>{secret.name}</Table.Td>
            <Table.Td data-label="For" style={{ overflowWrap: 'anywhere' }}>
              {purposeOf(secret.kind)}
            </Table.Td>
            <Table.Td data-label="Value">
              {secret.hint === '' ? (
                <Text size="sm" c="dimmed">
                  hidden
                </Text>
              ) : (
                <Code style={{ whiteSpace: 'nowrap' }}>…{secret.hint}</Code>
              )}
            </Table.Td>
            <Table.Td data-label="Changed">
              <RelativeTime atMs={secret.updated_at_ms} />
            </Table.Td>
            <Table.Td>
              <Group gap={4} justify="flex-end" wrap="nowrap">
                <Tooltip label="Change">
                  <ActionIcon
                    aria-label={`Change ${secret.name}`}
                    onClick={() => {
                      setChanging(secret);
                    }}
                  >
                    <IconPencil size={17} />
                  </ActionIcon>
                </Tooltip>
                <Tooltip label="Delete">
                  <ActionIcon
                    color="red"
                    aria-label={`Delete ${secret.name}`}
                    onClick={() => {
                      setDeleting(secret);
                    }}
                  >
                    <IconTrash size={17} />
                  </ActionIcon>
                </Tooltip>
              </Group>
            </Table.Td>
          </Table.Tr>
        ))}
      </StackedTable>
      <SecretDialog
        key={changing?.name ?? ''}
        opened={changing !== null}
        {...(changing && { secret: changing })}
        onClose={() => {
          setChanging(null);
        }}
      />
      <DeleteSecret
        secret={deleting}
        onClose={() => {
          setDeleting(null);
        }}
      />
    </>
  );
}

function DeleteSecret({ secret, onClose }: { secret: Secret | null; onClose: () => void }) {
  const client = useQueryClient();
  const remove = useMutation({
    mutationFn: (name: string) =>
      call(http.DELETE('/api/v1/secrets/{name}', { params: { path: { name } } })),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: secretKeys.all });
      onClose();
    },
  });
  return (
    <ConfirmDialog
      opened={secret !== null}
      title={`Delete ${secret?.name ?? 'the secret'}?`}
      action="Delete"
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => {
        if (secret) remove.mutate(secret.name);
      }}
      onClose={() => {
        remove.reset();
        onClose();
      }}
    >
      It is taken from the sandboxes that have it. What ran there may still know it: revoke it where
      it came from, too.
    </ConfirmDialog>
  );
}
