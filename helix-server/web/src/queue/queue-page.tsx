import { ActionIcon, Anchor, Badge, Card, Table, Text, Title, Tooltip } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { IconMoodHappy, IconX } from '@tabler/icons-react';
import { Link } from 'react-router';

import { call, http } from '../api/client';
import { messageOf } from '../api/failure';
import { keys, queueQuery, runnersQuery } from '../api/queries';
import type { Queue, QueuedRequest, RunningRequest } from '../api/types';
import { useUser } from '../auth/gates';
import { Page } from '../components/page';
import { StackedTable } from '../components/stacked-table';
import { EmptyState, ErrorState, LoadingState } from '../components/states';
import { useNow } from '../components/time';
import { formatDuration } from '../format';

export default function QueuePage() {
  const queue = useQuery(queueQuery);
  return (
    <Page
      title="Queue"
      description="Requests wait here until a model has room for them. Chats go first, then who waited longest."
    >
      {queue.isPending && <LoadingState label="Loading the queue" />}
      {queue.isError && (
        <ErrorState
          what="The queue could not be loaded"
          error={queue.error}
          onRetry={() => void queue.refetch()}
        />
      )}
      {queue.data && <Lists queue={queue.data} />}
    </Page>
  );
}

function Lists({ queue }: { queue: Queue }) {
  return (
    <>
      <section aria-labelledby="waiting">
        <Title order={2} id="waiting" mb="sm">
          Waiting{' '}
          <Text span c="dimmed" fz="sm" fw={400}>
            {queue.waiting.length} of {queue.capacity.toLocaleString()} places
          </Text>
        </Title>
        <Card padding={0}>
          {queue.waiting.length === 0 ? (
            <EmptyState icon={IconMoodHappy} title="Nobody waits">
              A request that cannot be served at once appears here, with the reason.
            </EmptyState>
          ) : (
            <WaitingTable requests={queue.waiting} />
          )}
        </Card>
      </section>
      <section aria-labelledby="running" style={{ marginTop: 36 }}>
        <Title order={2} id="running" mb="sm">
          Being answered
        </Title>
        <Card padding={0}>
          {queue.running.length === 0 ? (
            <Text size="sm" c="dimmed" p="lg">
              No request is being answered now.
            </Text>
          ) : (
            <RunningTable requests={queue.running} />
          )}
        </Card>
      </section>
    </>
  );
}

function WaitingTable({ requests }: { requests: QueuedRequest[] }) {
  const now = useNow();
  return (
    <StackedTable
      label="Waiting requests"
      columns={['Model', 'Why it waits', 'Waiting', 'Given up in']}
      actions
    >
      {requests.map((request) => (
        <Table.Tr key={request.id}>
          <Table.Td>
            <Text size="sm" fw={550}>
              {request.model}
            </Text>
            <Whose request={request} />
          </Table.Td>
          <Table.Td maw={340} data-label="Why">
            <Text size="sm">{request.reason}</Text>
          </Table.Td>
          <Table.Td data-label="Waiting">
            <Text size="sm">{formatDuration(now - request.queued_at_ms)}</Text>
          </Table.Td>
          <Table.Td data-label="Given up in">
            <Text size="sm" c="dimmed">
              {formatDuration(request.deadline_at_ms - now)}
            </Text>
          </Table.Td>
          <Table.Td ta="right">
            <CancelButton request={request} />
          </Table.Td>
        </Table.Tr>
      ))}
    </StackedTable>
  );
}

function Whose({ request }: { request: QueuedRequest }) {
  const me = useUser();
  const whose = request.user_id == null ? 'system' : request.user_id === me.id ? 'you' : 'a user';
  return (
    <Text size="xs" c="dimmed" component="div" title={request.user_id ?? undefined}>
      {whose}
      {request.priority !== 'normal' && (
        <Badge size="xs" ml={6} color={request.priority === 'high' ? 'brand' : 'gray'}>
          {request.priority} priority
        </Badge>
      )}
    </Text>
  );
}

function CancelButton({ request }: { request: QueuedRequest }) {
  const client = useQueryClient();
  const cancel = useMutation({
    mutationFn: () =>
      call(
        http.DELETE('/api/v1/queue/{request_id}', {
          params: { path: { request_id: request.id } },
        }),
      ),
    onSettled: () => client.invalidateQueries({ queryKey: keys.queue }),
    onError: (error) => {
      notifications.show({ color: 'red', title: 'Not cancelled', message: messageOf(error) });
    },
  });
  return (
    <Tooltip label="Cancel the request">
      <ActionIcon
        aria-label={`Cancel the request for ${request.model}`}
        loading={cancel.isPending}
        onClick={() => {
          cancel.mutate();
        }}
      >
        <IconX size={16} />
      </ActionIcon>
    </Tooltip>
  );
}

function RunningTable({ requests }: { requests: RunningRequest[] }) {
  const now = useNow();
  const runners = useQuery(runnersQuery);
  const nameOf = (id: string) => runners.data?.find((runner) => runner.id === id)?.name ?? id;
  return (
    <StackedTable
      label="Requests being answered"
      columns={['Model', 'Runner', 'Waited', 'Running']}
    >
      {requests.map((request) => (
        <Table.Tr key={request.id}>
          <Table.Td fw={550}>{request.model}</Table.Td>
          <Table.Td data-label="Runner">
            <Anchor component={Link} to={`/runners/${request.runner_id}`} size="sm">
              {nameOf(request.runner_id)}
            </Anchor>
          </Table.Td>
          <Table.Td data-label="Waited">
            {formatDuration(request.started_at_ms - request.queued_at_ms)}
          </Table.Td>
          <Table.Td data-label="Running">{formatDuration(now - request.started_at_ms)}</Table.Td>
        </Table.Tr>
      ))}
    </StackedTable>
  );
}
