//! The attributes `#[corering::main]` and `#[corering::test]`.
