import { ActionIcon, Box, Card, Table, Text, Title, Tooltip } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { IconTrash } from '@tabler/icons-react';
import { useState } from 'react';

import { call, http } from '../api/client';
import { joinTokensQuery, keys } from '../api/queries';
import type { JoinToken, MachineRole } from '../api/types';
import { ConfirmDialog } from '../components/confirm';
import { StackedTable } from '../components/stacked-table';
import { ErrorState } from '../components/states';
import { RelativeTime } from '../components/time';
import { MACHINES } from './machines';

/** The tokens with which machines of a kind may still join. */
export function JoinTokens({ kind }: { kind: MachineRole }) {
  const tokens = useQuery(joinTokensQuery);
  const [revoking, setRevoking] = useState<JoinToken | null>(null);
  if (tokens.isError) {
    return (
      <Box mt="md">
        <ErrorState
          what="The join tokens could not be loaded"
          error={tokens.error}
          onRetry={() => void tokens.refetch()}
        />
      </Box>
    );
  }
  const shown = tokens.data?.filter((token) => (token.role ?? 'runner') === kind) ?? [];
  if (shown.length === 0) return null;
  return (
    <section aria-label="Join tokens" style={{ marginTop: 36 }}>
      <Title order={2} mb="sm">
        Join tokens
      </Title>
      <Card padding={0}>
        <StackedTable label="Join tokens" columns={['For', 'Used', 'Ends']} actions>
          {shown.map((token) => (
            <Table.Tr key={token.id}>
              <Table.Td fw={550}>{token.name}</Table.Td>
              <Table.Td data-label="Used">
                {token.uses} of {token.max_uses}
              </Table.Td>
              <Table.Td data-label="Ends">
                <RelativeTime atMs={token.expires_at_ms} />
              </Table.Td>
              <Table.Td ta="right">
                <Tooltip label="Revoke">
                  <ActionIcon
                    aria-label={`Revoke the join token ${token.name}`}
                    onClick={() => {
                      setRevoking(token);
                    }}
                  >
                    <IconTrash size={16} />
                  </ActionIcon>
                </Tooltip>
              </Table.Td>
            </Table.Tr>
          ))}
        </StackedTable>
      </Card>
      {revoking && (
        <Revoke
          token={revoking}
          onClose={() => {
            setRevoking(null);
          }}
        />
      )}
    </section>
  );
}

function Revoke({ token, onClose }: { token: JoinToken; onClose: () => void }) {
  const client = useQueryClient();
  const revoke = useMutation({
    mutationFn: () =>
      call(http.DELETE('/api/v1/join-tokens/{id}', { params: { path: { id: token.id } } })),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.joinTokens });
      onClose();
    },
  });
  return (
    <ConfirmDialog
      opened
      title="Revoke this join token?"
      action="Revoke"
      busy={revoke.isPending}
      error={revoke.error}
      onConfirm={() => {
        revoke.mutate();
      }}
      onClose={onClose}
    >
      <Text size="sm">
        No further machine can join with “{token.name}”. {MACHINES[token.role ?? 'runner'].plural}{' '}
        that already joined stay.
      </Text>
    </ConfirmDialog>
  );
}
