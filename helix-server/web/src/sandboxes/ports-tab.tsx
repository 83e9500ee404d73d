import { Anchor, Button, Card, Group, NumberInput, Table, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconExternalLink, IconPlugOff } from '@tabler/icons-react';
import { useState } from 'react';

import { insideUrl } from '../api/inside';
import { portsQuery } from '../api/sandbox-queries';
import type { Sandbox } from '../api/types';
import { StackedTable } from '../components/stacked-table';
import { EmptyState, ErrorState, LoadingState } from '../components/states';
import { byPort } from './by-port';
import { NotRunning, usable } from './sandbox-notice';

/** What listens changes without an event that would say so. */
const REFRESH_MS = 3_000;

const portUrl = (sandbox: Sandbox, port: number) =>
  sandbox.ports_url?.replace('{port}', String(port)) ?? insideUrl(sandbox.id, `ports/${port}/`);

/** What listens in a sandbox, with a way there. */
export default function PortsTab({ sandbox }: { sandbox: Sandbox }) {
  const ready = usable(sandbox);
  const ports = useQuery({
    ...portsQuery(sandbox.id),
    enabled: ready,
    refetchInterval: REFRESH_MS,
  });
  if (!ready) return <NotRunning sandbox={sandbox} what="Its ports can be reached" />;
  if (ports.isPending) return <LoadingState label="Loading the ports" />;
  if (ports.isError) {
    return (
      <ErrorState
        what="The ports could not be loaded"
        error={ports.error}
        onRetry={() => void ports.refetch()}
      />
    );
  }
  return (
    <>
      <Text size="sm" c="dimmed" mb="md">
        What listens inside, over HTTP and WebSocket. Whoever opens such a link must be signed in
        and allowed to use this sandbox.{' '}
        {sandbox.ports_url == null
          ? 'Pages shown this way stand alone: they keep no cookies and load nothing more. An administrator can give ports a domain of their own.'
          : 'Each port is a site of its own, with its own cookies.'}
      </Text>
      <Card padding={0}>
        {ports.data.length === 0 ? (
          <EmptyState icon={IconPlugOff} title="Nothing listens">
            Start a server in the terminal, such as <code>python3 -m http.server 8000</code>. It
            appears here.
          </EmptyState>
        ) : (
          <StackedTable label="Ports" columns={['Port', 'Address', 'Program']} actions>
            {byPort(ports.data).map(({ port, addresses, programs }) => (
              <Table.Tr key={port}>
                <Table.Td fw={550}>{port}</Table.Td>
                <Table.Td data-label="Address">{addresses.join(', ')}</Table.Td>
                <Table.Td data-label="Program">{programs.join(', ') || '–'}</Table.Td>
                <Table.Td ta="right">
                  <OpenLink url={portUrl(sandbox, port)} port={port} />
                </Table.Td>
              </Table.Tr>
            ))}
          </StackedTable>
        )}
      </Card>
      <OtherPort sandbox={sandbox} />
    </>
  );
}

function OpenLink({ url, port }: { url: string; port: number }) {
  return (
    <Anchor
      href={url}
      target="_blank"
      rel="noopener noreferrer"
      size="sm"
      underline="hover"
      aria-label={`Open port ${port} in a new tab`}
    >
      Open <IconExternalLink size={14} style={{ verticalAlign: -2 }} aria-hidden />
    </Anchor>
  );
}

/** A way to ports that are not listed, such as those of containers. */
function OtherPort({ sandbox }: { sandbox: Sandbox }) {
  const [port, setPort] = useState<number | ''>('');
  return (
    <Group mt="lg" gap="xs" align="flex-end">
      <NumberInput
        label="Another port"
        w={130}
        min={1}
        max={65_535}
        allowDecimal={false}
        hideControls
        clampBehavior="strict"
        value={port}
        onChange={(value) => {
          setPort(typeof value === 'number' ? value : '');
        }}
      />
      {port === '' ? (
        <Button variant="default" disabled>
          Open
        </Button>
      ) : (
        <Button
          variant="default"
          component="a"
          href={portUrl(sandbox, port)}
          target="_blank"
          rel="noopener noreferrer"
        >
          Open
        </Button>
      )}
    </Group>
  );
}
