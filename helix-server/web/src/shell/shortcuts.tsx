import { Group, Kbd, Modal, Stack, Text } from '@mantine/core';
import { useDisclosure, useHotkeys } from '@mantine/hooks';
import { useNavigate } from 'react-router';

/** The ids by which shortcuts find what they focus. */
export const COMPOSER_ID = 'composer';
export const SEARCH_ID = 'session-search';

const SHORTCUTS: { keys: string[]; does: string }[] = [
  { keys: ['Ctrl', 'Shift', 'O'], does: 'New chat' },
  { keys: ['/'], does: 'Go to the message field' },
  { keys: ['Ctrl', 'K'], does: 'Search chats' },
  { keys: ['Esc'], does: 'Stop the answer' },
  { keys: ['Enter'], does: 'Send the message' },
  { keys: ['Shift', 'Enter'], does: 'New line' },
  { keys: ['?'], does: 'This list' },
];

/** The keyboard shortcuts that work on every page, and the list of them all. */
export function Shortcuts() {
  const navigate = useNavigate();
  const [opened, { open, close }] = useDisclosure(false);
  useHotkeys([
    ['mod+shift+O', () => void navigate('/')],
    ['mod+K', () => document.getElementById(SEARCH_ID)?.focus()],
    ['/', () => document.getElementById(COMPOSER_ID)?.focus()],
    ['shift+?', open],
  ]);
  return (
    <Modal opened={opened} onClose={close} title="Keyboard shortcuts" size="sm">
      <Stack gap="sm">
        {SHORTCUTS.map(({ keys, does }) => (
          <Group key={does} justify="space-between">
            <Text size="sm">{does}</Text>
            <Group gap={4}>
              {keys.map((key) => (
                <Kbd key={key} size="sm">
                  {key}
                </Kbd>
              ))}
            </Group>
          </Group>
        ))}
      </Stack>
    </Modal>
  );
}
