//! The reusable concerns of Helix behind one name
