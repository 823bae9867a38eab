//! What `#[corering::test]` expands to: a body that runs once per driver, each time on a fresh
//! runtime that is asked afterwards what was left behind.
//!
//! It is public because tests of other crates reach it through the attribute, and the project's
//! measurements need `nop`. It is hidden because nothing in it is meant to be called by hand.

#![forbid(unsafe_code)]

use std::env;
use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::process;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::driver::{self, Metrics, submit};
use crate::op;
use crate::runtime::{Builder, Driver, Runtime, ShutdownReport};
use crate::sys::exit;

/// Names the drivers, separated by commas.
const VARIABLE: &str = "CORERING_TEST_DRIVERS";
const DEFAULT: &str = "uring,epoll";

/// Runs `body` once on each driver that the environment names, or on `only` if that is among
/// them.
///
/// # Panics
///
/// If the environment names an unknown driver, if a named driver is refused by the kernel, if the
/// body panics or returns an error, and if it leaves an operation or a buffer behind.
pub fn run<B, F>(name: &str, only: Option<Driver>, body: B)
where
    B: Fn() -> F,
    F: Future,
    F::Output: TestOutput,
{
    run_configured(name, only, |builder| builder, body);
}

/// As [`run`], on runtimes that `configure` has changed something of.
///
/// # Panics
///
/// As [`run`].
pub fn run_configured<C, B, F>(name: &str, only: Option<Driver>, configure: C, body: B)
where
    C: Fn(Builder) -> Builder,
    B: Fn() -> F,
    F: Future,
    F::Output: TestOutput,
{
    let wanted = drivers().into_iter().filter(|driver| only.is_none_or(|only| only == *driver));
    for driver in wanted {
        count(driver);
        run_on(name, driver, configure(Runtime::builder()), body());
    }
}

fn run_on<F>(name: &str, driver: Driver, builder: Builder, body: F)
where
    F: Future,
    F::Output: TestOutput,
{
    // With captured output this is shown only when the test fails, and then says on what.
    println!("{name} on {driver}");
    let mut runtime = match builder.driver(driver).build() {
        Ok(runtime) => runtime,
        Err(error) => panic!(
            "{VARIABLE} names {driver}, which is refused here: {error}. Where that is so, name \
             the other driver alone"
        ),
    };
    if let Some(failure) = runtime.block_on(body).into_failure() {
        panic!("on {driver}: {failure}");
    }
    // The body is gone and its tasks are cancelled: whatever is left now is left for good.
    let report = runtime.end(runtime.times.shutdown);
    let left = left_behind(&runtime.metrics(), &report);
    assert!(left.is_empty(), "on {driver}, the body left behind: {}", left.join(", "));
}

/// What a runtime still holds after its end, in words.
fn left_behind(metrics: &Metrics, report: &ShutdownReport) -> Vec<String> {
    [
        ("operations in flight", report.leaked_operations as u64),
        ("closures on the pool", report.running_closures as u64),
        ("slots", metrics.slots_in_use),
        ("buffers of the group", metrics.group_buffers_out),
        ("lent buffers", metrics.lent_buffers_out),
        ("registrations", metrics.registrations),
        ("timers", metrics.timers),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(what, count)| format!("{count} {what}"))
    .collect()
}

/// The driver that runs the calling task.
///
/// # Panics
///
/// Outside a runtime.
pub fn current_driver() -> Driver {
    match driver::current() {
        Ok(driver) => Driver::of(&driver),
        Err(error) => panic!("{error}"),
    }
}

/// One trip to the kernel and back: `IORING_OP_NOP`, or a system call that does as little.
///
/// # Cancel safety
///
/// Nothing can be lost.
///
/// # Errors
///
/// None but those of using a runtime where there is none.
pub async fn nop() -> io::Result<()> {
    submit(op::nop::Nop).await
}

/// The drivers that tests run on, in the order in which the environment names them.
///
/// # Panics
///
/// If the environment names none, or an unknown one.
pub fn drivers() -> Vec<Driver> {
    let value = match env::var(VARIABLE) {
        Ok(value) => value,
        Err(env::VarError::NotPresent) => DEFAULT.to_owned(),
        Err(error) => panic!("{VARIABLE}: {error}"),
    };
    match parse_drivers(&value) {
        Ok(drivers) => drivers,
        Err(message) => panic!("{message}"),
    }
}

