import { Alert, Anchor, Button, Group, Modal, Select, Stack, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { IconLink, IconUserPlus } from '@tabler/icons-react';
import { Link } from 'react-router';

import { call, http } from '../api/client';
import { sharesQuery } from '../api/queries';
import type { CreatedShare, Session, ShareRight } from '../api/types';
import { CopyBlock } from '../components/copy';
import { RadioCards } from '../components/radio-cards';
import { ErrorState, FormError, LoadingState } from '../components/states';
import { ShareList } from './share-list';
import { ENDS, RIGHTS } from './share-words';

interface Values {
  with: 'person' | 'link';
  email: string;
  right: ShareRight;
  ends: string;
}

/** With whom a session is shared, and a way to share it with more. */
export function ShareDialog({ session, onClose }: { session: Session; onClose: () => void }) {
  const { id } = session;
  const shares = useQuery(sharesQuery(id));
  return (
    <Modal
      opened
      onClose={onClose}
      title={session.agent ? 'Share this session' : 'Share this chat'}
      size="lg"
    >
      <Stack gap="lg">
        <NewShare session={session} />
        {shares.isPending && <LoadingState label="Loading the shares" />}
        {shares.isError && (
          <ErrorState
            what="The shares could not be loaded"
            error={shares.error}
            onRetry={() => void shares.refetch()}
          />
        )}
        {shares.data && <ShareList id={id} shares={shares.data} />}
      </Stack>
    </Modal>
  );
}

function NewShare({ session }: { session: Session }) {
  const { id, agent } = session;
  const client = useQueryClient();
  const form = useForm<Values>({
    initialValues: { with: 'person', email: '', right: 'read', ends: '' },
    validate: {
      email: (email, values) =>
        values.with === 'person' && email.trim() === '' ? 'Enter an email address' : null,
    },
  });
  const create = useMutation({
    mutationFn: ({ email, right, ends, ...values }: Values) =>
      call(
        http.POST('/api/v1/sessions/{id}/shares', {
          params: { path: { id } },
          body: {
            right,
            ...(values.with === 'person' && { email: email.trim() }),
            ...(ends !== '' && { ttl_ms: Number(ends) }),
          },
        }),
      ),
    onSuccess: async () => {
      form.setFieldValue('email', '');
      await client.invalidateQueries({ queryKey: sharesQuery(id).queryKey });
    },
  });
  const { values } = form;
  const byLink = values.with === 'link';
  return (
    <form
      onSubmit={form.onSubmit((asked) => {
        create.mutate(asked);
      })}
    >
      <Stack>
        <RadioCards
          label="With"
          options={[
            { value: 'person', label: 'Somebody', description: 'Who has an account here.' },
            { value: 'link', label: 'A link', description: 'Whoever has it and signs in here.' },
          ]}
          value={values.with}
          onChange={(chosen) => {
            form.setFieldValue('with', chosen);
            create.reset();
          }}
        />
        {!byLink && (
          <TextInput
            label="Email address"
            type="email"
            placeholder="name@example.com"
            data-autofocus
            {...form.getInputProps('email')}
          />
        )}
        <RadioCards
          label="To"
          options={RIGHTS.map(({ value, label, ...means }) => ({
            value,
            label,
            description: agent ? means.agent : means.chat,
          }))}
          value={values.right}
          onChange={(right) => {
            form.setFieldValue('right', right);
          }}
        />
        {agent && values.right === 'drive' && (
          <Alert color="yellow" p="sm">
            <Text size="sm">
              Whoever drives has a terminal, and with it everything in the sandbox: its files, and
              the{' '}
              <Anchor
                component={Link}
                size="sm"
                c="inherit"
                to={`/sandboxes/${agent.sandbox_id}/secrets`}
              >
                secrets that it is given
              </Anchor>
              .
            </Text>
          </Alert>
        )}
        <Select label="Ends" data={ENDS} allowDeselect={false} {...form.getInputProps('ends')} />
        <FormError error={create.error} />
        <Group justify="flex-end">
          <Button
            type="submit"
            loading={create.isPending}
            leftSection={byLink ? <IconLink size={16} /> : <IconUserPlus size={16} />}
          >
            {byLink ? 'Make a link' : 'Share'}
          </Button>
        </Group>
        {create.data && <Made made={create.data} />}
      </Stack>
    </form>
  );
}

/** A link is seen once. */
function Made({ made: { url, share } }: { made: CreatedShare }) {
  if (url == null) {
    return (
      <Text size="sm" role="status">
        Shared with {share.people[0]?.name}: the session is in their list.
      </Text>
    );
  }
  return (
    <Stack gap="xs" role="status">
      <Text size="sm">Copy the link now: it is not shown again.</Text>
      <CopyBlock text={url} label="The link" />
    </Stack>
  );
}
