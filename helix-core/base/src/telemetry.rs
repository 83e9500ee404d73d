//! Start of `tracing`, for daemons.
