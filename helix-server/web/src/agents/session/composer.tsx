import {
  ActionIcon,
  Combobox,
  FileButton,
  Kbd,
  Text,
  Textarea,
  Tooltip,
  useCombobox,
} from '@mantine/core';
import {
  IconArrowUp,
  IconPhotoPlus,
  IconPlayerStopFilled,
  IconSteeringWheel,
  IconX,
} from '@tabler/icons-react';
import { useRef, useState } from 'react';
import { useLocation } from 'react-router';

import type { AgentCommand, AgentContent } from '../../api/types';
import composer from '../../chat/composer.module.css';
import { DropArea } from '../../sandboxes/files/drop-area';
import { COMPOSER_ID } from '../../shell/shortcuts';
import type { AgentLog } from '../log/view';
import type { Agent } from '../use-agent';
import { randomKey } from '../../api/random-key';
import { ModePicker, ModelPicker, UsageOf } from './pickers';
import classes from './session.module.css';
import { usePictures } from './use-pictures';

/** In UTF-16 units: bytes are checked by the server. */
const MAX_LENGTH = 1_000_000;
const MOST_COMMANDS = 8;
const finePointer = window.matchMedia('(pointer: fine)').matches;

interface Props {
  log: AgentLog;
  agent: Agent;
  /** What the agent is called. */
  name: string;
  disabled: boolean;
}

