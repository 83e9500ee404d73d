/** A TCP line on loopback that can be cut. */
import { connect, createServer, type Socket } from 'node:net';

export interface Line {
  /** Where it begins. */
  url: string;
  /** Hangs up on both sides, and on whoever dials. */
  close: () => void;
  /** Carries again. */
  open: () => void;
  /** Ends it. */
  end: () => void;
}

/** A line that comes out at `url`. */
export async function lineTo(url: string): Promise<Line> {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  let closed = false;
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // The other side is hung up on too.
    socket.on('error', () => socket.destroy());
  };
  const server = createServer((near) => {
    if (closed) {
      near.destroy();
      return;
    }
    const far = connect(Number(port), hostname);
    keep(near);
    keep(far);
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
    near.pipe(far);
    far.pipe(near);
  });
  const address = await new Promise<string>((listening, failed) => {
    server.once('error', failed);
    server.listen(0, '127.0.0.1', () => {
      const bound = server.address();
      listening(typeof bound === 'object' && bound ? `127.0.0.1:${bound.port}` : '');
    });
  });
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://${address}`,
    close: () => {
      closed = true;
      cut();
    },
    open: () => {
      closed = false;
    },
    end: () => {
      closed = true;
      cut();
      server.close();
    },
  };
}
