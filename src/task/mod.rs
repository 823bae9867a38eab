//! `task`
