import { ActionIcon, Badge, Button, Card, Code, Group, Table, Text, Tooltip } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { IconKey, IconPlus, IconTrash } from '@tabler/icons-react';
import { useState } from 'react';

import { call, http } from '../api/client';
import { apiKeysQuery, keys } from '../api/queries';
import type { ApiKey } from '../api/types';
import { ConfirmDialog } from '../components/confirm';
import { Page } from '../components/page';
import { StackedTable } from '../components/stacked-table';
import { EmptyState, ErrorState, LoadingState } from '../components/states';
import { RelativeTime } from '../components/time';
import { formatDate } from '../format';
import { CreateKey } from './create-key';
import { SCOPES } from './scopes';

export default function ApiKeysPage() {
  const apiKeys = useQuery(apiKeysQuery);
  const [creating, { open, close }] = useDisclosure(false);
  const create = (
    <Button leftSection={<IconPlus size={16} />} onClick={open}>
      Create a key
    </Button>
  );
  return (
    <Page
      title="API keys"
      description={
        <>
          With a key, programs use your models through the OpenAI-compatible API at{' '}
          <Code>{`${window.location.origin}/v1`}</Code>.
        </>
      }
      actions={create}
    >
      {apiKeys.isPending && <LoadingState label="Loading the keys" />}
      {apiKeys.isError && (
        <ErrorState
          what="The keys could not be loaded"
          error={apiKeys.error}
          onRetry={() => void apiKeys.refetch()}
        />
      )}
      {apiKeys.data && (
        <Card padding={0}>
          {apiKeys.data.length === 0 ? (
            <EmptyState icon={IconKey} title="No key yet" action={create}>
              Make one for each program, so that you can revoke them one by one.
            </EmptyState>
          ) : (
            <KeyTable apiKeys={apiKeys.data} />
          )}
        </Card>
      )}
      <CreateKey opened={creating} onClose={close} />
    </Page>
  );
}

function KeyTable({ apiKeys }: { apiKeys: ApiKey[] }) {
  const [revoking, setRevoking] = useState<ApiKey | null>(null);
  return (
    <>
      <StackedTable
        label="API keys"
        columns={['Name', 'Key', 'May', 'Created', 'Last used', 'Ends']}
        actions
      >
        {apiKeys.map((key) => (
          <Table.Tr key={key.id}>
            <Table.Td fw={550}>{key.name}</Table.Td>
            <Table.Td data-label="Key">
              <Code>{key.hint}…</Code>
            </Table.Td>
            <Table.Td data-label="May">
              <Group gap={4}>
                {key.scopes.map((scope) => (
                  <Badge key={scope} color={scope === 'admin' ? 'orange' : 'brand'}>
                    {SCOPES[scope].label}
                  </Badge>
                ))}
              </Group>
            </Table.Td>
            <Table.Td data-label="Created">{formatDate(key.created_at_ms)}</Table.Td>
            <Table.Td data-label="Last used">
              {key.last_used_at_ms == null ? (
                <Text size="sm" c="dimmed">
                  never
                </Text>
              ) : (
                <RelativeTime atMs={key.last_used_at_ms} />
              )}
            </Table.Td>
            <Table.Td data-label="Ends">
              <Ends apiKey={key} />
            </Table.Td>
            <Table.Td ta="right">
              <Tooltip label="Revoke">
                <ActionIcon
                  aria-label={`Revoke the key ${key.name}`}
                  onClick={() => {
                    setRevoking(key);
                  }}
                >
                  <IconTrash size={16} />
                </ActionIcon>
              </Tooltip>
            </Table.Td>
          </Table.Tr>
        ))}
      </StackedTable>
      {revoking && (
        <Revoke
          apiKey={revoking}
          onClose={() => {
            setRevoking(null);
          }}
        />
      )}
    </>
  );
}

function Ends({ apiKey }: { apiKey: ApiKey }) {
  if (apiKey.expires_at_ms == null) {
    return (
      <Text size="sm" c="dimmed">
        never
      </Text>
    );
  }
  return <RelativeTime atMs={apiKey.expires_at_ms} />;
}

function Revoke({ apiKey, onClose }: { apiKey: ApiKey; onClose: () => void }) {
  const client = useQueryClient();
  const revoke = useMutation({
    mutationFn: () =>
      call(http.DELETE('/api/v1/api-keys/{id}', { params: { path: { id: apiKey.id } } })),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.apiKeys });
      onClose();
    },
  });
  return (
    <ConfirmDialog
      opened
      title={`Revoke ${apiKey.name}?`}
      action="Revoke"
      busy={revoke.isPending}
      error={revoke.error}
      onConfirm={() => {
        revoke.mutate();
      }}
      onClose={onClose}
    >
      Programs that use this key are refused from now on. This cannot be undone.
    </ConfirmDialog>
  );
}
