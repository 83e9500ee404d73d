import { expect, it } from 'vitest';

import type { ToolContent } from '../api/types';
import { changesOf } from './changes';
import type { ToolItem } from './log/view';

function tool(content: ToolContent[], status: ToolItem['status'] = 'completed'): ToolItem {
  return {
    kind: 'tool',
    seq: 1,
    atMs: 1,
    thread: 't',
    id: 'c',
    title: 'Edit',
    tool: 'edit',
    status,
    content,
    locations: [],
    input: null,
    output: null,
    endedAtMs: null,
  };
}
const diff = (path: string, before: string | null, after: string): ToolContent => ({
  type: 'diff',
  path,
  before,
  after,
});

it('joins changes that follow one another, the last file first', () => {
  const changes = changesOf([
    tool([diff('/a', null, 'one')]),
    tool([diff('/b', 'x', 'y')]),
    tool([diff('/a', 'one', 'two')]),
  ]);
  expect(changes).toEqual([
    { path: '/a', before: null, after: 'two', times: 2, omitted: 0 },
    { path: '/b', before: 'x', after: 'y', times: 1, omitted: 0 },
  ]);
});

it('shows the last of changes that do not follow, and none that was not done', () => {
  const changes = changesOf([
    tool([diff('/a', 'p', 'q')]),
    tool([diff('/a', 'r', 's')]),
    tool([diff('/a', 's', 't')], 'failed'),
  ]);
  expect(changes).toEqual([{ path: '/a', before: 'r', after: 's', times: 2, omitted: 0 }]);
});
