import { SimpleGrid, Text } from '@mantine/core';
import type { ReactNode } from 'react';

import type { HostCapacity } from '../api/types';
import { Meter } from '../components/meter';
import { formatBytes } from '../format';
import { formatCores } from '../sandboxes/sandbox-form';

interface Props {
  host: string;
  capacity: HostCapacity;
}

/** What a host has, what of it is used, and what is promised to sandboxes. */
export function Capacity({ host, capacity }: Props) {
  const memoryUsed = Math.max(0, capacity.memory_bytes - capacity.memory_available_bytes);
  const diskUsed = Math.max(0, capacity.disk_bytes - capacity.disk_free_bytes);
  return (
    <SimpleGrid cols={{ base: 1, sm: 3 }} spacing="lg">
      <One title="Processor">
        <Meter
          label={`Processor of ${host}`}
          text={`${formatCores(capacity.cpu_used_millis)} of ${formatCores(capacity.cpu_millis)} used, ${formatCores(capacity.cpu_promised_millis)} promised to sandboxes`}
          used={capacity.cpu_used_millis}
          promised={capacity.cpu_promised_millis}
          total={capacity.cpu_millis}
          usedText={`${formatCores(capacity.cpu_used_millis)} of ${formatCores(capacity.cpu_millis)} used`}
          promisedText={`${formatCores(capacity.cpu_promised_millis)} promised`}
        />
      </One>
      <One title="Memory">
        <Meter
          label={`Memory of ${host}`}
          text={`${formatBytes(memoryUsed)} of ${formatBytes(capacity.memory_bytes)} used, ${formatBytes(capacity.memory_promised_bytes)} promised to sandboxes`}
          used={memoryUsed}
          promised={capacity.memory_promised_bytes}
          total={capacity.memory_bytes}
          warns
          usedText={`${formatBytes(memoryUsed)} of ${formatBytes(capacity.memory_bytes)} used`}
          promisedText={`${formatBytes(capacity.memory_promised_bytes)} promised`}
        />
      </One>
      <One title="Disk">
        <Meter
          label={`Disk of ${host}`}
          text={`${formatBytes(diskUsed)} of ${formatBytes(capacity.disk_bytes)} used`}
          used={diskUsed}
          total={capacity.disk_bytes}
          warns
          usedText={`${formatBytes(diskUsed)} of ${formatBytes(capacity.disk_bytes)} used`}
        />
      </One>
    </SimpleGrid>
  );
}

function One({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div>
      <Text size="sm" fw={550} mb={6}>
        {title}
      </Text>
      {children}
    </div>
  );
}
