//! What runs inside a sandbox and answers for it.