/// What a test body may return.
#[diagnostic::on_unimplemented(
    message = "a body under `#[corering::test]` cannot return `{Self}`",
    note = "it returns `()` or `Result<(), E>` with `E: Debug`"
)]
pub trait TestOutput {
    /// The error to fail the test with.
    fn into_failure(self) -> Option<String>;
}

impl TestOutput for () {
    fn into_failure(self) -> Option<String> {
        None
    }
}

impl<E: Debug> TestOutput for Result<(), E> {
    fn into_failure(self) -> Option<String> {
        self.err().map(|error| format!("{error:?}"))
    }
}

fn parse_drivers(value: &str) -> Result<Vec<Driver>, String> {
    let mut drivers = Vec::new();
    for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let driver = match name {
            "uring" => Driver::Uring,
            "epoll" => Driver::Epoll,
            other => {
                return Err(format!(
                    "{VARIABLE} names `{other}`, which is no driver of a test: uring and epoll are"
                ));
            }
        };
        if !drivers.contains(&driver) {
            drivers.push(driver);
        }
    }
    if drivers.is_empty() {
        return Err(format!("{VARIABLE} names no driver: give uring, epoll, or both"));
    }
    Ok(drivers)
}

/// How many bodies were started on each driver in this process.
static ON_URING: AtomicUsize = AtomicUsize::new(0);
static ON_EPOLL: AtomicUsize = AtomicUsize::new(0);

/// The process that reports. A child that a test forks inherits the hook, and says nothing.
static REPORTER: AtomicU32 = AtomicU32::new(0);

fn count(driver: Driver) {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        REPORTER.store(process::id(), Ordering::Relaxed);
        exit::at_exit(report).expect("the C library keeps at least 32 exit hooks");
    });
    let counter = if driver == Driver::Uring { &ON_URING } else { &ON_EPOLL };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The last line of a test binary, past the harness, which would swallow it when all is well.
extern "C" fn report() {
    if REPORTER.load(Ordering::Relaxed) != process::id() {
        return;
    }
    let uring = ON_URING.load(Ordering::Relaxed);
    let epoll = ON_EPOLL.load(Ordering::Relaxed);
    exit::write_stderr(&format!("corering: bodies run: uring {uring}, epoll {epoll}\n"));
}

#[cfg(test)]
mod tests {
    use super::{current_driver, drivers, left_behind, parse_drivers};
    use crate::driver::Metrics;
    use crate::runtime::{Driver, ShutdownReport};

    #[test]
    fn drivers_run_once_each_in_the_order_named() {
        let parsed = parse_drivers("epoll, uring,epoll").expect("known names");
        assert_eq!(parsed, [Driver::Epoll, Driver::Uring]);
    }

    #[test]
    fn an_unknown_driver_is_answered_with_the_known_ones() {
        let message = parse_drivers("uring,kqueue").expect_err("no such driver");
        assert!(message.contains("`kqueue`") && message.contains("uring and epoll"), "{message}");
        assert!(parse_drivers("auto").is_err(), "a test says which driver it ran on");
    }

    #[test]
    fn no_driver_at_all_is_an_error_and_no_empty_success() {
        assert!(parse_drivers(" , ").is_err());
    }

    #[test]
    fn what_is_left_behind_is_counted_in_words() {
        let nothing = ShutdownReport::default();
        let metrics = Metrics { slots_in_use: 2, lent_buffers_out: 1, ..Metrics::default() };
        assert_eq!(left_behind(&metrics, &nothing), ["2 slots", "1 lent buffers"]);
        assert_eq!(left_behind(&Metrics::default(), &nothing), [""; 0]);
    }

    // A second copy of the library, which the tests of this package also link, would panic here.
    #[corering::test]
    async fn the_attribute_of_a_unit_test_runs_the_library_under_test() {
        assert!(drivers().contains(&current_driver()));
    }
}
