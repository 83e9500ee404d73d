import { Table, VisuallyHidden } from '@mantine/core';
import type { ReactNode } from 'react';

import classes from './stacked-table.module.css';

/**
 * A table that is read column by column where there is room, and row by row where there is not.
 * A cell with `data-label` then shows it. The last column holds actions when `actions` is set.
 */
export function StackedTable(props: {
  label: string;
  columns: string[];
  actions?: boolean;
  children: ReactNode;
}) {
  const { label, columns, actions = false, children } = props;
  return (
    <Table className={classes.table} aria-label={label}>
      <Table.Thead>
        <Table.Tr>
          {columns.map((column) => (
            <Table.Th key={column}>{column}</Table.Th>
          ))}
          {actions && (
            <Table.Th>
              <VisuallyHidden>Actions</VisuallyHidden>
            </Table.Th>
          )}
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>{children}</Table.Tbody>
    </Table>
  );
}
