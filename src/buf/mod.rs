//! `buf`
