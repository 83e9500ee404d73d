//! The default backend: Linux namespaces, cgroups, seccomp.
