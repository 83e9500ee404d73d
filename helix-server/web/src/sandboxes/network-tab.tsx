import { Alert, Button, Card, Group } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { call, http } from '../api/client';
import { keys } from '../api/queries';
import type { Egress, Sandbox } from '../api/types';
import { FormError } from '../components/states';
import { EgressEditor } from './egress-editor';
import { checkRules, egressForm, toEgress, type EgressForm } from './egress-rules';

const same = (one: Egress, other: Egress) => JSON.stringify(one) === JSON.stringify(other);

/** What a sandbox may reach, to be changed while it runs. */
export default function NetworkTab({ sandbox }: { sandbox: Sandbox }) {
  const client = useQueryClient();
  // What is being edited, and the policy that it began with.
  const [edit, setEdit] = useState<{ form: EgressForm; base: Egress } | null>(null);
  const [checked, setChecked] = useState(false);
  const form = edit?.form ?? egressForm(sandbox.egress);
  const changed = edit !== null && !same(toEgress(form), toEgress(egressForm(sandbox.egress)));
  const meanwhile = changed && !same(edit.base, sandbox.egress);
  const errors = checkRules(form);
  const forget = () => {
    setEdit(null);
    setChecked(false);
  };
  const save = useMutation({
    mutationFn: (egress: Egress) =>
      call(
        http.PATCH('/api/v1/sandboxes/{id}', {
          params: { path: { id: sandbox.id } },
          body: { egress },
        }),
      ),
    onSuccess: (updated) => {
      client.setQueryData(keys.sandbox(sandbox.id), updated);
      forget();
      notifications.show({
        title: 'Network policy changed',
        message: 'It holds from now on, also for connections that were open.',
      });
    },
  });
  const blocked = !sandbox.reachable || sandbox.state === 'deleted';
  return (
    <Card>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          setChecked(true);
          if (Object.keys(errors).length === 0) save.mutate(toEgress(form));
        }}
      >
        <EgressEditor
          value={form}
          onChange={(next) => {
            setEdit({ form: next, base: edit?.base ?? sandbox.egress });
          }}
          errors={checked ? errors : {}}
          disabled={blocked}
        />
        {meanwhile && (
          <Alert color="yellow" mt="md">
            The policy was changed elsewhere meanwhile. Saving replaces it.
          </Alert>
        )}
        <div style={{ marginTop: 16 }}>
          <FormError error={save.error} />
        </div>
        <Group justify="flex-end" mt="md">
          {changed && (
            <Button variant="default" onClick={forget}>
              Discard
            </Button>
          )}
          <Button type="submit" loading={save.isPending} disabled={!changed || blocked}>
            Save
          </Button>
        </Group>
      </form>
    </Card>
  );
}
