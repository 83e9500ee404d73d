import { Button, Card, Group, ScrollArea, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconFileText, IconRefresh } from '@tabler/icons-react';
import { useEffect, useRef } from 'react';

import { sandboxLogQuery } from '../api/sandbox-queries';
import type { Sandbox, SandboxLogLine } from '../api/types';
import { CopyButton } from '../components/copy';
import { EmptyState, ErrorState, LoadingState } from '../components/states';
import classes from './log-tab.module.css';

/** While the log is shown it is read again this often. */
const REFRESH_MS = 3_000;

const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });

const SOURCES: Record<string, string> = {
  host: 'Host',
  guest: 'Inside',
  docker: 'Docker',
  desktop: 'Desktop',
};

/** What the host, the first process inside and Docker said of late. */
export default function LogTab({ sandbox }: { sandbox: Sandbox }) {
  const log = useQuery({
    ...sandboxLogQuery(sandbox.id),
    refetchInterval: ({ state }) => (state.status === 'error' ? false : REFRESH_MS),
  });
  if (log.isPending) return <LoadingState label="Loading the log" />;
  if (log.isError) {
    return (
      <ErrorState
        what="The log could not be loaded"
        error={log.error}
        onRetry={() => void log.refetch()}
      />
    );
  }
  const { lines } = log.data;
  if (lines.length === 0) {
    return (
      <EmptyState icon={IconFileText} title="Nothing was written yet">
        What the host says about this sandbox, and what Docker says in it, appears here.
      </EmptyState>
    );
  }
  return (
    <Card padding={0}>
      <Group justify="flex-end" gap="xs" px="sm" py={6}>
        <CopyButton label="Copy the log" text={lines.map(asText).join('\n')} />
        <Button
          size="compact-sm"
          variant="subtle"
          color="gray"
          leftSection={<IconRefresh size={14} />}
          loading={log.isFetching}
          onClick={() => void log.refetch()}
        >
          Read again
        </Button>
      </Group>
      <Lines lines={lines} />
    </Card>
  );
}

const asText = (line: SandboxLogLine) =>
  `${new Date(line.at_ms).toISOString()} ${line.source} ${line.text}`;

function Lines({ lines }: { lines: SandboxLogLine[] }) {
  const viewport = useRef<HTMLDivElement>(null);
  // Who scrolled up reads there; who is at the end stays at the end.
  const atEnd = useRef(true);
  useEffect(() => {
    if (atEnd.current) viewport.current?.scrollTo({ top: viewport.current.scrollHeight });
  }, [lines]);
  return (
    <ScrollArea.Autosize
      mah="60dvh"
      viewportRef={viewport}
      viewportProps={{ tabIndex: 0, role: 'region', 'aria-label': 'Log of the sandbox' }}
      onScrollPositionChange={() => {
        const view = viewport.current;
        if (view) atEnd.current = view.scrollHeight - view.scrollTop - view.clientHeight < 40;
      }}
    >
      <ol className={classes.lines}>
        {lines.map((line, index) => (
          <li key={`${line.at_ms} ${index}`} className={classes.line}>
            <time dateTime={new Date(line.at_ms).toISOString()} className={classes.time}>
              {TIME.format(line.at_ms)}
            </time>
            <Text span className={classes.source}>
              {SOURCES[line.source] ?? line.source}
            </Text>
            <span className={classes.text}>{line.text}</span>
          </li>
        ))}
      </ol>
    </ScrollArea.Autosize>
  );
}
