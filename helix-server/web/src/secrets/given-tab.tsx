import { Anchor, Button, Card, Checkbox, Group, Stack, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { IconLock } from '@tabler/icons-react';
import { useState } from 'react';
import { Link } from 'react-router';

import { call, http } from '../api/client';
import type { Sandbox, Secret } from '../api/types';
import { useUser } from '../auth/gates';
import { EmptyState, ErrorState, FormError, LoadingState } from '../components/states';
import { purposeOf } from './purpose';
import { givenQuery, secretKeys, secretsQuery } from './queries';

/** Which of one's secrets a sandbox is given. */
export default function GivenTab({ sandbox }: { sandbox: Sandbox }) {
  const own = useUser().id === sandbox.user_id;
  const secrets = useQuery({ ...secretsQuery, enabled: own });
  const given = useQuery({ ...givenQuery(sandbox.id), enabled: own });
  if (!own) {
    return (
      <EmptyState icon={IconLock} title="Somebody else’s sandbox">
        Only who it belongs to says which secrets it is given.
      </EmptyState>
    );
  }
  const failed = [secrets, given].find(({ isError }) => isError);
  if (failed) {
    return (
      <ErrorState
        what="The secrets could not be loaded"
        error={failed.error}
        onRetry={() => void failed.refetch()}
      />
    );
  }
  if (!secrets.data || !given.data) return <LoadingState label="Loading the secrets" />;
  if (secrets.data.length === 0) {
    return (
      <EmptyState
        icon={IconLock}
        title="No secret yet"
        action={
          <Button component={Link} to="/secrets">
            Add a secret
          </Button>
        }
      >
        With a token for a git server, this sandbox can clone and push.
      </EmptyState>
    );
  }
  const state = given.data.join(' ');
  return <Choice key={state} sandbox={sandbox} secrets={secrets.data} given={given.data} />;
}

function Choice(props: { sandbox: Sandbox; secrets: Secret[]; given: string[] }) {
  const { sandbox, secrets, given } = props;
  const { id } = sandbox;
  const client = useQueryClient();
  const [names, setNames] = useState(given);
  const save = useMutation({
    mutationFn: () =>
      call(
        http.PUT('/api/v1/sandboxes/{id}/secrets', { params: { path: { id } }, body: { names } }),
      ),
    onSuccess: async () => {
      notifications.show({ message: 'Its secrets were set' });
      await client.invalidateQueries({ queryKey: secretKeys.given(id) });
    },
  });
  const same = names.length === given.length && names.every((name) => given.includes(name));
  return (
    <Card maw={640}>
      <Text size="sm" c="dimmed" mb="md">
        Everything that runs in this sandbox can use, and read, what it is given. It is held in
        memory there: snapshots and forks have none of it. Programs see a variable that start after
        it was given.{' '}
        <Anchor component={Link} to="/secrets">
          Your secrets
        </Anchor>
      </Text>
      <Checkbox.Group value={names} onChange={setNames} aria-label="Secrets of this sandbox">
        <Stack gap="sm">
          {secrets.map(({ name, kind }) => (
            <Checkbox key={name} value={name} label={name} description={purposeOf(kind)} />
          ))}
        </Stack>
      </Checkbox.Group>
      <Stack mt="md">
        <FormError error={save.error} />
        <Group justify="flex-end">
          <Button
            loading={save.isPending}
            disabled={same}
            onClick={() => {
              save.mutate();
            }}
          >
            Save
          </Button>
        </Group>
      </Stack>
    </Card>
  );
}
