import { Button, Group, Modal, Stack } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useNavigate } from 'react-router';

import { call, http } from '../api/client';
import { keys } from '../api/queries';
import { FormError } from '../components/states';
import { SandboxFields } from './sandbox-fields';
import { checkForm, EMPTY_FORM, toRequest, type SandboxForm } from './sandbox-form';

/** Asks what a new sandbox is to be, makes it, and goes there. */
export function CreateSandbox({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const form = useForm<SandboxForm>({ initialValues: EMPTY_FORM, validate: checkForm });
  const [checked, setChecked] = useState(false);
  const create = useMutation({
    mutationFn: (values: SandboxForm) =>
      call(http.POST('/api/v1/sandboxes', { body: toRequest(values) })),
    onSuccess: async (sandbox) => {
      client.setQueryData(keys.sandbox(sandbox.id), sandbox);
      void client.invalidateQueries({ queryKey: keys.sandboxLists });
      await navigate(`/sandboxes/${sandbox.id}`);
    },
  });
  return (
    <Modal opened onClose={onClose} title="Create a sandbox" size="xl">
      <form
        noValidate
        onSubmit={form.onSubmit(
          (values) => {
            create.mutate(values);
          },
          () => {
            setChecked(true);
          },
        )}
      >
        <Stack gap="lg">
          <SandboxFields form={form} checked={checked} />
          <FormError error={create.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={create.isPending}>
              Create
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
