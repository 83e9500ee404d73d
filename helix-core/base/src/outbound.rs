//! The one factory for everything that dials out: HTTP clients and WebSockets.
