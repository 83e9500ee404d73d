import { Button, PasswordInput, Stack, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';

import { ApiFailure } from '../api/failure';
import { FormError } from '../components/states';
import { useRegister } from './mutations';
import { emailRule, nameRule, newPasswordRule } from './rules';

/** Makes an account; with a set-up token, the first administrator's. */
export function AccountForm({ action, setupToken }: { action: string; setupToken?: string }) {
  const register = useRegister();
  const form = useForm({
    mode: 'uncontrolled',
    initialValues: { name: '', email: '', password: '' },
    validate: { name: nameRule, email: emailRule, password: newPasswordRule },
  });

  const submit = form.onSubmit(({ name, email, password }) => {
    register.mutate(
      {
        name: name.trim(),
        email: email.trim(),
        password,
        ...(setupToken && { setup_token: setupToken }),
      },
      {
        onError: (error) => {
          const field = error instanceof ApiFailure ? error.field : undefined;
          if (field && field in form.getValues()) form.setFieldError(field, error.message);
        },
      },
    );
  });

  return (
    <form onSubmit={submit} noValidate>
      <Stack>
        <TextInput
          label="Name"
          autoComplete="name"
          required
          data-autofocus
          key={form.key('name')}
          {...form.getInputProps('name')}
        />
        <TextInput
          label="Email"
          type="email"
          autoComplete="username"
          required
          key={form.key('email')}
          {...form.getInputProps('email')}
        />
        <PasswordInput
          label="Password"
          description="At least 10 characters"
          autoComplete="new-password"
          required
          key={form.key('password')}
          {...form.getInputProps('password')}
        />
        <FormError error={register.error} />
        <Button type="submit" loading={register.isPending} mt="xs">
          {action}
        </Button>
      </Stack>
    </form>
  );
}
