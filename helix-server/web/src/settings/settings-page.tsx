import {
  Button,
  Card,
  Group,
  SegmentedControl,
  Stack,
  Text,
  TextInput,
  Title,
  useMantineColorScheme,
} from '@mantine/core';
import { useForm } from '@mantine/form';
import { notifications } from '@mantine/notifications';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';

import { call, http } from '../api/client';
import { keys, versionQuery } from '../api/queries';
import { useIsAdmin, useUser } from '../auth/gates';
import { useSignOut } from '../auth/mutations';
import { nameRule } from '../auth/rules';
import { CopyBlock } from '../components/copy';
import { Page } from '../components/page';
import { FormError } from '../components/states';
import { formatDate, formatDateTime } from '../format';
import { PasswordForm } from './password-form';

export default function SettingsPage() {
  const version = useQuery(versionQuery);
  const admin = useIsAdmin();
  return (
    <Page title="Settings">
      <Stack maw={640}>
        <Profile />
        <Section title="Password">
          <PasswordForm />
        </Section>
        <Appearance />
        {admin && <OtherDevice />}
        <SignOut />
        {version.data && (
          <Text size="xs" c="dimmed" ta="center" mt="sm">
            Helix {version.data.version}
          </Text>
        )}
      </Stack>
    </Page>
  );
}

function Section(props: { title: string; description?: string; children: ReactNode }) {
  return (
    <Card component="section" aria-label={props.title}>
      <Title order={2} mb={props.description ? 4 : 'md'}>
        {props.title}
      </Title>
      {props.description && (
        <Text size="sm" c="dimmed" mb="md">
          {props.description}
        </Text>
      )}
      {props.children}
    </Card>
  );
}

function Profile() {
  const user = useUser();
  const client = useQueryClient();
  const form = useForm({ initialValues: { name: user.name }, validate: { name: nameRule } });
  const save = useMutation({
    mutationFn: (name: string) => call(http.PATCH('/api/v1/users/me', { body: { name } })),
    onSuccess: (changed) => {
      client.setQueryData(keys.me, changed);
      form.resetDirty({ name: changed.name });
      notifications.show({ message: 'Your name was saved.' });
    },
  });
  return (
    <Section title="Account">
      <form
        onSubmit={form.onSubmit(({ name }) => {
          save.mutate(name.trim());
        })}
      >
        <Stack>
          <TextInput label="Name" autoComplete="name" {...form.getInputProps('name')} />
          <TextInput label="Email" value={user.email} readOnly />
          <Text size="xs" c="dimmed">
            {user.role === 'admin' ? 'Administrator' : 'Member'} since{' '}
            {formatDate(user.created_at_ms)}
          </Text>
          <FormError error={save.error} />
          <Group>
            <Button type="submit" loading={save.isPending} disabled={!form.isDirty()}>
              Save
            </Button>
          </Group>
        </Stack>
      </form>
    </Section>
  );
}

function Appearance() {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <Section title="Appearance">
      <SegmentedControl
        aria-label="Colours"
        value={colorScheme}
        onChange={(value) => {
          setColorScheme(value);
        }}
        data={[
          { value: 'auto', label: 'Like the system' },
          { value: 'light', label: 'Light' },
          { value: 'dark', label: 'Dark' },
        ]}
      />
    </Section>
  );
}

function OtherDevice() {
  const create = useMutation({ mutationFn: () => call(http.POST('/api/v1/auth/links')) });
  return (
    <Section
      title="Sign in on another device"
      description="A link that signs you in once, without the password. Give it to nobody."
    >
      <Stack>
        {create.data && (
          <>
            <CopyBlock label="Sign-in link" text={create.data.url} />
            <Text size="xs" c="dimmed">
              Works once, until {formatDateTime(create.data.expires_at_ms)}.
            </Text>
          </>
        )}
        <FormError error={create.error} />
        <Group>
          <Button
            variant="default"
            loading={create.isPending}
            onClick={() => {
              create.mutate();
            }}
          >
            {create.data ? 'Create another link' : 'Create a link'}
          </Button>
        </Group>
      </Stack>
    </Section>
  );
}

function SignOut() {
  const signOut = useSignOut();
  return (
    <Section title="Sign out" description="Ends your session in this browser.">
      <Stack>
        <FormError error={signOut.error} />
        <Group>
          <Button
            variant="default"
            loading={signOut.isPending}
            onClick={() => {
              signOut.mutate();
            }}
          >
            Sign out
          </Button>
        </Group>
      </Stack>
    </Section>
  );
}
