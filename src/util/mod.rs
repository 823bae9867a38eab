//! `util`
