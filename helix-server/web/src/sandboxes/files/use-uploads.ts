import { useEffect, useRef, useState } from 'react';

import { messageOf } from '../../api/failure';
import type { FileUser } from '../../api/inside';
import { encodeName, inside } from './file-path';
import { Cancelled, upload } from './upload';

export interface UploadState {
  key: number;
  name: string;
  folder: string;
  totalBytes: number;
  sentBytes: number;
  /** Absent while it waits or goes on. */
  result?: { kind: 'done' } | { kind: 'cancelled' } | { kind: 'failed'; message: string };
}

interface Waiting {
  key: number;
  file: File;
  folder: string;
  user: FileUser;
  abort: AbortController;
}

/** Uploads to a sandbox: one at a time, in the order in which they were asked for. */
export function useUploads(
  sandboxId: string,
  onDone: (folder: string) => void,
): {
  uploads: UploadState[];
  add: (files: File[], folder: string, user: FileUser) => void;
  cancel: (key: number) => void;
  clear: () => void;
} {
  const [uploads, setUploads] = useState<UploadState[]>([]);
  const waiting = useRef<Waiting[]>([]);
  const going = useRef(false);
  const made = useRef(0);
  const finished = useRef(onDone);
  useEffect(() => {
    finished.current = onDone;
  });
  useEffect(() => {
    const queue = waiting;
    return () => {
      for (const each of queue.current) each.abort.abort();
    };
  }, []);

  const change = (key: number, to: Partial<UploadState>) => {
    setUploads((all) => all.map((each) => (each.key === key ? { ...each, ...to } : each)));
  };
  const one = async ({ key, file, folder, user, abort }: Waiting) => {
    if (abort.signal.aborted) return;
    try {
      await upload({
        sandboxId,
        path: inside(folder, encodeName(file.name)),
        user,
        file,
        onProgress: (sentBytes) => {
          change(key, { sentBytes });
        },
        signal: abort.signal,
      });
      change(key, { sentBytes: file.size, result: { kind: 'done' } });
      finished.current(folder);
    } catch (error) {
      if (error instanceof Cancelled) return;
      change(key, { result: { kind: 'failed', message: messageOf(error) } });
    }
  };
  const goOn = async () => {
    if (going.current) return;
    going.current = true;
    for (let next = waiting.current[0]; next; next = waiting.current[0]) {
      await one(next);
      waiting.current.shift();
    }
    going.current = false;
  };

  return {
    uploads,
    add: (files, folder, user) => {
      const added = files.map((file): Waiting => {
        made.current += 1;
        return { key: made.current, file, folder, user, abort: new AbortController() };
      });
      waiting.current.push(...added);
      setUploads((all) => [
        ...all,
        ...added.map(({ key, file }) => ({
          key,
          name: file.name,
          folder,
          totalBytes: file.size,
          sentBytes: 0,
        })),
      ]);
      void goOn();
    },
    cancel: (key) => {
      waiting.current.find((each) => each.key === key)?.abort.abort();
      change(key, { result: { kind: 'cancelled' } });
    },
    clear: () => {
      setUploads((all) => all.filter(({ result }) => result === undefined));
    },
  };
}
