import { Anchor, Badge, Breadcrumbs, Button, Group, Tabs, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import {
  IconChartLine,
  IconCamera,
  IconDeviceDesktop,
  IconFileText,
  IconFolder,
  IconGitBranch,
  IconLock,
  IconPlug,
  IconRobot,
  IconShieldLock,
  IconTerminal2,
  type Icon,
} from '@tabler/icons-react';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { Link, useNavigate, useParams } from 'react-router';

import { sandboxChoicesQuery, sandboxQuery } from '../api/sandbox-queries';
import type { Sandbox } from '../api/types';
import { useIsAdmin } from '../auth/gates';
import { loadable, type Loadable } from '../components/loadable';
import { Page, WITHIN_PAGE } from '../components/page';
import { ErrorState, LoadingState } from '../components/states';
import { SandboxBadge } from '../components/status-badge';
import { RelativeTime } from '../components/time';
import { describeEgress } from './egress-rules';
import { SandboxActions } from './sandbox-actions';
import { describeLimits } from './sandbox-form';
import { SandboxNotice, usable } from './sandbox-notice';
import classes from './sandbox-page.module.css';

interface TabProps {
  sandbox: Sandbox;
}

interface TabOf {
  value: string;
  label: string;
  icon: Icon;
  content: Loadable<TabProps>;
  /** Of which sandboxes, where it is not of all. */
  of?: (sandbox: Sandbox) => boolean;
}

const TABS: TabOf[] = [
  {
    value: 'terminal',
    label: 'Terminal',
    icon: IconTerminal2,
    content: loadable(() => import('./terminal/terminal-tab'), 'Loading the terminals'),
  },
  {
    value: 'desktop',
    label: 'Desktop',
    icon: IconDeviceDesktop,
    content: loadable(() => import('../desktop/ui/desktop-tab'), 'Loading the desktop'),
    of: (sandbox) => sandbox.desktop != null,
  },
  {
    value: 'files',
    label: 'Files',
    icon: IconFolder,
    content: loadable(() => import('./files/files-tab'), 'Loading the files'),
  },
  {
    value: 'changes',
    label: 'Changes',
    icon: IconGitBranch,
    content: loadable(() => import('../workspace/changes-tab'), 'Loading the changes'),
  },
  {
    value: 'ports',
    label: 'Ports',
    icon: IconPlug,
    content: loadable(() => import('./ports-tab'), 'Loading the ports'),
  },
  {
    value: 'network',
    label: 'Network',
    icon: IconShieldLock,
    content: loadable(() => import('./network-tab'), 'Loading the network policy'),
  },
  {
    value: 'secrets',
    label: 'Secrets',
    icon: IconLock,
    content: loadable(() => import('../secrets/given-tab'), 'Loading the secrets'),
  },
  {
    value: 'stats',
    label: 'Stats',
    icon: IconChartLine,
    content: loadable(() => import('./stats-tab'), 'Loading the stats'),
  },
  {
    value: 'log',
    label: 'Log',
    icon: IconFileText,
    content: loadable(() => import('./log-tab'), 'Loading the log'),
  },
  {
    value: 'snapshots',
    label: 'Snapshots',
    icon: IconCamera,
    content: loadable(() => import('./snapshots-tab'), 'Loading the snapshots'),
  },
];

/** A sandbox that is being made changes in steps; should a step's event be lost, it is seen soon. */
const CREATING_MS = 2_000;

export default function SandboxPage() {
  const { sandboxId = '', tab = 'terminal' } = useParams();
  useEffect(() => {
    // While the sandbox is asked for. What fails is told where it is shown.
    TABS.find(({ value }) => value === tab)
      ?.content.load()
      .catch(() => undefined);
  }, [tab]);
  const sandbox = useQuery({
    ...sandboxQuery(sandboxId),
    refetchInterval: ({ state }) => (state.data?.state === 'creating' ? CREATING_MS : false),
  });
  const above = (
    <Breadcrumbs mb="sm" fz="sm">
      <Anchor component={Link} to="/sandboxes" size="sm" underline="hover">
        Sandboxes
      </Anchor>
      <Text size="sm" c="dimmed" truncate>
        {sandbox.data?.name ?? 'Sandbox'}
      </Text>
    </Breadcrumbs>
  );
  if (sandbox.data) return <Detail key={sandboxId} sandbox={sandbox.data} above={above} />;
  return (
    <Page title="Sandbox" above={above}>
      {sandbox.isPending ? (
        <LoadingState label="Loading the sandbox" />
      ) : (
        <ErrorState
          what="The sandbox could not be loaded"
          error={sandbox.error}
          onRetry={() => void sandbox.refetch()}
        />
      )}
    </Page>
  );
}

function Detail({ sandbox, above }: TabProps & { above: ReactNode }) {
  const { tab = 'terminal' } = useParams();
  const navigate = useNavigate();
  const tabs = TABS.filter(({ of = () => true }) => of(sandbox));
  const known = tabs.some(({ value }) => value === tab) ? tab : 'terminal';
  // Terminals stay connected while somebody looks at another tab.
  const [seenTerminal, setSeenTerminal] = useState(known === 'terminal');
  if (known === 'terminal' && !seenTerminal) setSeenTerminal(true);
  // Where there is no room for all tabs, the chosen one is seen.
  const strip = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const chosen = strip.current?.querySelector('[aria-selected=true]');
    chosen?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [known]);
  return (
    <Page
      title={sandbox.name}
      above={above}
      description={<Facts sandbox={sandbox} />}
      actions={
        <>
          {usable(sandbox) && (
            <Button
              component={Link}
              to={`/new?sandbox=${sandbox.id}`}
              variant="default"
              leftSection={<IconRobot size={16} />}
            >
              Start an agent
            </Button>
          )}
          <SandboxActions sandbox={sandbox} />
        </>
      }
      wide={known === 'desktop'}
    >
      <SandboxNotice sandbox={sandbox} />
      <Tabs
        value={known}
        onChange={(value) => {
          if (value === null) return;
          void navigate(`/sandboxes/${sandbox.id}/${value}`, { state: WITHIN_PAGE, replace: true });
        }}
      >
        <div className={classes.strip} ref={strip}>
          <Tabs.List className={classes.tabs} aria-label="Parts of the sandbox">
            {tabs.map(({ value, label, icon: IconOf }) => (
              <Tabs.Tab key={value} value={value} leftSection={<IconOf size={15} stroke={1.8} />}>
                {label}
              </Tabs.Tab>
            ))}
          </Tabs.List>
        </div>
        {tabs.map(({ value, content: Content }) => (
          <Tabs.Panel key={value} value={value} pt="lg">
            {(value === known || (value === 'terminal' && seenTerminal)) && (
              <Content sandbox={sandbox} />
            )}
          </Tabs.Panel>
        ))}
      </Tabs>
    </Page>
  );
}

function Facts({ sandbox }: TabProps) {
  const admin = useIsAdmin();
  const choices = useQuery(sandboxChoicesQuery);
  const { host_id: hostId, rootfs, expires_at_ms: expires } = sandbox;
  const host = choices.data?.hosts.find(({ id }) => id === hostId);
  return (
    <>
      <Group gap="xs" mb={6}>
        <SandboxBadge sandbox={sandbox} />
        {sandbox.docker && <Badge color="blue">Docker</Badge>}
        <Badge color="gray">{describeEgress(sandbox.egress)}</Badge>
      </Group>
      {rootfs.kind === 'image' ? rootfs.image : 'The host’s system'} ·{' '}
      {describeLimits(sandbox.limits)}
      {host && hostId != null && (
        <>
          {' · on '}
          {admin ? (
            <Anchor component={Link} to={`/hosts/${hostId}`} size="sm">
              {host.name}
            </Anchor>
          ) : (
            host.name
          )}
        </>
      )}
      {' · used '}
      <RelativeTime atMs={sandbox.used_at_ms} />
      {expires != null && (
        <>
          {' · stops '}
          <RelativeTime atMs={expires} />
        </>
      )}
    </>
  );
}
