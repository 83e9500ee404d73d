import { ActionIcon, Button, Center, Menu, Table, Text, UnstyledButton } from '@mantine/core';
import {
  IconDots,
  IconDownload,
  IconFile,
  IconFileUnknown,
  IconFolder,
  IconLink,
  IconPencil,
  IconTrash,
  type Icon,
} from '@tabler/icons-react';
import { useState } from 'react';

import type { FileUser } from '../../api/inside';
import type { FileEntry } from '../../api/types';
import { StackedTable } from '../../components/stacked-table';
import { RelativeTime } from '../../components/time';
import { count, formatBytes } from '../../format';
import { formatMode } from './file-path';
import classes from './file-table.module.css';
import { downloadName, downloadUrl } from './preview-dialog';

const ICONS: Record<FileEntry['kind'], Icon> = {
  directory: IconFolder,
  file: IconFile,
  symlink: IconLink,
  other: IconFileUnknown,
};

const KIND_NAMES: Record<FileEntry['kind'], string> = {
  directory: 'Folder',
  file: 'File',
  symlink: 'Link',
  other: 'Special file',
};

/** As many rows as a browser shows without a pause. */
const ROWS = 300;

interface Props {
  sandboxId: string;
  user: FileUser;
  entries: FileEntry[];
  onOpen: (entry: FileEntry) => void;
  /** Absent where nothing may be changed. */
  onRename?: (entry: FileEntry) => void;
  onDelete?: (entry: FileEntry) => void;
}

/** What is in a folder, folders first. */
export function FileTable({ entries, ...props }: Props) {
  const [rows, setRows] = useState(ROWS);
  const sorted = [
    ...entries.filter(({ kind }) => kind === 'directory'),
    ...entries.filter(({ kind }) => kind !== 'directory'),
  ];
  return (
    <>
      <div className={classes.files}>
        <StackedTable label="Files" columns={['Name', 'Size', 'Changed', 'Permissions']} actions>
          {sorted.slice(0, rows).map((entry) => (
            <FileRow key={entry.path} entry={entry} {...props} />
          ))}
        </StackedTable>
      </div>
      {sorted.length > rows && (
        <Center py="md">
          <Button
            variant="default"
            size="xs"
            onClick={() => {
              setRows(rows + ROWS);
            }}
          >
            Show more of {count(sorted.length, 'entry', 'entries')}
          </Button>
        </Center>
      )}
    </>
  );
}

function FileRow(props: Omit<Props, 'entries'> & { entry: FileEntry }) {
  const { entry, onOpen } = props;
  const IconOf = ICONS[entry.kind];
  const opens = entry.kind !== 'other';
  return (
    <Table.Tr>
      <Table.Td>
        <span className={classes.name}>
          <IconOf
            size={17}
            stroke={1.6}
            role="img"
            aria-label={KIND_NAMES[entry.kind]}
            className={classes.icon}
            data-kind={entry.kind}
          />
          {opens ? (
            <UnstyledButton
              className={classes.open}
              onClick={() => {
                onOpen(entry);
              }}
            >
              {entry.name}
            </UnstyledButton>
          ) : (
            <Text span size="sm">
              {entry.name}
            </Text>
          )}
        </span>
        {entry.target != null && (
          <Text size="xs" c="dimmed" className={classes.target ?? ''}>
            → {entry.target}
          </Text>
        )}
      </Table.Td>
      <Table.Td data-label="Size">
        <Text size="sm" c="dimmed" className={classes.short ?? ''}>
          {entry.kind === 'file' ? formatBytes(entry.size_bytes) : '–'}
        </Text>
      </Table.Td>
      <Table.Td data-label="Changed">
        <Text size="sm" c="dimmed" className={classes.short ?? ''}>
          <RelativeTime atMs={entry.modified_at_ms} />
        </Text>
      </Table.Td>
      <Table.Td data-label="Permissions">
        <Text size="xs" c="dimmed" ff="monospace">
          {formatMode(entry.mode)}
        </Text>
      </Table.Td>
      <Table.Td ta="right">
        <RowMenu {...props} />
      </Table.Td>
    </Table.Tr>
  );
}

function RowMenu(props: Omit<Props, 'entries'> & { entry: FileEntry }) {
  const { sandboxId, user, entry, onRename, onDelete } = props;
  const loads = entry.kind === 'file' || entry.kind === 'directory';
  return (
    <Menu position="bottom-end" width={190}>
      <Menu.Target>
        <ActionIcon aria-label={`Actions for ${entry.name}`}>
          <IconDots size={16} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {loads && (
          <Menu.Item
            component="a"
            href={downloadUrl(sandboxId, entry, user)}
            download={downloadName(entry)}
            leftSection={<IconDownload size={16} />}
          >
            {entry.kind === 'directory' ? 'Download as tar' : 'Download'}
          </Menu.Item>
        )}
        {onRename && (
          <Menu.Item
            leftSection={<IconPencil size={16} />}
            onClick={() => {
              onRename(entry);
            }}
          >
            Rename
          </Menu.Item>
        )}
        {onDelete && (
          <Menu.Item
            color="red"
            leftSection={<IconTrash size={16} />}
            onClick={() => {
              onDelete(entry);
            }}
          >
            Delete
          </Menu.Item>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}
