import { Button, Code, Group, Image, Modal, ScrollArea, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconDownload } from '@tabler/icons-react';
import { useEffect, useState } from 'react';

import { failureOf, firstBytes } from '../../api/bounded';
import { boundedFetch } from '../../api/client';
import { asUser, filesQuery, insideUrl, type FileUser } from '../../api/inside';
import type { FileEntry } from '../../api/types';
import { CopyButton } from '../../components/copy';
import { ErrorState, LoadingState } from '../../components/states';
import { formatBytes } from '../../format';
import { asText, imageType, MOST_SHOWN } from './preview';

interface Props {
  sandboxId: string;
  entry: FileEntry;
  user: FileUser;
  onClose: () => void;
}

/** Where a file, or the tar of a folder, is downloaded from. */
export function downloadUrl(sandboxId: string, entry: FileEntry, user: FileUser): string {
  const route = entry.kind === 'directory' ? 'files/archive' : 'files/content';
  return insideUrl(sandboxId, `${route}?${filesQuery({ path: entry.path, ...asUser(user) })}`);
}

/** What a download is called. */
export const downloadName = ({ kind, name }: FileEntry): string =>
  kind === 'directory' ? `${name}.tar` : name;

/** Shows the beginning of a file. */
export function PreviewDialog({ sandboxId, entry, user, onClose }: Props) {
  const content = useQuery({
    queryKey: ['preview', sandboxId, entry.path, user],
    queryFn: ({ signal }) => readStart(sandboxId, entry, user, signal),
    gcTime: 0,
    staleTime: 0,
  });
  return (
    <Modal opened onClose={onClose} title={entry.name} size="xl">
      <Group justify="space-between" mb="sm">
        <Text size="xs" c="dimmed">
          {formatBytes(entry.size_bytes)}
          {entry.size_bytes > MOST_SHOWN && `, the first ${formatBytes(MOST_SHOWN)} are shown`}
        </Text>
        <Button
          component="a"
          size="compact-sm"
          variant="default"
          leftSection={<IconDownload size={14} />}
          href={downloadUrl(sandboxId, entry, user)}
          download={downloadName(entry)}
        >
          Download
        </Button>
      </Group>
      {content.isPending && <LoadingState label="Loading the file" />}
      {content.isError && (
        <ErrorState
          what="The file could not be loaded"
          error={content.error}
          onRetry={() => void content.refetch()}
        />
      )}
      {content.data && <Content entry={entry} bytes={content.data} />}
    </Modal>
  );
}

async function readStart(
  sandboxId: string,
  entry: FileEntry,
  user: FileUser,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const query = filesQuery({ path: entry.path, length: MOST_SHOWN, ...asUser(user) });
  const url = new URL(insideUrl(sandboxId, `files/content?${query}`), window.location.origin);
  const response = await boundedFetch(new Request(url, { credentials: 'same-origin', signal }));
  if (!response.ok) throw await failureOf(response);
  return firstBytes(response, MOST_SHOWN);
}

function Content({ entry, bytes }: { entry: FileEntry; bytes: Uint8Array<ArrayBuffer> }) {
  const whole = bytes.length >= entry.size_bytes;
  const image = whole ? imageType(bytes) : undefined;
  if (image !== undefined) return <Picture bytes={bytes} type={image} name={entry.name} />;
  const text = asText(bytes, whole);
  if (text === undefined) {
    return (
      <Text size="sm" c="dimmed">
        This is no text. Download it to open it with another program.
      </Text>
    );
  }
  if (text === '') {
    return (
      <Text size="sm" c="dimmed">
        The file is empty.
      </Text>
    );
  }
  return (
    <>
      <ScrollArea.Autosize
        mah="60dvh"
        viewportProps={{ tabIndex: 0, role: 'region', 'aria-label': `Content of ${entry.name}` }}
      >
        <Code block fz="xs">
          {text}
        </Code>
      </ScrollArea.Autosize>
      <Group justify="flex-end" mt="xs">
        <CopyButton text={text} label="Copy what is shown" />
      </Group>
    </>
  );
}

function Picture(props: { bytes: Uint8Array<ArrayBuffer>; type: string; name: string }) {
  const { bytes, type, name } = props;
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    const reader = new FileReader();
    reader.onload = () => {
      if (typeof reader.result === 'string') setUrl(reader.result);
    };
    reader.readAsDataURL(new Blob([bytes], { type }));
    return () => {
      reader.onload = null;
    };
  }, [bytes, type]);
  return <Image src={url} alt={name} fit="contain" mah="60dvh" />;
}
