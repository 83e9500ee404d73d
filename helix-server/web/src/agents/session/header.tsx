import { ActionIcon, Menu } from '@mantine/core';
import {
  IconBox,
  IconDots,
  IconPencil,
  IconPlayerStop,
  IconRefresh,
  IconRobot,
  IconTrash,
} from '@tabler/icons-react';
import { useState } from 'react';
import { Link } from 'react-router';

import type { Session, SessionAgent } from '../../api/types';
import { DeleteSession, RenameSession } from '../../shell/session-dialogs';
import type { AgentLog } from '../log/view';
import type { Agent } from '../use-agent';
import classes from './session.module.css';

interface Props {
  session: Session;
  of: SessionAgent;
  title: string;
  agent: Agent;
  log: AgentLog;
}

/** What the session is, and what can be done with all of it. */
export function Header({ session, of, title, agent, log }: Props) {
  const [dialog, setDialog] = useState<'rename' | 'delete' | null>(null);
  const close = () => {
    setDialog(null);
  };
  const running = log.phase?.phase === 'ready' || log.phase?.phase === 'starting';
  return (
    <header className={classes.header}>
      <div className={classes.heading}>
        <h1 className={classes.title} title={title}>
          {title}
        </h1>
        <div className={classes.facts}>
          <IconRobot size={14} style={{ flex: 'none' }} aria-hidden />
          <span>
            {of.title} · {of.directory}
          </span>
        </div>
      </div>
      <Menu position="bottom-end" width={210}>
        <Menu.Target>
          <ActionIcon size={34} aria-label="More actions">
            <IconDots size={18} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item
            leftSection={<IconRefresh size={15} />}
            disabled={log.phase === null}
            onClick={() => void agent.restart()}
          >
            Restart the agent
          </Menu.Item>
          <Menu.Item
            leftSection={<IconPlayerStop size={15} />}
            disabled={!running}
            onClick={() => void agent.stop()}
          >
            Stop the agent
          </Menu.Item>
          <Menu.Divider />
          <Menu.Item
            component={Link}
            to={`/sandboxes/${of.sandbox_id}`}
            leftSection={<IconBox size={15} />}
          >
            Open the sandbox
          </Menu.Item>
          <Menu.Item
            leftSection={<IconPencil size={15} />}
            onClick={() => {
              setDialog('rename');
            }}
          >
            Rename
          </Menu.Item>
          <Menu.Item
            color="red"
            leftSection={<IconTrash size={15} />}
            onClick={() => {
              setDialog('delete');
            }}
          >
            Delete
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      {dialog === 'rename' && <RenameSession session={session} onClose={close} />}
      {dialog === 'delete' && <DeleteSession session={session} onClose={close} />}
    </header>
  );
}
