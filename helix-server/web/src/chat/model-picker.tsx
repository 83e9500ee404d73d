import { Combobox, Group, ScrollArea, Text, UnstyledButton, useCombobox } from '@mantine/core';
import { IconCheck, IconChevronDown } from '@tabler/icons-react';
import { useState } from 'react';

import classes from './composer.module.css';
import { useChoice, type Choice } from './model-choice';

/** From this many on, the list can be searched. */
const SEARCHABLE_FROM = 7;

const STATES: Record<Choice['state'], { label: string; color: string }> = {
  ready: { label: 'Ready', color: 'var(--hx-bar-used)' },
  starting: { label: 'Starting', color: 'var(--mantine-color-yellow-5)' },
  idle: { label: 'Starts when asked', color: 'var(--mantine-color-gray-5)' },
  provider: { label: 'Provider', color: 'var(--mantine-color-blue-5)' },
};

/** Chooses the model that answers. */
export function ModelPicker() {
  const { model, choices, choose } = useChoice();
  const [search, setSearch] = useState('');
  const combobox = useCombobox({
    onDropdownClose: () => {
      combobox.resetSelectedOption();
      setSearch('');
    },
    onDropdownOpen: () => {
      combobox.updateSelectedOptionIndex('active');
      if (choices.length >= SEARCHABLE_FROM) combobox.focusSearchInput();
    },
  });
  const current = choices.find((choice) => choice.name === model);
  const wanted = search.trim().toLowerCase();
  const found = choices.filter((choice) => choice.name.toLowerCase().includes(wanted));
  if (choices.length === 0) return null;

  return (
    <Combobox
      store={combobox}
      position="top-start"
      width={310}
      onOptionSubmit={(name) => {
        choose(name);
        combobox.closeDropdown();
      }}
    >
      <Combobox.Target targetType="button" withExpandedAttribute>
        <UnstyledButton
          className={classes.picker}
          aria-label={`Model: ${model ?? 'none'}`}
          onClick={() => {
            combobox.toggleDropdown();
          }}
        >
          {current && <Dot state={current.state} />}
          <span className={classes.pickerName}>{model ?? 'Choose a model'}</span>
          <IconChevronDown size={14} aria-hidden />
        </UnstyledButton>
      </Combobox.Target>
      <Combobox.Dropdown>
        {choices.length >= SEARCHABLE_FROM && (
          <Combobox.Search
            value={search}
            placeholder="Search models"
            aria-label="Search models"
            onChange={(event) => {
              setSearch(event.currentTarget.value);
              combobox.updateSelectedOptionIndex();
            }}
          />
        )}
        <Combobox.Options aria-label="Models">
          <ScrollArea.Autosize mah={280} type="scroll">
            {found.map((choice) => (
              <Option key={choice.name} choice={choice} active={choice.name === model} />
            ))}
            {found.length === 0 && <Combobox.Empty>No model has this name</Combobox.Empty>}
          </ScrollArea.Autosize>
        </Combobox.Options>
      </Combobox.Dropdown>
    </Combobox>
  );
}

function Option({ choice, active }: { choice: Choice; active: boolean }) {
  return (
    <Combobox.Option value={choice.name} active={active}>
      <Group wrap="nowrap" gap="xs" justify="space-between">
        <div style={{ minWidth: 0 }}>
          <Group gap={8} wrap="nowrap">
            <Dot state={choice.state} />
            <Text size="sm" fw={550} truncate>
              {choice.name}
            </Text>
          </Group>
          <Text size="xs" c="dimmed" pl={16} lineClamp={2}>
            {STATES[choice.state].label}
            {choice.detail && ` · ${choice.detail}`}
          </Text>
        </div>
        {active && <IconCheck size={15} aria-hidden style={{ flex: 'none' }} />}
      </Group>
    </Combobox.Option>
  );
}

function Dot({ state }: { state: Choice['state'] }) {
  return <span className={classes.dot} style={{ background: STATES[state].color }} aria-hidden />;
}
