import { Alert, Anchor, Button, Code, PasswordInput, Stack, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useQuery } from '@tanstack/react-query';
import { IconInfoCircle } from '@tabler/icons-react';
import { Link, useSearchParams } from 'react-router';

import { authConfigQuery } from '../api/queries';
import { FormError } from '../components/states';
import { AuthLayout } from './auth-layout';
import { useSignIn } from './mutations';
import { emailRule } from './rules';

export default function SignInPage() {
  const config = useQuery(authConfigQuery);
  const [params] = useSearchParams();
  const signIn = useSignIn();
  const form = useForm({
    mode: 'uncontrolled',
    initialValues: { email: '', password: '' },
    validate: {
      email: emailRule,
      password: (value) => (value === '' ? 'Enter your password' : null),
    },
  });

  return (
    <AuthLayout title="Sign in">
      {config.data?.setup_required && <SetUpFirst />}
      <form
        noValidate
        onSubmit={form.onSubmit(({ email, password }) => {
          signIn.mutate({ email: email.trim(), password });
        })}
      >
        <Stack>
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
            autoComplete="current-password"
            required
            key={form.key('password')}
            {...form.getInputProps('password')}
          />
          <FormError error={signIn.error} />
          <Button type="submit" loading={signIn.isPending} mt="xs">
            Sign in
          </Button>
        </Stack>
      </form>
      {config.data?.registration_open && !config.data.setup_required && (
        <Text size="sm" mt="lg" ta="center">
          New here?{' '}
          <Anchor component={Link} to={{ pathname: '/register', search: params.toString() }}>
            Create an account
          </Anchor>
        </Text>
      )}
    </AuthLayout>
  );
}

/** Nobody has an account yet. */
export function SetUpFirst() {
  return (
    <Alert icon={<IconInfoCircle size={18} />} mb="lg" title="Helix is not set up yet">
      Open the one-time set-up link to create the first administrator. The server wrote it to its
      log when it started, and to the file <Code>setup-link</Code> in its data directory.
    </Alert>
  );
}