/** Where the agent is asked; while it is at work, what is sent waits in the queue. */
export function Composer({ log, agent, name, disabled }: Props) {
  const [text, setText] = useState(useDraft());
  const [sending, setSending] = useState(0);
  const sends = useRef(Promise.resolve());
  const pictures = usePictures();
  const busy = log.turn !== null;
  const ready = !disabled && (text.trim() !== '' || pictures.list.length > 0);
  const commands = matching(log.commands, text);
  const combobox = useCombobox({
    onDropdownClose: () => {
      combobox.resetSelectedOption();
    },
  });
  const offered = combobox.dropdownOpened && commands.length > 0;

  /** One after the other, as they were sent; meanwhile the next is written. */
  const send = (steer: boolean) => {
    if (!ready) return;
    const [key, shown] = [randomKey(), pictures.list];
    const content: AgentContent[] = [
      ...(text.trim() === '' ? [] : [{ type: 'text' as const, text: text.trim() }]),
      ...shown.map((picture) => ({ type: 'image' as const, ...picture })),
    ];
    setText('');
    pictures.clear();
    setSending((before) => before + 1);
    sends.current = sends.current.then(async () => {
      const taken = await agent.prompt(content, steer, key);
      setSending((before) => before - 1);
      if (taken) return;
      // Back where it was, before what was written since.
      setText((since) => (since === '' ? text : `${text}\n${since}`));
      pictures.putBack(shown);
    });
  };

  return (
    <DropArea label="Drop pictures to attach them" onDrop={(files) => void pictures.add(files)}>
      <div className={composer.root}>
        <Shots pictures={pictures} />
        <Combobox
          store={combobox}
          position="top-start"
          onOptionSubmit={(command) => {
            setText(`/${command} `);
            combobox.closeDropdown();
          }}
        >
          <Combobox.Target withAriaAttributes={offered}>
            <Textarea
              id={COMPOSER_ID}
              variant="unstyled"
              className={classes.field ?? ''}
              aria-label={`Prompt for ${name}`}
              placeholder={busy ? 'Say what comes next' : `Ask ${name} to do something`}
              maxLength={MAX_LENGTH}
              minRows={1}
              maxRows={10}
              autoFocus={finePointer}
              value={text}
              disabled={disabled}
              onChange={(event) => {
                setText(event.currentTarget.value);
                combobox.openDropdown();
              }}
              onPaste={(event) => {
                const files = [...event.clipboardData.files];
                if (files.length === 0) return;
                event.preventDefault();
                void pictures.add(files);
              }}
              onKeyDown={(event) => {
                if (event.nativeEvent.isComposing) return;
                if (offered && combobox.getSelectedOptionIndex() !== -1) return;
                if (event.key !== 'Enter' || event.shiftKey || event.altKey) return;
                event.preventDefault();
                send(busy && (event.ctrlKey || event.metaKey));
              }}
            />
          </Combobox.Target>
          <Combobox.Dropdown hidden={!offered}>
            <Combobox.Options aria-label="Commands of the agent">
              {commands.map(({ name: command, description, hint }) => (
                <Combobox.Option key={command} value={command}>
                  <Text size="sm" fw={550} span>
                    /{command} {hint}
                  </Text>
                  <Text size="xs" c="dimmed" lineClamp={1}>
                    {description}
                  </Text>
                </Combobox.Option>
              ))}
            </Combobox.Options>
          </Combobox.Dropdown>
        </Combobox>
        <div className={classes.bar}>
          <FileButton
            multiple
            accept="image/*"
            onChange={(files) => void pictures.add(files)}
            inputProps={{ 'aria-label': 'Pictures for the prompt' }}
          >
            {(props) => (
              <Tooltip label="Attach pictures; they can be pasted and dropped, too">
                <ActionIcon size={32} aria-label="Attach pictures" disabled={disabled} {...props}>
                  <IconPhotoPlus size={18} stroke={1.7} />
                </ActionIcon>
              </Tooltip>
            )}
          </FileButton>
          <ModePicker log={log} agent={agent} />
          <ModelPicker log={log} agent={agent} />
          <span style={{ flex: 1 }} />
          <UsageOf usage={log.usage} />
          {busy && (
            <Tooltip
              label={
                <>
                  Stop what it does and say this now <Kbd size="xs">Ctrl Enter</Kbd>
                </>
              }
            >
              <ActionIcon
                size={34}
                radius="xl"
                variant="default"
                aria-label="Steer: stop what it does and say this now"
                disabled={!ready}
                onClick={() => {
                  send(true);
                }}
              >
                <IconSteeringWheel size={18} stroke={1.8} />
              </ActionIcon>
            </Tooltip>
          )}
          {busy && (
            <Tooltip label="Stop (Esc)">
              <ActionIcon
                size={34}
                radius="xl"
                variant="filled"
                color="dark"
                className={composer.stop ?? ''}
                aria-label="Stop the agent’s turn"
                onClick={() => void agent.interrupt()}
              >
                <IconPlayerStopFilled size={15} />
              </ActionIcon>
            </Tooltip>
          )}
          <Tooltip label={busy ? 'Put it into the queue (Enter)' : 'Send (Enter)'}>
            <ActionIcon
              size={34}
              radius="xl"
              variant="filled"
              color="brand"
              aria-label={busy ? 'Put the prompt into the queue' : 'Send the prompt'}
              loading={sending > 0 && !ready}
              disabled={!ready && sending === 0}
              onClick={() => {
                send(false);
              }}
            >
              <IconArrowUp size={18} stroke={2.2} />
            </ActionIcon>
          </Tooltip>
        </div>
      </div>
    </DropArea>
  );
}

/** What was written on the page before, and could not be sent there. */
function useDraft(): string {
  const { state } = useLocation() as { state: unknown };
  if (typeof state !== 'object' || state === null || !('draft' in state)) return '';
  return typeof state.draft === 'string' ? state.draft : '';
}

function matching(commands: readonly AgentCommand[], text: string): AgentCommand[] {
  const typed = /^\/(\S*)$/.exec(text)?.[1]?.toLowerCase();
  if (typed === undefined) return [];
  return commands
    .filter(({ name }) => name.toLowerCase().startsWith(typed))
    .slice(0, MOST_COMMANDS);
}

function Shots({ pictures }: { pictures: ReturnType<typeof usePictures> }) {
  if (pictures.list.length === 0) return null;
  return (
    <div className={classes.shots}>
      {pictures.list.map((picture, index) => (
        <div key={picture.data.slice(0, 64) + String(index)} className={classes.shot}>
          <img src={`data:${picture.mime};base64,${picture.data}`} alt={`Attached ${index + 1}`} />
          <ActionIcon
            size={18}
            radius="xl"
            variant="filled"
            color="dark"
            aria-label={`Remove picture ${index + 1}`}
            onClick={() => {
              pictures.remove(index);
            }}
          >
            <IconX size={11} />
          </ActionIcon>
        </div>
      ))}
    </div>
  );
}
