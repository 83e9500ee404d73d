import { Box, Container, Group, Text, Title } from '@mantine/core';
import { useEffect, useRef, type ReactNode } from 'react';
import { useLocation } from 'react-router';

/** The state of a navigation within a page, such as to one of its tabs: the focus stays. */
export const WITHIN_PAGE = { withinPage: true };

const isWithinPage = (state: unknown): boolean =>
  typeof state === 'object' && state !== null && 'withinPage' in state;

/** A page with a heading. The heading takes the focus when someone navigates to the page. */
export function Page(props: {
  title: string;
  description?: ReactNode;
  actions?: ReactNode;
  above?: ReactNode;
  /** Whether it takes all the room that there is, as pictures do. */
  wide?: boolean;
  children: ReactNode;
}) {
  const { title, description, actions, above, wide = false, children } = props;
  const heading = useRef<HTMLHeadingElement>(null);
  const { key, state } = useLocation() as { key: string; state: unknown };
  const within = isWithinPage(state);
  useEffect(() => {
    // `default` is the first page after a load: there the browser decides.
    if (key !== 'default' && !within) heading.current?.focus();
  }, [key, within]);

  return (
    <Box style={{ height: '100%', overflowY: 'auto' }}>
      <title>{`${title} · Helix`}</title>
      <Container
        size={wide ? 2560 : 1080}
        py={{ base: 'lg', sm: 36 }}
        px={{ base: 'md', sm: 'xl' }}
      >
        {above}
        <Group justify="space-between" align="flex-start" mb="xl" gap="md">
          <Box maw={640} miw={0} style={{ overflowWrap: 'anywhere' }}>
            <Title order={1} ref={heading} tabIndex={-1}>
              {title}
            </Title>
            {description && (
              <Text c="dimmed" size="sm" mt={6} component="div">
                {description}
              </Text>
            )}
          </Box>
          {actions && <Group gap="xs">{actions}</Group>}
        </Group>
        {children}
      </Container>
    </Box>
  );
}
