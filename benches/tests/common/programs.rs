//! Programs that tests need beside the toolchain.

use std::env;

/// Whether the tests that need `program` are left out, by the word of whoever runs them: where it is
/// missing and cannot be installed, `scripts/test` says so. Without that, they fail for want of it.
pub(crate) fn is_left_out(program: &str) -> bool {
    let names = env::var("CORERING_TEST_WITHOUT").unwrap_or_default();
    names.split([' ', ',']).any(|name| name == program)
}
