import {
  ActionIcon,
  Alert,
  Button,
  Card,
  FileButton,
  Group,
  Select,
  Text,
  Tooltip,
  UnstyledButton,
} from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { IconFolderPlus, IconHome, IconRefresh, IconUpload } from '@tabler/icons-react';
import { useState } from 'react';
import { useSearchParams } from 'react-router';

import { messageOf } from '../../api/failure';
import type { FileUser } from '../../api/inside';
import { directoryQuery, fileStatQuery, insideKeys } from '../../api/sandbox-queries';
import type { FileEntry, FileList, Sandbox } from '../../api/types';
import { WITHIN_PAGE } from '../../components/page';
import { ErrorState, LoadingState } from '../../components/states';
import { NotRunning, usable } from '../sandbox-notice';
import { DropArea } from './drop-area';
import { Delete, NewFolder, Rename, Replace } from './file-dialogs';
import { crumbs, encodePath, folderOf, HOME, linkTarget } from './file-path';
import { FileTable } from './file-table';
import classes from './file-table.module.css';
import { PreviewDialog } from './preview-dialog';
import { Uploads } from './uploads';
import { useUploads } from './use-uploads';

const USERS = [
  { value: 'user', label: 'As the ordinary user' },
  { value: 'root', label: 'As the sandbox’s root' },
];

type Dialog =
  | { kind: 'folder' }
  | { kind: 'show' | 'rename' | 'delete'; entry: FileEntry }
  | { kind: 'replace'; files: File[]; names: string[] };

interface Props {
  sandbox: Sandbox;
  /** Where somebody begins. */
  home?: string;
  /** Whether they see what is below that only, and change nothing. */
  readOnly?: boolean;
}

/** The files of a sandbox. */
export default function FilesTab({ sandbox, home = HOME, readOnly = false }: Props) {
  if (!usable(sandbox)) {
    return <NotRunning sandbox={sandbox} what="Its files can be looked at" />;
  }
  return <Browser sandbox={sandbox} home={encodePath(home)} readOnly={readOnly} />;
}

function useFolder(home: string): [string, (folder: string) => void] {
  const [params, setParams] = useSearchParams();
  const given = params.get('path') ?? home;
  const folder = given.startsWith('/') ? given : home;
  return [
    folder,
    (path) => {
      setParams({ path }, { state: WITHIN_PAGE });
    },
  ];
}

