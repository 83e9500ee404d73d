import { ActionIcon, Badge, Button, Menu, Tooltip } from '@mantine/core';
import {
  IconBox,
  IconDots,
  IconPlayerStop,
  IconRefresh,
  IconRobot,
  IconSwitch3,
  IconUserShare,
  IconUsers,
} from '@tabler/icons-react';
import { useState } from 'react';
import { Link } from 'react-router';

import type { Session, SessionAgent } from '../../api/types';
import { useDrives, useRight } from '../../sessions/right';
import { useSessionMenu } from '../../sessions/use-session-menu';
import type { AgentLog } from '../log/view';
import type { Agent } from '../use-agent';
import { ChooseAgent } from './choose-agent';
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
  const menu = useSessionMenu(session);
  const own = useRight() === 'own';
  const drives = useDrives();
  const [choosing, setChoosing] = useState(false);
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
      {session.shared && (
        <Tooltip label={`${session.shared.owner} shares it with you`}>
          <Badge
            color="gray"
            size="lg"
            leftSection={<IconUsers size={13} aria-hidden />}
            className={classes.sharedBy ?? ''}
          >
            {drives ? 'You can drive' : 'You can look'} · {session.shared.owner}
          </Badge>
        </Tooltip>
      )}
      {own && (
        <Button
          size="xs"
          variant="default"
          leftSection={<IconUserShare size={15} />}
          onClick={() => {
            menu.open('share');
          }}
        >
          Share
        </Button>
      )}
      <Menu position="bottom-end" width={210}>
        <Menu.Target>
          <ActionIcon size={34} aria-label="More actions">
            <IconDots size={18} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item
            leftSection={<IconRefresh size={15} />}
            disabled={!drives || log.phase === null}
            onClick={() => void agent.restart()}
          >
            Restart the agent
          </Menu.Item>
          <Menu.Item
            leftSection={<IconPlayerStop size={15} />}
            disabled={!drives || !running}
            onClick={() => void agent.stop()}
          >
            Stop the agent
          </Menu.Item>
          {own && (
            <Menu.Item
              leftSection={<IconSwitch3 size={15} />}
              disabled={log.turn !== null}
              onClick={() => {
                setChoosing(true);
              }}
            >
              Change agent or model
            </Menu.Item>
          )}
          <Menu.Divider />
          {own && (
            <Menu.Item
              component={Link}
              to={`/sandboxes/${of.sandbox_id}`}
              leftSection={<IconBox size={15} />}
            >
              Open the sandbox
            </Menu.Item>
          )}
          {menu.items}
        </Menu.Dropdown>
      </Menu>
      {menu.dialog}
      {choosing && (
        <ChooseAgent
          session={session}
          of={of}
          onClose={() => {
            setChoosing(false);
          }}
        />
      )}
    </header>
  );
}
