//! `time`
