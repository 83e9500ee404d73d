import { notifications } from '@mantine/notifications';
import { useQueryClient } from '@tanstack/react-query';
import { useState, type ReactNode, type RefObject } from 'react';

import { directoryQuery, insideKeys } from '../../api/sandbox-queries';
import { messageOf } from '../../api/failure';
import { DropArea } from '../../sandboxes/files/drop-area';
import { Replace } from '../../sandboxes/files/file-dialogs';
import { HOME } from '../../sandboxes/files/file-path';
import { Uploads } from '../../sandboxes/files/uploads';
import { useUploads } from '../../sandboxes/files/use-uploads';

/** Takes files that are dropped on the desktop, or chosen, into the home folder of its user. */
export function Drop(props: {
  sandboxId: string;
  /** The field that asks for files. */
  field: RefObject<HTMLInputElement | null>;
  /** Whether it takes none. */
  refuses: boolean;
  children: ReactNode;
}) {
  const { sandboxId, field, refuses, children } = props;
  const client = useQueryClient();
  const [asked, setAsked] = useState<{ files: File[]; names: string[] } | null>(null);
  const { uploads, add, cancel, clear } = useUploads(sandboxId, () => {
    void client.invalidateQueries({ queryKey: insideKeys.files(sandboxId) });
  });
  const send = async (files: File[]) => {
    if (files.length === 0) return;
    try {
      const list = await client.query({ ...directoryQuery(sandboxId, HOME, 'user'), staleTime: 0 });
      const taken = new Set(list.entries.map(({ name }) => name));
      const names = files.map(({ name }) => name).filter((name) => taken.has(name));
      if (names.length > 0) setAsked({ files, names });
      else add(files, HOME, 'user');
    } catch (error) {
      notifications.show({ color: 'red', title: 'Not uploaded', message: messageOf(error) });
    }
  };
  if (refuses) return children;
  return (
    <>
      <DropArea label="Drop the files to put them into the home folder" onDrop={send}>
        {children}
      </DropArea>
      <input
        ref={field}
        type="file"
        multiple
        hidden
        aria-label="Files to upload"
        onChange={(event) => {
          void send([...(event.currentTarget.files ?? [])]);
          // The same file may be chosen again.
          event.currentTarget.value = '';
        }}
      />
      {uploads.length > 0 && (
        <div style={{ marginTop: 12 }}>
          <Uploads uploads={uploads} onCancel={cancel} onClear={clear} />
        </div>
      )}
      {asked && (
        <Replace
          names={asked.names}
          onConfirm={() => {
            add(asked.files, HOME, 'user');
            setAsked(null);
          }}
          onClose={() => {
            setAsked(null);
          }}
        />
      )}
    </>
  );
}
