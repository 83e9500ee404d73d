//! Root file systems that an administrator imported.
