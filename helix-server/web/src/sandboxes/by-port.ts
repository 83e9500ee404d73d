import type { Port } from '../api/types';

/** A port with every address on which something listens, and what does. */
export interface ListenedPort {
  port: number;
  addresses: string[];
  programs: string[];
}

/** One entry for each port: a server often listens for IPv4 and for IPv6, by two sockets. */
export function byPort(listening: readonly Port[]): ListenedPort[] {
  const ports = new Map<number, { addresses: Set<string>; programs: Set<string> }>();
  for (const { port, address, program } of listening) {
    const known = ports.get(port) ?? { addresses: new Set(), programs: new Set() };
    known.addresses.add(address);
    if (program != null) known.programs.add(program);
    ports.set(port, known);
  }
  return [...ports].map(([port, { addresses, programs }]) => ({
    port,
    addresses: [...addresses],
    programs: [...programs],
  }));
}
