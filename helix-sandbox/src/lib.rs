//! Hosts isolated sandboxes for a Helix control plane.
