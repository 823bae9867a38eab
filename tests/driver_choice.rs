//! Which driver a program gets, and what it is told: each test in a process with other variables or
//! system calls.

#[path = "common/child.rs"]
mod child;

use child::Child;
use corering::{Driver, Refusal, Runtime};

#[test]
fn auto_falls_back_to_epoll_with_one_line_that_names_the_reason() {
    const TEST: &str = "auto_falls_back_to_epoll_with_one_line_that_names_the_reason";
    if !child::is_child() {
        let output = Child::of(TEST).deny_io_uring(libc::EPERM).output();
        let told = child::text(&output.stderr);
        assert!(output.status.success(), "{told}");
        let lines: Vec<_> = told.lines().filter(|line| line.starts_with("corering:")).collect();
        assert_eq!(lines, ["corering: io_uring is blocked by seccomp (EPERM); running on epoll"]);
        return;
    }
    let runtime = Runtime::builder().build().expect("epoll is there");
    assert_eq!(runtime.driver(), Driver::Epoll);
    assert_eq!(runtime.block_on(async { 7 }), 7);
}

#[test]
fn uring_where_it_is_refused_is_an_error_with_reason_and_advice() {
    const TEST: &str = "uring_where_it_is_refused_is_an_error_with_reason_and_advice";
    if !child::is_child() {
        return Child::of(TEST).deny_io_uring(libc::EPERM).passes();
    }
    let built = Runtime::builder().driver(Driver::Uring).build();
    let told = built.expect_err("the ring is refused").to_string();
    assert!(told.contains("io_uring is blocked by seccomp (EPERM)"), "{told}");
    assert!(told.contains(&Refusal::Seccomp.advice()), "{told}");
}

#[test]
fn the_environment_decides_for_auto() {
    if !child::is_child() {
        return Child::of("the_environment_decides_for_auto")
            .env("CORERING_DRIVER", "epoll")
            .passes();
    }
    let runtime = Runtime::builder().driver(Driver::Auto).build().expect("epoll is there");
    assert_eq!(runtime.driver(), Driver::Epoll);
}

#[test]
fn the_environment_does_not_decide_against_the_program() {
    const TEST: &str = "the_environment_does_not_decide_against_the_program";
    if !child::is_child() {
        return Child::of(TEST).env("CORERING_DRIVER", "uring").passes();
    }
    let runtime = Runtime::builder().driver(Driver::Epoll).build().expect("epoll is there");
    assert_eq!(runtime.driver(), Driver::Epoll);
}

#[test]
fn the_environment_that_asks_for_a_refused_ring_is_an_error() {
    const TEST: &str = "the_environment_that_asks_for_a_refused_ring_is_an_error";
    if !child::is_child() {
        return Child::of(TEST)
            .deny_io_uring(libc::ENOSYS)
            .env("CORERING_DRIVER", "uring")
            .passes();
    }
    let told = Runtime::builder().build().expect_err("the ring is refused").to_string();
    assert!(told.contains("ENOSYS"), "{told}");
}

#[test]
fn another_value_in_the_environment_is_an_error_that_lists_the_three() {
    const TEST: &str = "another_value_in_the_environment_is_an_error_that_lists_the_three";
    if !child::is_child() {
        return Child::of(TEST).env("CORERING_DRIVER", "iocp").passes();
    }
    let told = Runtime::builder().build().expect_err("no such driver").to_string();
    for word in ["CORERING_DRIVER", "iocp", "uring", "epoll", "auto"] {
        assert!(told.contains(word), "{told}");
    }
}
