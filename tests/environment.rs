//! Bad environments: each test runs in a process of its own that lacks something.

#[path = "common/child.rs"]
mod child;

use child::Child;
use corering::Refusal;

#[test]
fn probe_names_seccomp() {
    if !child::is_child() {
        return Child::of("probe_names_seccomp").deny_io_uring(libc::EPERM).passes();
    }
    let capabilities = corering::probe();
    assert_eq!(capabilities.refusal(), Some(&Refusal::Seccomp));
    let told = capabilities.to_string();
    assert!(told.contains("io_uring is blocked by seccomp (EPERM)"), "{told}");
}

#[test]
fn probe_names_a_kernel_without_io_uring() {
    if !child::is_child() {
        return Child::of("probe_names_a_kernel_without_io_uring")
            .deny_io_uring(libc::ENOSYS)
            .passes();
    }
    assert_eq!(corering::probe().refusal(), Some(&Refusal::NotBuiltIn));
}

#[test]
fn probe_names_the_limit_of_locked_memory() {
    if !child::is_child() {
        return Child::of("probe_names_the_limit_of_locked_memory")
            .limit(libc::RLIMIT_MEMLOCK, 64 << 10)
            .without_capabilities()
            .deny_io_uring(libc::ENOMEM)
            .passes();
    }
    let capabilities = corering::probe();
    assert_eq!(capabilities.refusal(), Some(&Refusal::LockedMemory { limit: 64 << 10 }));
    assert!(capabilities.to_string().contains("RLIMIT_MEMLOCK is 64 KiB"), "{capabilities}");
}

#[test]
fn probe_works_again_and_again_with_64_kib_of_locked_memory() {
    if !uring_is_tested() {
        return;
    }
    if !child::is_child() {
        return Child::of("probe_works_again_and_again_with_64_kib_of_locked_memory")
            .limit(libc::RLIMIT_MEMLOCK, 64 << 10)
            .without_capabilities()
            .passes();
    }
    // A closed ring's memory comes back late, so these would not all fit at once.
    for _ in 0..100 {
        let capabilities = corering::probe();
        assert!(capabilities.is_uring_available(), "{capabilities}");
    }
}

#[test]
fn probe_names_the_limit_of_descriptors() {
    if !uring_is_tested() {
        return;
    }
    if !child::is_child() {
        return Child::of("probe_names_the_limit_of_descriptors")
            .limit(libc::RLIMIT_NOFILE, 16)
            .passes();
    }
    let mut held = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        held.push(file);
    }
    let refusal = corering::probe().refusal().cloned();
    drop(held);
    assert_eq!(refusal, Some(Refusal::DescriptorLimit { errno: libc::EMFILE }));
    assert!(corering::probe().is_uring_available());
}

/// False where the suite was told to run without io_uring, as under a filter that denies it.
fn uring_is_tested() -> bool {
    std::env::var("CORERING_TEST_DRIVERS").map_or(true, |drivers| drivers.contains("uring"))
}
