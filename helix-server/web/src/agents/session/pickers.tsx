import { Menu, Progress, Text, Tooltip, UnstyledButton } from '@mantine/core';
import { IconCheck, IconChevronDown } from '@tabler/icons-react';

import composer from '../../chat/composer.module.css';
import type { AgentLog, Choices, Usage } from '../log/view';
import type { Agent } from '../use-agent';
import classes from './session.module.css';

interface Props {
  log: AgentLog;
  agent: Agent;
}

export const ModePicker = ({ log, agent }: Props) => (
  <Picker what="Mode" choices={log.modes} onChoose={(id) => void agent.setMode(id)} />
);

export const ModelPicker = ({ log, agent }: Props) => (
  <Picker what="Model" choices={log.models} onChoose={(id) => void agent.setModel(id)} />
);

interface PickerProps {
  what: string;
  choices: Choices | null;
  onChoose: (id: string) => void;
}

/** Chooses one of what the agent can be set to; nothing where there is no choice. */
function Picker({ what, choices, onChoose }: PickerProps) {
  if (!choices || choices.available.length < 2) return null;
  const current = choices.available.find(({ id }) => id === choices.current);
  const name = current?.name ?? choices.current;
  return (
    <Menu position="top-start" width={280}>
      <Menu.Target>
        <UnstyledButton className={composer.picker} aria-label={`${what}: ${name}`}>
          <span className={composer.pickerName} style={{ maxWidth: '10rem' }}>
            {name}
          </span>
          <IconChevronDown size={14} aria-hidden />
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown mah={340} style={{ overflowY: 'auto' }}>
        {choices.available.map(({ id, name: label, description }) => (
          <Menu.Item
            key={id}
            rightSection={id === choices.current && <IconCheck size={15} aria-label="Chosen" />}
            onClick={() => {
              onChoose(id);
            }}
          >
            {label}
            {description != null && description !== '' && (
              <Text size="xs" c="dimmed" lineClamp={2}>
                {description}
              </Text>
            )}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

/** What the conversation used and cost, as the agent counts it. */
export function UsageOf({ usage }: { usage: Usage | null }) {
  if (!usage) return null;
  const { contextTokens, contextSize, cost } = usage;
  const share = contextSize > 0 ? (100 * contextTokens) / contextSize : 0;
  const tokens = `${contextTokens.toLocaleString()} of ${contextSize.toLocaleString()} tokens`;
  const paid = cost ? money(cost.micros, cost.currency) : null;
  return (
    <Tooltip
      label={`The agent’s context holds ${tokens}${paid === null ? '' : `; ${paid} so far`}`}
    >
      <div
        className={classes.usage}
        role="img"
        aria-label={`Used: ${tokens}${paid === null ? '' : `, ${paid}`}`}
      >
        {paid ?? `${share.toFixed(0)} %`}
        <Progress value={share} size={4} w={56} mt={3} aria-hidden />
      </div>
    </Tooltip>
  );
}

function money(micros: number, currency: string): string {
  const amount = micros / 1e6;
  try {
    const digits = amount < 1 ? 4 : 2;
    const style = { style: 'currency', currency, maximumFractionDigits: digits } as const;
    return new Intl.NumberFormat(undefined, style).format(amount);
  } catch {
    // No currency that is known.
    return `${amount.toFixed(4)} ${currency}`;
  }
}
