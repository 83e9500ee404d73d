import { Group, Radio, Text } from '@mantine/core';

import classes from './radio-cards.module.css';

interface Props<T extends string> {
  label: string;
  description?: string;
  options: { value: T; label: string; description: string }[];
  value: T;
  onChange: (value: T) => void;
  disabled?: boolean;
}

/** A choice of a few, each with a line that says what it means. */
export function RadioCards<T extends string>(props: Props<T>) {
  const { label, description, options, value, onChange, disabled = false } = props;
  return (
    <Radio.Group label={label} description={description} value={value} onChange={onChange}>
      <div className={classes.cards}>
        {options.map((each) => (
          <Radio.Card
            key={each.value}
            value={each.value}
            className={classes.card ?? ''}
            disabled={disabled}
            aria-label={`${each.label}: ${each.description}`}
          >
            <Group wrap="nowrap" align="flex-start" gap="xs">
              <Radio.Indicator size="xs" mt={3} disabled={disabled} />
              <div>
                <Text size="sm" fw={550}>
                  {each.label}
                </Text>
                <Text size="xs" c="dimmed">
                  {each.description}
                </Text>
              </div>
            </Group>
          </Radio.Card>
        ))}
      </div>
    </Radio.Group>
  );
}
