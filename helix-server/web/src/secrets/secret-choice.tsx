import { Anchor, MultiSelect, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router';

import { messageOf } from '../api/failure';
import { purposeOf } from './purpose';
import { secretsQuery } from './queries';

interface Props {
  value: string[];
  onChange: (names: string[]) => void;
}

/** Which of one's secrets a new sandbox is given. */
export function SecretChoice({ value, onChange }: Props) {
  const secrets = useQuery(secretsQuery);
  const list = secrets.data ?? [];
  const purposes = new Map(list.map(({ name, kind }) => [name, purposeOf(kind)]));
  return (
    <MultiSelect
      label="Secrets"
      description={
        <>
          What runs in it can use, and read, what it is given: a password for git, or a variable.{' '}
          <Anchor component={Link} to="/secrets" size="xs">
            Your secrets
          </Anchor>
        </>
      }
      placeholder={value.length > 0 ? '' : list.length === 0 ? 'You have none' : 'None'}
      {...(secrets.isError && { error: messageOf(secrets.error) })}
      disabled={secrets.isSuccess && list.length === 0}
      searchable={list.length > 8}
      clearable
      hidePickedOptions
      data={list.map(({ name }) => name)}
      renderOption={({ option }) => (
        <div style={{ minWidth: 0 }}>
          <Text size="sm" truncate>
            {option.value}
          </Text>
          <Text size="xs" c="dimmed" truncate>
            {purposes.get(option.value)}
          </Text>
        </div>
      )}
      value={value}
      onChange={onChange}
    />
  );
}
