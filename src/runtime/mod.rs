//! `runtime`
