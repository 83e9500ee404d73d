import { Box, Text } from '@mantine/core';
import { useState, type DragEvent, type ReactNode } from 'react';

import classes from './drop-area.module.css';

interface Props {
  /** What is said while files are over it. */
  label: string;
  onDrop: (files: File[]) => void;
  children: ReactNode;
}

/** Takes files that are dropped on it; a button beside it does the same for the keyboard. */
export function DropArea({ label, onDrop, children }: Props) {
  const [over, setOver] = useState(false);
  const carriesFiles = (event: DragEvent) => event.dataTransfer.types.includes('Files');
  return (
    <Box
      className={classes.drop ?? ''}
      onDragOver={(event: DragEvent) => {
        if (!carriesFiles(event)) return;
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={(event: DragEvent) => {
        const { currentTarget, relatedTarget } = event;
        if (!(relatedTarget instanceof Node && currentTarget.contains(relatedTarget))) {
          setOver(false);
        }
      }}
      onDrop={(event: DragEvent) => {
        if (!carriesFiles(event)) return;
        event.preventDefault();
        setOver(false);
        onDrop([...event.dataTransfer.files]);
      }}
    >
      {children}
      {over && (
        <div className={classes.over}>
          <Text fw={550}>{label}</Text>
        </div>
      )}
    </Box>
  );
}
