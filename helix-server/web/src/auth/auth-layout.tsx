import { Box, Group, Stack, Text, Title } from '@mantine/core';
import type { ReactNode } from 'react';

import { Logo } from '../components/logo';
import classes from './auth-layout.module.css';

/** The frame of the pages that are seen before anyone signed in. */
export function AuthLayout(props: { title: string; lead?: ReactNode; children: ReactNode }) {
  const { title, lead, children } = props;
  return (
    <div className={classes.page}>
      <title>{`${title} · Helix`}</title>
      <main className={classes.main}>
        <Group gap={10} mb="xl" justify="center">
          <Logo size={34} />
          <Text fw={680} fz={22} className={classes.name}>
            Helix
          </Text>
        </Group>
        <Box className={classes.card}>
          <Stack gap={6} mb="lg">
            <Title order={1} fz={20}>
              {title}
            </Title>
            {lead && (
              <Text size="sm" c="dimmed" component="div">
                {lead}
              </Text>
            )}
          </Stack>
          {children}
        </Box>
        <Text size="xs" c="dimmed" ta="center" mt="lg">
          AI models on your own machines
        </Text>
      </main>
    </div>
  );
}
