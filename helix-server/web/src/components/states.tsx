import { Alert, Button, Center, Loader, Stack, Text, ThemeIcon, Title } from '@mantine/core';
import { IconAlertTriangle, type Icon } from '@tabler/icons-react';
import type { ReactNode } from 'react';

import { ApiFailure, messageOf } from '../api/failure';

/** Nothing is there yet, and what to do about it. */
export function EmptyState(props: {
  icon: Icon;
  title: string;
  children: ReactNode;
  action?: ReactNode;
  /** Whether it is all that the page shows, and its title the page's heading. */
  wholePage?: boolean;
}) {
  const { icon: IconOf, title, children, action, wholePage = false } = props;
  return (
    <Center py={48} px="md">
      <Stack align="center" gap="sm" maw={440}>
        <ThemeIcon size={52} radius="xl" variant="light" aria-hidden>
          <IconOf size={26} stroke={1.6} />
        </ThemeIcon>
        <Title order={wholePage ? 1 : 2} size="h2" ta="center" mt={4}>
          {title}
        </Title>
        <Text ta="center" c="dimmed" size="sm" component="div">
          {children}
        </Text>
        {action && <div style={{ marginTop: 8 }}>{action}</div>}
      </Stack>
    </Center>
  );
}

/** Something failed, why, and a way to try again. */
export function ErrorState(props: { what: string; error: unknown; onRetry?: () => void }) {
  const { what, error, onRetry } = props;
  return (
    <Alert color="red" icon={<IconAlertTriangle size={18} />} title={what} radius="lg" role="alert">
      <Text size="sm">{messageOf(error)}</Text>
      {error instanceof ApiFailure && error.requestId && (
        <Text size="xs" c="dimmed" mt={4}>
          Request {error.requestId}
        </Text>
      )}
      {onRetry && (
        <Button size="xs" variant="default" mt="sm" onClick={onRetry}>
          Try again
        </Button>
      )}
    </Alert>
  );
}

/** Waiting for the first answer. */
export function LoadingState({ label }: { label: string }) {
  return (
    <Center py={64} role="status" aria-label={label}>
      <Loader size="sm" />
    </Center>
  );
}

/** The error of a form, above its button. */
export function FormError({ error }: { error: unknown }) {
  if (error == null) return null;
  return (
    <Alert color="red" icon={<IconAlertTriangle size={18} />} role="alert">
      {messageOf(error)}
    </Alert>
  );
}
