//! Reverse tunnels: HTTP/2 with the roles reversed over an outbound WebSocket
