import { Alert, Button, Card, Code, Group, Progress, Text, Title } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { IconFileText, IconPlayerStop } from '@tabler/icons-react';
import { useState } from 'react';

import { call, http } from '../api/client';
import { sentence } from '../api/failure';
import { keys } from '../api/queries';
import type { Runner, RunnerInstance } from '../api/types';
import { ConfirmDialog } from '../components/confirm';
import { ENGINE_NAMES } from '../components/engine';
import { InstanceBadge } from '../components/status-badge';
import { RelativeTime, useNow } from '../components/time';
import { count, formatBytes, formatDuration } from '../format';
import { LogDialog } from './log-dialog';

const LOG_LINES_SHOWN = 12;

interface Props {
  runner: Runner;
  instance: RunnerInstance;
}

/** One running, starting or ended model. */
export function InstanceCard({ runner, instance }: Props) {
  const [dialog, setDialog] = useState<'log' | 'stop' | null>(null);
  const ended = instance.state === 'stopped' || instance.state === 'failed';
  const close = () => {
    setDialog(null);
  };
  return (
    <Card component="article" aria-label={`Instance of ${instance.model_name}`}>
      <Group justify="space-between" align="flex-start">
        <div>
          <Group gap="xs">
            <Title order={3}>{instance.model_name}</Title>
            <InstanceBadge state={instance.state} />
          </Group>
          <Text size="xs" c="dimmed" mt={4}>
            <Facts instance={instance} />
          </Text>
        </div>
        <Group gap="xs">
          <Button
            size="xs"
            variant="default"
            leftSection={<IconFileText size={14} />}
            onClick={() => {
              setDialog('log');
            }}
          >
            Log
          </Button>
          {!ended && (
            <Button
              size="xs"
              variant="default"
              leftSection={<IconPlayerStop size={14} />}
              onClick={() => {
                setDialog('stop');
              }}
            >
              Stop
            </Button>
          )}
        </Group>
      </Group>
      <StartProgress instance={instance} />
      <WhyFailed instance={instance} />
      {dialog === 'log' && <LogDialog runnerId={runner.id} instance={instance} onClose={close} />}
      {dialog === 'stop' && <StopDialog runner={runner} instance={instance} onClose={close} />}
    </Card>
  );
}

function Facts({ instance }: { instance: RunnerInstance }) {
  const sum = (amounts: { bytes: number }[]) =>
    amounts.reduce((total, each) => total + each.bytes, 0);
  const peak = sum(instance.peak ?? []);
  const reserved = sum(instance.reserved);
  const facts = [
    ENGINE_NAMES[instance.engine],
    reserved > 0 ? `${formatBytes(reserved)} reserved` : null,
    peak > 0 ? `${formatBytes(peak)} at most in use` : null,
    instance.state === 'ready' ? `${count(instance.in_flight, 'request')} in flight` : null,
    instance.restarts > 0 ? `restarted ${count(instance.restarts, 'time')}` : null,
  ].filter((fact) => fact !== null);
  return (
    <>
      {facts.join(' · ')} · started <RelativeTime atMs={instance.started_at_ms} />
    </>
  );
}

function StartProgress({ instance }: { instance: RunnerInstance }) {
  const now = useNow();
  if (instance.state !== 'downloading' && instance.state !== 'starting') return null;
  const { step, done_bytes: done, total_bytes: total } = instance.progress ?? {};
  const known = done != null && total != null && total > 0;
  const percent = known ? Math.round((done / total) * 100) : 100;
  const what = step ?? (instance.state === 'downloading' ? 'downloading' : 'loading the model');
  return (
    <div style={{ marginTop: 14 }}>
      <Group justify="space-between" mb={6}>
        <Text size="sm">{sentence(what)}</Text>
        <Text size="xs" c="dimmed">
          {known && `${formatBytes(done)} of ${formatBytes(total)} · ${percent} % · `}
          {formatDuration(now - instance.started_at_ms)}
        </Text>
      </Group>
      <Progress value={percent} animated={!known} striped={!known} aria-label={what} />
    </div>
  );
}

function WhyFailed({ instance }: { instance: RunnerInstance }) {
  const failure = instance.failure;
  if (failure == null) return null;
  const log = failure.log ?? [];
  return (
    <Alert color="red" mt="md" title={sentence(failure.message)}>
      {log.length > 0 && (
        <>
          <Text size="xs" mb={4}>
            The engine’s last words:
          </Text>
          {}
          <Code block fz="xs" tabIndex={0} role="region" aria-label="Last lines of the log">
            {log.slice(-LOG_LINES_SHOWN).join('\n')}
          </Code>
        </>
      )}
    </Alert>
  );
}

function StopDialog({ runner, instance, onClose }: Props & { onClose: () => void }) {
  const client = useQueryClient();
  const stop = useMutation({
    mutationFn: () =>
      call(
        http.DELETE('/api/v1/runners/{id}/instances/{iid}', {
          params: { path: { id: runner.id, iid: instance.id } },
        }),
      ),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.runners });
      onClose();
    },
  });
  return (
    <ConfirmDialog
      opened
      title={`Stop ${instance.model_name}?`}
      action="Stop"
      busy={stop.isPending}
      error={stop.error}
      onConfirm={() => {
        stop.mutate();
      }}
      onClose={onClose}
    >
      It finishes the answers it is giving, then frees its memory. It is started again when somebody
      asks for the model.
    </ConfirmDialog>
  );
}
