import { expect, it } from 'vitest';

import { readPasted } from './clipboard';

const pasted = (text: string, files: File[] = []): DataTransfer => {
  const data: Partial<DataTransfer> = {
    getData: (kind) => (kind === 'text/plain' ? text : ''),
    files: files as unknown as FileList,
  };
  return data as DataTransfer;
};

it('a text is said in UTF-8, also beside a picture of it', async () => {
  const picture = new File([new Uint8Array([1])], 'x.png', { type: 'image/png' });
  expect(await readPasted(pasted('é', [picture]))).toEqual({
    mime: 'text/plain;charset=utf-8',
    content: new Uint8Array([0xc3, 0xa9]),
  });
});

it('a picture is said as it is', async () => {
  const picture = new File([new Uint8Array([1, 2])], 'x.png', { type: 'image/png' });
  expect(await readPasted(pasted('', [picture]))).toEqual({
    mime: 'image/png',
    content: new Uint8Array([1, 2]),
  });
});

it('what is neither is not said', async () => {
  expect(await readPasted(pasted('', [new File([], 'x.zip', { type: 'application/zip' })]))).toBe(
    null,
  );
});
