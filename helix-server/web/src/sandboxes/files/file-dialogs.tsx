import { useMutation } from '@tanstack/react-query';

import { call, http } from '../../api/client';
import { asUser, filesQuery, type FileUser } from '../../api/inside';
import type { FileEntry } from '../../api/types';
import { ConfirmDialog } from '../../components/confirm';
import { NameDialog } from '../name-dialog';
import { encodeName, fileNameRule, folderOf, inside } from './file-path';

interface Props {
  sandboxId: string;
  user: FileUser;
  /** Called when the folder is to be read again. */
  onChanged: () => void;
  onClose: () => void;
}

export function NewFolder({ folder, ...props }: Props & { folder: string }) {
  const { sandboxId, user, onChanged, onClose } = props;
  const make = useMutation({
    mutationFn: (name: string) =>
      call(
        http.POST('/api/v1/sandboxes/{id}/files/directory', {
          params: {
            path: { id: sandboxId },
            query: { path: inside(folder, encodeName(name)), ...asUser(user) },
          },
          querySerializer: filesQuery,
        }),
      ),
    onSuccess: () => {
      onChanged();
      onClose();
    },
  });
  return (
    <NameDialog
      title="New folder"
      action="Create"
      required
      rule={fileNameRule}
      busy={make.isPending}
      error={make.error}
      onSubmit={make.mutate}
      onClose={onClose}
    />
  );
}

export function Rename({ entry, ...props }: Props & { entry: FileEntry }) {
  const { sandboxId, user, onChanged, onClose } = props;
  const move = useMutation({
    mutationFn: (name: string) =>
      call(
        http.POST('/api/v1/sandboxes/{id}/files/move', {
          params: { path: { id: sandboxId }, query: asUser(user) },
          body: {
            from: entry.path,
            to: inside(folderOf(entry.path), encodeName(name)),
            overwrite: false,
          },
        }),
      ),
    onSuccess: () => {
      onChanged();
      onClose();
    },
  });
  return (
    <NameDialog
      title={`Rename ${entry.name}`}
      action="Rename"
      initial={entry.name}
      required
      rule={fileNameRule}
      busy={move.isPending}
      error={move.error}
      onSubmit={move.mutate}
      onClose={onClose}
    />
  );
}

export function Delete({ entry, ...props }: Props & { entry: FileEntry }) {
  const { sandboxId, user, onChanged, onClose } = props;
  const folder = entry.kind === 'directory';
  const remove = useMutation({
    mutationFn: () =>
      call(
        http.DELETE('/api/v1/sandboxes/{id}/files', {
          params: {
            path: { id: sandboxId },
            query: { path: entry.path, ...(folder && { recursive: true }), ...asUser(user) },
          },
          querySerializer: filesQuery,
        }),
      ),
    onSuccess: () => {
      onChanged();
      onClose();
    },
  });
  return (
    <ConfirmDialog
      opened
      title={`Delete ${entry.name}?`}
      action="Delete"
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => {
        remove.mutate();
      }}
      onClose={onClose}
    >
      {folder ? 'The folder and everything in it is gone for good.' : 'It is gone for good.'}
    </ConfirmDialog>
  );
}

/** Asks before files are replaced by uploads of the same name. */
export function Replace(props: { names: string[]; onConfirm: () => void; onClose: () => void }) {
  const { names, onConfirm, onClose } = props;
  const [first = ''] = names;
  const one = names.length === 1;
  return (
    <ConfirmDialog
      opened
      title={one ? `Replace ${first}?` : `Replace ${names.length} files?`}
      action="Replace"
      busy={false}
      error={null}
      onConfirm={onConfirm}
      onClose={onClose}
    >
      {one
        ? 'There is a file of this name. What it holds now is lost.'
        : `There are files of these names, ${first} among them. What they hold now is lost.`}
    </ConfirmDialog>
  );
}
