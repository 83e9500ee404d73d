import { ActionIcon, Button, Card, Group, Progress, Stack, Text, Tooltip } from '@mantine/core';
import { IconX } from '@tabler/icons-react';

import { formatBytes } from '../../format';
import type { UploadState } from './use-uploads';

interface Props {
  uploads: UploadState[];
  onCancel: (key: number) => void;
  onClear: () => void;
}

/** How far uploads are, and how they ended. */
export function Uploads({ uploads, onCancel, onClear }: Props) {
  if (uploads.length === 0) return null;
  const done = uploads.every(({ result }) => result !== undefined);
  return (
    <Card component="section" aria-label="Uploads" mb="md" padding="md">
      <Group justify="space-between" mb="xs">
        <Text size="sm" fw={550} role="status">
          {done ? 'Uploads ended' : `Uploading ${left(uploads)}`}
        </Text>
        <Button size="compact-xs" variant="subtle" color="gray" onClick={onClear}>
          Clear
        </Button>
      </Group>
      <Stack gap="xs" mah={220} style={{ overflowY: 'auto' }}>
        {uploads.map((upload) => (
          <UploadRow key={upload.key} upload={upload} onCancel={onCancel} />
        ))}
      </Stack>
    </Card>
  );
}

const left = (uploads: UploadState[]) => {
  const amount = uploads.filter(({ result }) => result === undefined).length;
  return amount === 1 ? 'a file' : `${amount} files`;
};

function UploadRow(props: { upload: UploadState; onCancel: (key: number) => void }) {
  const { upload, onCancel } = props;
  const { name, totalBytes, sentBytes, result } = upload;
  const percent = totalBytes > 0 ? Math.min(100, (sentBytes / totalBytes) * 100) : 0;
  const failed = result?.kind === 'failed';
  return (
    <div>
      <Group justify="space-between" wrap="nowrap" gap="xs">
        <Text size="sm" truncate>
          {name}
        </Text>
        <Group gap={4} wrap="nowrap">
          <Text
            size="xs"
            c={failed ? 'var(--mantine-color-error)' : 'dimmed'}
            style={{ whiteSpace: 'nowrap' }}
          >
            {result === undefined
              ? `${formatBytes(sentBytes)} of ${formatBytes(totalBytes)}`
              : { done: formatBytes(totalBytes), cancelled: 'Cancelled', failed: 'Failed' }[
                  result.kind
                ]}
          </Text>
          {result === undefined && (
            <Tooltip label="Cancel">
              <ActionIcon
                size="sm"
                aria-label={`Cancel the upload of ${name}`}
                onClick={() => {
                  onCancel(upload.key);
                }}
              >
                <IconX size={14} />
              </ActionIcon>
            </Tooltip>
          )}
        </Group>
      </Group>
      {result?.kind === 'failed' ? (
        <Text size="xs" c="var(--mantine-color-error)">
          {result.message}
        </Text>
      ) : (
        <Progress
          value={result?.kind === 'done' ? 100 : percent}
          size="xs"
          mt={4}
          color={result?.kind === 'cancelled' ? 'gray' : 'brand'}
          aria-label={`Upload of ${name}`}
        />
      )}
    </div>
  );
}
