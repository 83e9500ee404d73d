import type { RunnerDevice } from '../api/types';
import { Meter } from '../components/meter';
import { formatBytes } from '../format';

/** How a device's memory is used: what is taken, what else is set aside, what is free. */
export function MemoryBar({ device }: { device: RunnerDevice }) {
  const { total_bytes: total, free_bytes: free, reserved_bytes: reserved } = device;
  const used = Math.max(0, total - free);
  return (
    <Meter
      label={`Memory of ${device.name}`}
      text={`${formatBytes(used)} used, ${formatBytes(reserved)} reserved for models, of ${formatBytes(total)}`}
      used={used}
      promised={reserved}
      total={total}
      usedText={`${formatBytes(used)} of ${formatBytes(total)} used`}
      promisedText={`${formatBytes(reserved)} reserved for models`}
    />
  );
}
