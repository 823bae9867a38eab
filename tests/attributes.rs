//! What the attributes promise, beyond what they refuse (that is `macros/tests/messages.rs`).

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/child.rs"]
mod child;

use std::cell::{Cell, RefCell};
use std::io;
use std::panic;
use std::process::Output;

use child::Child;
use corering::net::{TcpListener, TcpStream};
use corering::{Driver, test_support};

thread_local! {
    static RAN_ON: RefCell<Vec<Driver>> = const { RefCell::new(Vec::new()) };
}

/// Runs `body` as the attribute would, and returns what it panicked with.
fn failure_of<F: Future<Output: test_support::TestOutput>>(body: impl Fn() -> F) -> Option<String> {
    let run = panic::AssertUnwindSafe(|| test_support::run("body", None, body));
    let payload = panic::catch_unwind(run).err()?;
    Some(payload.downcast_ref::<String>().expect("a formatted message").clone())
}

#[corering::test]
async fn a_body_may_end_without_a_result() {
    corering::yield_now().await;
}

#[corering::test]
async fn a_body_may_use_the_question_mark() -> io::Result<()> {
    let listener = corering::net::TcpListener::bind("127.0.0.1:0").await?;
    assert_ne!(listener.local_addr()?.port(), 0);
    Ok(())
}

#[test]
fn a_body_runs_once_on_each_driver_named() {
    let body = || async {
        let ran_on = test_support::current_driver();
        RAN_ON.with_borrow_mut(|drivers| drivers.push(ran_on));
    };
    assert_eq!(failure_of(body), None);
    RAN_ON.with_borrow(|drivers| assert_eq!(*drivers, test_support::drivers()));
}

#[test]
fn an_error_fails_the_test_and_names_the_driver() {
    let message = failure_of(|| async { Err::<(), _>("no such luck") }).expect("it failed");
    let driver = test_support::drivers()[0];
    assert_eq!(message, format!("on {driver}: \"no such luck\""));
}

#[test]
fn a_buffer_that_was_forgotten_fails_the_test() {
    let body = || async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut client = TcpStream::connect(listener.local_addr()?).await?;
        listener.accept().await?.write_all("bytes").await?;
        std::mem::forget(client.recv().await?);
        Ok::<(), io::Error>(())
    };
    let message = failure_of(body).expect("it failed");
    assert!(message.contains("left behind: 1 "), "{message}");
}

#[test]
fn main_returns_what_its_body_returns() {
    #[corering::main]
    async fn program() -> Result<u32, Cell<u8>> {
        corering::yield_now().await;
        Ok(42)
    }
    assert_eq!(program(), Ok(42));
}

/// Names that an expansion may have used itself.
macro_rules! of_all_names {
    ($with:ident) => {
        $with! {
            runtime error name run main test run_main driver only output body corering core std
        }
    };
}

#[test]
fn main_may_have_any_name() {
    macro_rules! programs {
        ($($name:ident)*) => {$({
            #[corering::main]
            async fn $name() -> &'static str {
                corering::yield_now().await;
                stringify!($name)
            }
            assert_eq!($name(), stringify!($name));
        })*};
    }
    of_all_names!(programs);
}

#[test]
fn main_may_stand_beside_constants_of_any_name() {
    macro_rules! constants {
        ($($name:ident)*) => {
            $(
                #[allow(dead_code, non_upper_case_globals)]
                const $name: u8 = 1;
            )*
            #[corering::main]
            async fn program() -> u8 {
                0 $(+ $name)*
            }
            assert_eq!(program(), [$($name),*].len() as u8);
        };
    }
    of_all_names!(constants);
}

/// Tests of such names, and constants of them beside one.
mod named {
    macro_rules! tests {
        ($($name:ident)*) => {$(
            #[corering::test]
            async fn $name() {
                corering::yield_now().await;
            }
        )*};
    }
    of_all_names!(tests);

    mod constants {
        macro_rules! constants {
            ($($name:ident)*) => {$(
                #[allow(dead_code, non_upper_case_globals)]
                const $name: u8 = 1;
            )*};
        }
        of_all_names!(constants);

        #[corering::test]
        async fn beside() {
            corering::yield_now().await;
        }
    }
}

#[test]
fn main_takes_the_driver_it_is_told() {
    #[corering::main(driver = "epoll")]
    async fn program() -> Driver {
        test_support::current_driver()
    }
    assert_eq!(program(), Driver::Epoll);
}

#[test]
fn the_last_line_says_how_many_bodies_ran_on_each_driver() {
    let said = |drivers| {
        let name = "a_body_may_end_without_a_result";
        stderr(&Child::of(name).env("CORERING_TEST_DRIVERS", drivers).output())
    };
    assert!(said("epoll").ends_with("corering: bodies run: uring 0, epoll 1\n"));
    assert!(said("epoll,epoll").ends_with("corering: bodies run: uring 0, epoll 1\n"));
}

#[test]
fn an_unknown_driver_in_the_environment_fails_the_test_and_names_the_known_ones() {
    let child = Child::of("a_body_may_end_without_a_result");
    let output = child.env("CORERING_TEST_DRIVERS", "kqueue").output();
    assert!(!output.status.success());
    let said = stderr(&output);
    assert!(said.contains("`kqueue`") && said.contains("uring and epoll"), "{said}");
}

#[test]
fn a_driver_that_is_refused_fails_the_test_with_the_reason() {
    let child = Child::of("a_body_may_end_without_a_result").deny_io_uring(libc::EPERM);
    let output = child.env("CORERING_TEST_DRIVERS", "uring,epoll").output();
    assert!(!output.status.success());
    let said = stderr(&output);
    assert!(
        said.contains("names uring, which is refused here") && said.contains("seccomp"),
        "{said}"
    );
}

fn stderr(output: &Output) -> String {
    child::text(&output.stderr)
}
