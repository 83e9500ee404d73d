import { notifications } from '@mantine/notifications';
import { useState } from 'react';

import { MOST_DATA, readPicture, type Picture } from './pictures';

/** The pictures of the prompt that is being written. */
export function usePictures() {
  const [list, setList] = useState<readonly Picture[]>([]);
  return {
    list,
    clear: () => {
      setList([]);
    },
    putBack: (pictures: readonly Picture[]) => {
      setList((since) => [...pictures, ...since]);
    },
    remove: (index: number) => {
      setList((before) => before.filter((_, at) => at !== index));
    },
    add: async (files: readonly File[]) => {
      const read = await Promise.all(files.map(readPicture));
      const pictures = read.filter((picture) => picture !== null);
      if (pictures.length < files.length) complain('Only pictures can be attached');
      setList((before) => {
        const all = [...before, ...pictures];
        const size = all.reduce((sum, { data }) => sum + data.length, 0);
        if (size <= MOST_DATA) return all;
        complain('These pictures are too large for one prompt');
        return before;
      });
    },
  };
}

function complain(message: string): void {
  notifications.show({ id: 'pictures', color: 'red', title: 'Not attached', message });
}
