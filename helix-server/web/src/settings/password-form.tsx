import { Button, Group, PasswordInput, Stack } from '@mantine/core';
import { useForm } from '@mantine/form';
import { notifications } from '@mantine/notifications';
import { useMutation } from '@tanstack/react-query';

import { call, http } from '../api/client';
import { newPasswordRule } from '../auth/rules';
import { useUser } from '../auth/gates';
import { FormError } from '../components/states';

export function PasswordForm() {
  const user = useUser();
  const form = useForm({
    initialValues: { current: '', next: '', repeated: '' },
    validate: {
      current: (value) => (value === '' ? 'Enter your present password' : null),
      next: newPasswordRule,
      repeated: (value, values) => (value === values.next ? null : 'The two are not the same'),
    },
  });
  const change = useMutation({
    mutationFn: ({ current, next }: typeof form.values) =>
      call(
        http.POST('/api/v1/users/me/password', {
          body: { current_password: current, new_password: next },
        }),
      ),
    onSuccess: () => {
      form.reset();
      notifications.show({ message: 'Your password was changed.' });
    },
  });
  return (
    <form
      onSubmit={form.onSubmit((values) => {
        change.mutate(values);
      })}
    >
      {/* Password managers want to know whose password this is. */}
      <input type="text" autoComplete="username" value={user.email} readOnly hidden />
      <Stack>
        <PasswordInput
          label="Present password"
          autoComplete="current-password"
          {...form.getInputProps('current')}
        />
        <PasswordInput
          label="New password"
          description="At least 10 characters"
          autoComplete="new-password"
          {...form.getInputProps('next')}
        />
        <PasswordInput
          label="New password again"
          autoComplete="new-password"
          {...form.getInputProps('repeated')}
        />
        <FormError error={change.error} />
        <Group>
          <Button type="submit" loading={change.isPending}>
            Change password
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
