//! Programs that asyncio's documentation teaches by, each beside its twin in Python: `NAME.rs` and
//! `NAME.py` print the same. The page `docs/coming-from-asyncio.md` shows both.

use std::env;
use std::process::ExitCode;

/// Declares the modules, and finds a program by the name of its file.
macro_rules! programs {
    ($($name:ident),+ $(,)?) => {
        $(mod $name;)+

        const NAMES: &[&str] = &[$(stringify!($name)),+];

        fn run(name: &str) -> Result<(), Box<dyn std::error::Error>> {
            match name {
                $(stringify!($name) => Ended::into_result($name::main()),)+
                _ => Err(format!("the programs are: {}", NAMES.join(", ")).into()),
            }
        }
    };
}

programs![
    hello,
    gather,
    task_group,
    timeout,
    shield,
    workers,
    event,
    tcp_echo,
    http_headers,
    udp_echo,
    watch_fd,
    pipe_lines,
    to_thread,
    thread_pool,
    from_thread,
    communicate,
    shell,
    child_lines,
    child_limit,
    process_pool,
    signals,
    call_later,
];

/// What a program's `main` returns.
trait Ended {
    fn into_result(self) -> Result<(), Box<dyn std::error::Error>>;
}

impl Ended for () {
    fn into_result(self) -> Result<(), Box<dyn std::error::Error>> {
        Ok(())
    }
}

impl<E: std::error::Error + 'static> Ended for Result<(), E> {
    fn into_result(self) -> Result<(), Box<dyn std::error::Error>> {
        Ok(self?)
    }
}

fn main() -> ExitCode {
    let mut name = env::args().nth(1).unwrap_or_default();
    // A worker of the program that has some: there it is the first line of `main`.
    if name == "--corering-worker" {
        name = "process_pool".to_owned();
    }
    match run(&name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("asyncio: {error}");
            ExitCode::FAILURE
        }
    }
}