function Browser({ sandbox, home, readOnly }: Required<Props>) {
  const client = useQueryClient();
  const [folder, setFolder] = useFolder(home);
  const [user, setUser] = useState<FileUser>('user');
  const [dialog, setDialog] = useState<Dialog | null>(null);
  const list = useQuery(directoryQuery(sandbox.id, folder, user));
  const readAgain = () => {
    void client.invalidateQueries({ queryKey: insideKeys.files(sandbox.id) });
  };
  const { uploads, add, cancel, clear } = useUploads(sandbox.id, readAgain);
  const close = () => {
    setDialog(null);
  };
  const send = (files: File[]) => {
    const taken = new Set(list.data?.entries.map(({ name }) => name));
    const names = files.map(({ name }) => name).filter((name) => taken.has(name));
    if (names.length > 0) setDialog({ kind: 'replace', files, names });
    else if (files.length > 0) add(files, folder, user);
  };
  const follow = async (entry: FileEntry) => {
    const path = linkTarget(folderOf(entry.path), entry.target ?? '');
    try {
      open(await client.query(fileStatQuery(sandbox.id, path, user)));
    } catch (error) {
      notifications.show({ color: 'red', title: 'It leads nowhere', message: messageOf(error) });
    }
  };
  const open = (entry: FileEntry) => {
    if (entry.kind === 'directory') setFolder(entry.path);
    else if (entry.kind === 'symlink') void follow(entry);
    else setDialog({ kind: 'show', entry });
  };
  const content = (
    <>
      {list.isPending && <LoadingState label="Loading the folder" />}
      {list.isError && (
        <ErrorState
          what="The folder could not be read"
          error={list.error}
          onRetry={() => void list.refetch()}
        />
      )}
      {list.data && (
        <Listing
          list={list.data}
          table={
            <FileTable
              key={folder}
              sandboxId={sandbox.id}
              user={user}
              entries={list.data.entries}
              onOpen={open}
              {...(!readOnly && {
                onRename: (entry: FileEntry) => {
                  setDialog({ kind: 'rename', entry });
                },
                onDelete: (entry: FileEntry) => {
                  setDialog({ kind: 'delete', entry });
                },
              })}
            />
          }
        />
      )}
    </>
  );
  const shared = { sandboxId: sandbox.id, user, onChanged: readAgain, onClose: close };
  return (
    <>
      <Group justify="space-between" mb="sm" gap="sm">
        <Crumbs folder={folder} home={home} bound={readOnly} onOpen={setFolder} />
        <Group gap="xs">
          {!readOnly && (
            <Select
              size="xs"
              w={190}
              aria-label="As whom files are read and written"
              data={USERS}
              value={user}
              onChange={(value) => {
                setUser(value === 'root' ? 'root' : 'user');
              }}
            />
          )}
          <Tooltip label="Read again">
            <ActionIcon
              size={30}
              variant="default"
              aria-label="Read the folder again"
              loading={list.isFetching && !list.isPending}
              onClick={readAgain}
            >
              <IconRefresh size={15} />
            </ActionIcon>
          </Tooltip>
          {!readOnly && (
            <>
              {' '}
              <Button
                size="xs"
                variant="default"
                leftSection={<IconFolderPlus size={15} />}
                onClick={() => {
                  setDialog({ kind: 'folder' });
                }}
              >
                New folder
              </Button>
              <FileButton multiple onChange={send} inputProps={{ 'aria-label': 'Files to upload' }}>
                {(props) => (
                  <Button size="xs" leftSection={<IconUpload size={15} />} {...props}>
                    Upload
                  </Button>
                )}
              </FileButton>
            </>
          )}
        </Group>
      </Group>
      <Uploads uploads={uploads} onCancel={cancel} onClear={clear} />
      {readOnly ? (
        content
      ) : (
        <DropArea label="Drop the files to upload them here" onDrop={send}>
          {content}
        </DropArea>
      )}
      {dialog?.kind === 'folder' && <NewFolder folder={folder} {...shared} />}
      {dialog?.kind === 'rename' && <Rename entry={dialog.entry} {...shared} />}
      {dialog?.kind === 'delete' && <Delete entry={dialog.entry} {...shared} />}
      {dialog?.kind === 'show' && (
        <PreviewDialog sandboxId={sandbox.id} entry={dialog.entry} user={user} onClose={close} />
      )}
      {dialog?.kind === 'replace' && (
        <Replace
          names={dialog.names}
          onConfirm={() => {
            add(dialog.files, folder, user);
            close();
          }}
          onClose={close}
        />
      )}
    </>
  );
}

function Listing({ list, table }: { list: FileList; table: React.ReactNode }) {
  return (
    <>
      {list.truncated && (
        <Alert color="yellow" mb="sm" py="xs">
          There are more than these {list.entries.length.toLocaleString()} entries. Use the terminal
          to see the rest.
        </Alert>
      )}
      <Card padding={0}>
        {list.entries.length === 0 ? (
          <Text size="sm" c="dimmed" p="lg">
            The folder is empty. Upload files with the button, or drop them here.
          </Text>
        ) : (
          table
        )}
      </Card>
    </>
  );
}

interface CrumbsProps {
  folder: string;
  home: string;
  /** Whether nothing above the home is to be seen. */
  bound: boolean;
  onOpen: (folder: string) => void;
}

function Crumbs({ folder, home, bound, onOpen }: CrumbsProps) {
  const all = crumbs(folder);
  const steps = bound ? all.filter(({ path }) => path.startsWith(home)) : all;
  return (
    <nav aria-label="Folders on the way here">
      <ol className={classes.crumbs}>
        <li>
          <Tooltip label="Home">
            <ActionIcon
              size={24}
              aria-label="Home folder"
              onClick={() => {
                onOpen(home);
              }}
            >
              <IconHome size={15} />
            </ActionIcon>
          </Tooltip>
        </li>
        {steps.map(({ name, path }, index) => (
          <li key={path}>
            {index > (bound ? 0 : 1) && (
              <span className={classes.slash} aria-hidden>
                /
              </span>
            )}
            <UnstyledButton
              className={classes.crumb}
              aria-current={index === steps.length - 1 ? 'page' : undefined}
              aria-label={path === '/' ? 'Root folder' : undefined}
              onClick={() => {
                onOpen(path);
              }}
            >
              {name}
            </UnstyledButton>
          </li>
        ))}
      </ol>
    </nav>
  );
}
