import { ActionIcon, Alert, Box, Button, Select, Stack, TextInput, Tooltip } from '@mantine/core';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import { useEffect, useRef } from 'react';

import type { Egress, EgressProtocol } from '../api/types';
import { RadioCards } from '../components/radio-cards';
import classes from './egress-editor.module.css';
import {
  EGRESS_NAMES,
  MOST_RULES,
  newRule,
  type EgressForm,
  type RuleErrors,
  type RuleForm,
} from './egress-rules';

const PROTOCOLS = [
  { value: 'any', label: 'TCP and UDP' },
  { value: 'tcp', label: 'TCP' },
  { value: 'udp', label: 'UDP' },
];

const MODES = (['open', 'allow_list', 'none'] as Egress['mode'][]).map((value) => ({
  value,
  ...EGRESS_NAMES[value],
}));

interface Props {
  value: EgressForm;
  onChange: (value: EgressForm) => void;
  errors: Record<string, RuleErrors>;
  disabled?: boolean;
}

/** Chooses what a sandbox may reach, and lists it. */
export function EgressEditor({ value, onChange, errors, disabled = false }: Props) {
  const { mode, rules } = value;
  return (
    <Stack gap="md">
      <RadioCards
        label="What it may reach"
        description="Never other sandboxes, the host itself or cloud metadata, whatever is chosen"
        options={MODES}
        value={mode}
        disabled={disabled}
        onChange={(next) => {
          const first = next === 'allow_list' && rules.length === 0;
          onChange({ mode: next, rules: first ? [newRule()] : rules });
        }}
      />
      {mode === 'allow_list' && (
        <Rules value={value} onChange={onChange} errors={errors} disabled={disabled} />
      )}
    </Stack>
  );
}

function Rules({ value, onChange, errors, disabled = false }: Props) {
  const { rules } = value;
  const list = useRef<HTMLUListElement>(null);
  const added = useRef(false);
  useEffect(() => {
    if (!added.current) return;
    added.current = false;
    list.current?.querySelector<HTMLInputElement>('li:last-child input')?.focus();
  });
  const set = (changed: RuleForm[]) => {
    onChange({ mode: 'allow_list', rules: changed });
  };
  return (
    <Box>
      {rules.length === 0 && (
        <Alert color="yellow" py="xs">
          With no rule it reaches nothing.
        </Alert>
      )}
      <ul ref={list} className={classes.rules} aria-label="What it may reach">
        {rules.map((rule, index) => (
          <li key={rule.key} className={classes.rule}>
            <RuleFields
              rule={rule}
              index={index}
              error={errors[rule.key]}
              disabled={disabled}
              onChange={(changed) => {
                set(rules.map((each) => (each.key === rule.key ? changed : each)));
              }}
              onRemove={() => {
                set(rules.filter((each) => each.key !== rule.key));
              }}
            />
          </li>
        ))}
      </ul>
      <Button
        variant="default"
        size="xs"
        mt="xs"
        disabled={disabled || rules.length >= MOST_RULES}
        leftSection={<IconPlus size={14} />}
        onClick={() => {
          added.current = true;
          set([...rules, newRule()]);
        }}
      >
        Add a rule
      </Button>
    </Box>
  );
}

function RuleFields(props: {
  rule: RuleForm;
  index: number;
  error: RuleErrors | undefined;
  disabled: boolean;
  onChange: (rule: RuleForm) => void;
  onRemove: () => void;
}) {
  const { rule, index, error, disabled, onChange, onRemove } = props;
  const which = `rule ${index + 1}`;
  // Only the first row says what its fields are: the others stand below it.
  const first = index === 0;
  return (
    <>
      <TextInput
        className={classes.to}
        label={<Label shown={first}>Name, address or network</Label>}
        aria-label={`Name, address or network of ${which}`}
        placeholder="*.example.com or 10.1.0.0/16"
        value={rule.to}
        error={error?.to}
        disabled={disabled}
        spellCheck={false}
        autoCapitalize="none"
        onChange={({ currentTarget }) => {
          onChange({ ...rule, to: currentTarget.value });
        }}
      />
      <TextInput
        className={classes.ports}
        label={<Label shown={first}>Ports</Label>}
        aria-label={`Ports of ${which}`}
        placeholder="all"
        value={rule.ports}
        error={error?.ports}
        disabled={disabled}
        onChange={({ currentTarget }) => {
          onChange({ ...rule, ports: currentTarget.value });
        }}
      />
      <Select
        className={classes.protocol}
        label={<Label shown={first}>Protocol</Label>}
        aria-label={`Protocol of ${which}`}
        data={PROTOCOLS}
        value={rule.protocol}
        disabled={disabled}
        onChange={(protocol) => {
          onChange({ ...rule, protocol: (protocol ?? 'any') as EgressProtocol | 'any' });
        }}
      />
      <Tooltip label="Remove the rule">
        <ActionIcon
          className={classes.remove}
          size={36}
          aria-label={`Remove ${which}`}
          disabled={disabled}
          data-first={first ? true : undefined}
          onClick={onRemove}
        >
          <IconTrash size={16} />
        </ActionIcon>
      </Tooltip>
    </>
  );
}

function Label({ shown, children }: { shown: boolean; children: string }) {
  return <span className={shown ? undefined : classes.repeated}>{children}</span>;
}
