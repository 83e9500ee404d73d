import { Badge, Tabs } from '@mantine/core';
import {
  IconDeviceDesktop,
  IconFileDiff,
  IconFolder,
  IconListCheck,
  IconMessage,
  IconTerminal2,
  IconTimeline,
  IconZzz,
  type Icon,
} from '@tabler/icons-react';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { useNavigate, useParams } from 'react-router';

import type { Sandbox, SessionAgent } from '../../api/types';
import { loadable } from '../../components/loadable';
import { WITHIN_PAGE } from '../../components/page';
import { EmptyState } from '../../components/states';
import { useDrives } from '../../sessions/right';
import type { AgentLog } from '../log/view';
import { ChangesTab } from './changes-tab';
import { PlanTab } from './plan-tab';
import classes from './session.module.css';
import { TimelineTab } from './timeline-tab';

const DesktopTab = loadable(() => import('../../desktop/ui/desktop-tab'), 'Loading the desktop');
const TerminalTab = loadable(
  () => import('../../sandboxes/terminal/terminal-tab'),
  'Loading the terminals',
);
const FilesTab = loadable(() => import('../../sandboxes/files/files-tab'), 'Loading the files');

interface Props {
  log: AgentLog;
  of: SessionAgent;
  sandbox: Sandbox | null;
  /** Where there is no room for it beside. */
  conversation?: ReactNode;
}

interface TabOf {
  value: string;
  label: string;
  icon: Icon;
  content: ReactNode;
  count?: number;
}

/** What the agent works on: its desktop, files and so on, and what it did. */
export function WorkTabs({ log, of, sandbox, conversation }: Props) {
  const { sessionId = '', tab } = useParams();
  const navigate = useNavigate();
  const drives = useDrives();
  const tabs = tabsOf({ log, of, sandbox, conversation }, drives);
  const known = tabs.find(({ value }) => value === tab) ?? tabs[0];
  const current = known?.value ?? 'timeline';
  // Terminals stay connected while somebody looks at another tab.
  const [seenTerminal, setSeenTerminal] = useState(false);
  if (current === 'terminal' && !seenTerminal) setSeenTerminal(true);
  const strip = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const chosen = strip.current?.querySelector('[aria-selected=true]');
    chosen?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [current]);
  return (
    <Tabs
      className={classes.tabs ?? ''}
      value={current}
      onChange={(value) => {
        if (value === null) return;
        void navigate(`/s/${sessionId}/${value}`, { state: WITHIN_PAGE, replace: true });
      }}
    >
      <div className={classes.strip} ref={strip}>
        <Tabs.List className={classes.list ?? ''} aria-label="Parts of the session">
          {tabs.map(({ value, label, icon: IconOf, count = 0 }) => (
            <Tabs.Tab
              key={value}
              value={value}
              leftSection={<IconOf size={15} stroke={1.8} aria-hidden />}
              rightSection={
                count > 0 && (
                  <Badge size="xs" color="gray" circle={count < 10}>
                    {count}
                  </Badge>
                )
              }
            >
              {label}
            </Tabs.Tab>
          ))}
        </Tabs.List>
      </div>
      {tabs.map(({ value, content }) => (
        <Tabs.Panel
          key={value}
          value={value}
          className={classes.panel ?? ''}
          data-whole={value === 'conversation' || undefined}
        >
          {(value === current || (value === 'terminal' && seenTerminal)) && content}
        </Tabs.Panel>
      ))}
    </Tabs>
  );
}

function tabsOf({ log, of, sandbox, conversation }: Props, drives: boolean): TabOf[] {
  const inside = (content: (within: Sandbox) => ReactNode) =>
    sandbox && sandbox.state !== 'deleted' ? content(sandbox) : <NoSandbox />;
  const open = log.plan.filter(({ status }) => status !== 'completed').length;
  const tabs: (TabOf | null)[] = [
    conversation
      ? {
          value: 'conversation',
          label: 'Conversation',
          icon: IconMessage,
          content: conversation,
          count: log.permissions.length,
        }
      : null,
    sandbox?.desktop == null
      ? null
      : {
          value: 'desktop',
          label: 'Desktop',
          icon: IconDeviceDesktop,
          content: inside((within) => <DesktopTab sandbox={within} looksOn={!drives} />),
        },
    {
      value: 'changes',
      label: 'Changes',
      icon: IconFileDiff,
      content: <ChangesTab log={log} of={of} sandbox={sandbox} />,
    },
    {
      value: 'files',
      label: 'Files',
      icon: IconFolder,
      content: inside((within) => (
        <FilesTab sandbox={within} home={of.directory} readOnly={!drives} />
      )),
    },
    drives
      ? {
          value: 'terminal',
          label: 'Terminal',
          icon: IconTerminal2,
          content: inside((within) => <TerminalTab sandbox={within} />),
        }
      : null,
    {
      value: 'plan',
      label: 'Plan',
      icon: IconListCheck,
      content: <PlanTab log={log} />,
      count: open,
    },
    {
      value: 'timeline',
      label: 'Timeline',
      icon: IconTimeline,
      content: <TimelineTab log={log} />,
    },
  ];
  return tabs.filter((tab) => tab !== null);
}

function NoSandbox() {
  return (
    <EmptyState icon={IconZzz} title="The sandbox is gone">
      It was deleted, and its files with it.
    </EmptyState>
  );
}
