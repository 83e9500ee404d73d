import { Alert, Button, Center, Splitter, Stack, Text } from '@mantine/core';
import { useHotkeys, useLocalStorage, useMediaQuery, type SplitterPaneSize } from '@mantine/hooks';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { IconMessageBolt } from '@tabler/icons-react';

import { ApiFailure } from '../../api/failure';
import { keys } from '../../api/queries';
import { sandboxQuery } from '../../api/sandbox-queries';
import type { Sandbox, Session, SessionAgent } from '../../api/types';
import { EmptyState, LoadingState } from '../../components/states';
import { useDrives } from '../../sessions/right';
import { EMPTY_LOG, type AgentLog } from '../log/view';
import { useAgent, type Agent } from '../use-agent';
import { useAgentLog } from '../use-agent-log';
import { Composer } from './composer';
import { Conversation } from './conversation';
import { Header } from './header';
import { Permissions } from './permissions';
import { Queue } from './queue';
import classes from './session.module.css';
import { StatusLine } from './status-line';
import { TerminalsContext } from './terminals';
import { WorkTabs } from './work-tabs';

/** Where there is no room for both beside the menu, the conversation is one of the tabs. */
const NARROW = '(max-width: 70em)';
/** A sandbox that is being made changes in steps; should a step's event be lost, it is seen soon. */
const CREATING_MS = 2_000;

interface Props {
  session: Session;
  agent: SessionAgent;
}

/** An agent at work: the conversation, and beside it what it works on. */
export default function AgentPage({ session, agent: of }: Props) {
  const { log, loaded, broken } = useAgentLog(session);
  const agent = useAgent(session.id);
  const sandbox = useQuery({
    ...sandboxQuery(of.sandbox_id),
    refetchInterval: ({ state }) => (state.data?.state === 'creating' ? CREATING_MS : false),
  });
  const gone = sandbox.error instanceof ApiFailure && sandbox.error.status === 404;
  useStopKey(log, agent);
  const title = session.title === '' ? 'New session' : session.title;
  return (
    <div className={classes.page}>
      <title>{`${title} · Helix`}</title>
      <Header session={session} of={of} title={title} agent={agent} log={log} />
      {broken ? (
        <Broken id={session.id} />
      ) : !loaded || (sandbox.isPending && !gone) ? (
        <LoadingState label="Loading the session" />
      ) : (
        <TerminalsContext value={log.terminals}>
          <Body log={log} agent={agent} of={of} sandbox={gone ? null : (sandbox.data ?? null)} />
        </TerminalsContext>
      )}
    </div>
  );
}

interface BodyProps {
  log: AgentLog;
  agent: Agent;
  of: SessionAgent;
  sandbox: Sandbox | null;
}

function Body({ log, agent, of, sandbox }: BodyProps) {
  const narrow = useMediaQuery(NARROW, false, { getInitialValueInEffect: false });
  const [sizes, setSizes] = useLocalStorage<SplitterPaneSize[]>({
    key: 'helix-agent-split',
    defaultValue: [46, 54],
    getInitialValueInEffect: false,
  });
  const talk = <Talk log={log} agent={agent} of={of} sandbox={sandbox} />;
  return (
    <div className={classes.body}>
      {narrow ? (
        <WorkTabs log={log} of={of} sandbox={sandbox} conversation={talk} />
      ) : (
        <Splitter
          className={classes.split ?? ''}
          sizes={sizes}
          onSizeChange={setSizes}
          lineSize={1}
          handleColor="var(--hx-border)"
        >
          <Splitter.Pane defaultSize={46} min={28}>
            <div className={classes.pane}>{talk}</div>
          </Splitter.Pane>
          <Splitter.Pane defaultSize={54} min={25}>
            <div className={classes.pane}>
              <WorkTabs log={log} of={of} sandbox={sandbox} />
            </div>
          </Splitter.Pane>
        </Splitter>
      )}
    </div>
  );
}

function Talk({ log, agent, of, sandbox }: BodyProps) {
  const drives = useDrives();
  const over = sandbox === null || sandbox.state === 'deleted';
  const below = (
    <div className={classes.dock}>
      <StatusLine log={log} sandbox={sandbox} agent={agent} />
      <Permissions log={log} agent={agent} />
      <Queue log={log} agent={agent} />
      {!drives ? (
        <Alert color="gray" p="sm">
          <Text size="sm">You see this session as it goes. Who drives it asks the agent.</Text>
        </Alert>
      ) : over ? (
        <Alert color="gray" title="The sandbox is gone">
          <Text size="sm">What was said stays here to be read. Nothing more can be asked.</Text>
        </Alert>
      ) : (
        <Composer log={log} agent={agent} name={of.title} disabled={false} />
      )}
    </div>
  );
  if (log.items.length === 0) {
    return (
      <div className={classes.conversation}>
        <div className={classes.viewport}>
          <EmptyState icon={IconMessageBolt} title={`What should ${of.title} do?`}>
            It works in its own sandbox, in {of.directory}.{' '}
            {drives
              ? 'You can watch, interrupt it, or leave and come back.'
              : 'What it is asked, and what it does, is seen here.'}
          </EmptyState>
        </div>
        {below}
      </div>
    );
  }
  return <Conversation log={log} below={below} />;
}

function Broken({ id }: { id: string }) {
  const client = useQueryClient();
  return (
    <Center p="xl">
      <Stack maw={460}>
        <Alert color="red" title="The session cannot be followed" role="alert">
          <Text size="sm" mb="sm">
            What the server says of it does not fit together.
          </Text>
          <Button
            size="xs"
            variant="default"
            onClick={() => {
              client.setQueryData(keys.agentLog(id), EMPTY_LOG);
              window.location.reload();
            }}
          >
            Load it again
          </Button>
        </Alert>
      </Stack>
    </Center>
  );
}

/** Escape stops the turn in flight, wherever the focus is but in a program. */
function useStopKey(log: AgentLog, agent: Agent): void {
  const drives = useDrives();
  const busy = drives && log.turn !== null;
  useHotkeys(
    [
      [
        'Escape',
        (event) => {
          const { target } = event;
          const inside =
            target instanceof Element &&
            target.closest('[role=dialog],[role=menu],[role=tabpanel]');
          if (inside || event.defaultPrevented || !busy) return;
          void agent.interrupt();
        },
        { preventDefault: false },
      ],
    ],
    [],
  );
}
