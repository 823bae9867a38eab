//! Programs that tests need beside the toolchain.

use std::env;

/// Whether to leave out the tests that need `program`. `scripts/test` names it in the environment if
/// it is missing and cannot be installed; otherwise a missing program fails the test.
pub(crate) fn is_left_out(program: &str) -> bool {
    let names = env::var("CORERING_TEST_WITHOUT").unwrap_or_default();
    names.split([' ', ',']).any(|name| name == program)
}
