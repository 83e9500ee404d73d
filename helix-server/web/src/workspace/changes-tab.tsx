import { Button, Card, Group, Text, TextInput } from '@mantine/core';
import { useSessionStorage } from '@mantine/hooks';
import { useState } from 'react';

import type { Sandbox } from '../api/types';
import { NotRunning, usable } from '../sandboxes/sandbox-notice';
import { ChangesPanel } from './changes-panel';
import { CloneForm } from './clone-form';

/** The git repositories of a sandbox, one at a time. */
export default function ChangesTab({ sandbox }: { sandbox: Sandbox }) {
  // Which one somebody looks at is the same after another tab, or a reload.
  const [directory, setDirectory] = useSessionStorage({
    key: `helix-directory-${sandbox.id}`,
    defaultValue: '',
    getInitialValueInEffect: false,
  });
  if (!usable(sandbox)) return <NotRunning sandbox={sandbox} what="Its repositories can be seen" />;
  return (
    <>
      <Directory key={directory} directory={directory} onGo={setDirectory} />
      <ChangesPanel
        key={`in ${directory}`}
        workspace={{ sandboxId: sandbox.id, directory }}
        elsewhere={
          <Card maw={560}>
            <Text fw={550} mb={4}>
              {directory === '' ? 'The home is no git repository' : 'There is no git repository'}
            </Text>
            <Text size="sm" c="dimmed" mb="md">
              Say above in which directory there is one, or clone one here. Give the sandbox a
              secret for servers that want a password.
            </Text>
            <CloneForm id={sandbox.id} onDone={setDirectory} />
          </Card>
        }
      />
    </>
  );
}

function Directory({ directory, onGo }: { directory: string; onGo: (to: string) => void }) {
  const [text, setText] = useState(directory);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onGo(text.trim());
      }}
    >
      <Group gap="xs" align="flex-end" mb="lg">
        <TextInput
          label="Directory"
          placeholder="The user’s home"
          flex={1}
          maw={420}
          value={text}
          onChange={({ currentTarget }) => {
            setText(currentTarget.value);
          }}
        />
        <Button type="submit" variant="default">
          Show
        </Button>
      </Group>
    </form>
  );
}
