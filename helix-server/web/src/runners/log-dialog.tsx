import { Button, Code, Group, Modal, ScrollArea, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconRefresh } from '@tabler/icons-react';
import { useEffect, useRef } from 'react';

import { instanceLogQuery } from '../api/queries';
import type { RunnerInstance } from '../api/types';
import { CopyButton } from '../components/copy';
import { ErrorState, LoadingState } from '../components/states';

/** While the log is open it is read again this often. */
const REFRESH_MS = 3_000;

/** The last lines of an instance's log. */
export function LogDialog(props: {
  runnerId: string;
  instance: RunnerInstance;
  onClose: () => void;
}) {
  const { runnerId, instance, onClose } = props;
  const log = useQuery({
    ...instanceLogQuery(runnerId, instance.id),
    refetchInterval: (query) => (query.state.status === 'error' ? false : REFRESH_MS),
  });
  const viewport = useRef<HTMLDivElement>(null);
  const lines = log.data?.lines;
  useEffect(() => {
    viewport.current?.scrollTo({ top: viewport.current.scrollHeight });
  }, [lines?.length]);

  return (
    <Modal opened onClose={onClose} title={`Log of ${instance.model_name}`} size="xl">
      {log.isPending && <LoadingState label="Loading the log" />}
      {log.isError && (
        <ErrorState
          what="The log could not be loaded"
          error={log.error}
          onRetry={() => void log.refetch()}
        />
      )}
      {lines?.length === 0 && (
        <Text size="sm" c="dimmed">
          The engine has not written anything yet.
        </Text>
      )}
      {lines && lines.length > 0 && (
        <ScrollArea.Autosize
          mah="60dvh"
          viewportRef={viewport}
          viewportProps={{ tabIndex: 0, role: 'region', 'aria-label': 'Log lines' }}
        >
          <Code block fz="xs" style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
            {lines.join('\n')}
          </Code>
        </ScrollArea.Autosize>
      )}
      <Group justify="flex-end" mt="md">
        {lines && <CopyButton text={lines.join('\n')} label="Copy the log" />}
        <Button
          variant="default"
          size="xs"
          leftSection={<IconRefresh size={14} />}
          onClick={() => void log.refetch()}
        >
          Refresh
        </Button>
      </Group>
    </Modal>
  );
}
