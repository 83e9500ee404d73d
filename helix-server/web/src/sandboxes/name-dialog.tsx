import { Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { useState, type ReactNode } from 'react';

import { nameRule } from '../auth/rules';
import { FormError } from '../components/states';

interface Props {
  title: string;
  action: string;
  label?: string;
  placeholder?: string;
  initial?: string;
  /** Whether it must be given; it is made up otherwise. */
  required?: boolean;
  /** What is wrong with a name, if anything; the rule of names otherwise. */
  rule?: (name: string) => string | null;
  busy: boolean;
  error: unknown;
  onSubmit: (name: string) => void;
  onClose: () => void;
  children?: ReactNode;
}

/** Asks for a name, and does something with it. */
export function NameDialog(props: Props) {
  const { title, action, label = 'Name', initial = '', required = false, rule = nameRule } = props;
  const { busy, error, onSubmit, onClose, children } = props;
  const [name, setName] = useState(initial);
  const [wrong, setWrong] = useState<string | null>(null);
  const check = (value: string) => (!required && value.trim() === '' ? null : rule(value));
  return (
    <Modal opened onClose={onClose} title={title} size="md">
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          const found = check(name);
          setWrong(found);
          if (found === null) onSubmit(name.trim());
        }}
      >
        <Stack>
          {children != null && <Text size="sm">{children}</Text>}
          <TextInput
            label={label}
            placeholder={props.placeholder ?? (required ? undefined : 'Made up if left empty')}
            required={required}
            data-autofocus
            value={name}
            error={wrong}
            onChange={({ currentTarget }) => {
              setName(currentTarget.value);
              setWrong(null);
            }}
          />
          <FormError error={error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={busy}>
              {action}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
