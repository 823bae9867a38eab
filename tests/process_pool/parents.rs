//! The end of the program that has a pool. The program is a process of its own, which the test ends.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::{env, process};

use corering::process::Pool;
use corering::{Runtime, signal, test_support};

use crate::functions::{FUNCTIONS, loops, waits};
use crate::processes::{Gate, kill, runs, wait_until};

/// Set in the program, with the name of its driver.
const PROGRAM: &str = "CORERING_TEST_PROGRAM";

const WORKERS: usize = 3;

/// A program whose workers all compute.
struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
    workers: Vec<u32>,
}

impl Program {
    fn start(name: &str, driver: corering::Driver) -> Program {
        let mut command = Command::new("/proc/self/exe");
        command.args(["--one-test", name]).env(PROGRAM, driver.to_string()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the test runs again");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("it is text");
        let workers: Vec<u32> =
            line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        assert_eq!(workers.len(), WORKERS, "{line}");
        assert!(workers.iter().all(|worker| runs(*worker)));
        Program { child, output, workers }
    }

    /// Ends the program by a signal.
    fn end_by(mut self, signal: i32) -> (process::ExitStatus, String) {
        kill(self.child.id(), signal);
        let status = self.child.wait().expect("it is a child");
        let workers = &self.workers;
        wait_until("workers are left", || !workers.iter().any(|worker| runs(*worker)));
        let mut said = String::new();
        self.output.read_to_string(&mut said).expect("it is text");
        (status, said)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A test that fails leaves none that computes for ever.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for worker in self.workers.iter().filter(|worker| runs(**worker)) {
            kill(*worker, libc::SIGKILL);
        }
    }
}

/// What the program does: its workers begin, it says their numbers, and goes on with the gates.
fn program<F: Future<Output = io::Result<()>>>(
    function: Begin,
    rest: impl Fn(Rc<Pool>, Vec<corering::net::UnixStream>) -> F,
) {
    let driver = match env::var(PROGRAM).as_deref() {
        Ok("epoll") => corering::Driver::Epoll,
        _ => corering::Driver::Uring,
    };
    let runtime = Runtime::builder().driver(driver).build().expect("it was asked for");
    let run = runtime.block_on(async {
        let pool = Rc::new(Pool::builder(FUNCTIONS).workers(WORKERS).build()?);
        let mut gate = Gate::new().await?;
        for _ in 0..WORKERS {
            function(pool.clone(), gate.path());
        }
        let (mut gates, mut workers) = (Vec::new(), Vec::new());
        for _ in 0..WORKERS {
            let (stream, worker) = gate.begun().await?;
            gates.push(stream);
            workers.push(worker.to_string());
        }
        println!("{}", workers.join(" "));
        rest(pool, gates).await
    });
    run.expect("the program goes well");
}

type Begin = fn(Rc<Pool>, String);

fn begin_loop(pool: Rc<Pool>, path: String) {
    corering::spawn(async move { pool.call(loops, path).await });
}

fn begin_wait(pool: Rc<Pool>, path: String) {
    corering::spawn(async move {
        let answer = pool.call(waits, path).await.expect("it is waited for");
        println!("answer {answer}");
    });
}

fn is_program() -> bool {
    env::var_os(PROGRAM).is_some()
}

pub(crate) fn killed(name: &str) {
    if is_program() {
        return program(begin_loop, async |_, _| std::future::pending().await);
    }
    on_each_driver(name, |program| {
        program.end_by(libc::SIGKILL);
    });
}

pub(crate) fn terminated(name: &str) {
    if is_program() {
        return program(begin_loop, async |_, _| std::future::pending().await);
    }
    on_each_driver(name, |program| {
        let (status, _) = program.end_by(libc::SIGTERM);
        assert_eq!(status.signal(), Some(libc::SIGTERM));
    });
}

pub(crate) fn handles_sigterm(name: &str) {
    if is_program() {
        let stop = signal::terminate();
        let stop = std::cell::RefCell::new(Some(stop));
        return program(begin_wait, async |pool, gates| {
            let stop = stop.take().expect("it is asked for once");
            stop.await?;
            drop(gates);
            pool.shutdown().await;
            Ok(())
        });
    }
    on_each_driver(name, |program| {
        let mut workers = program.workers.clone();
        let (status, said) = program.end_by(libc::SIGTERM);
        assert!(status.success(), "{status}");
        let answers = said.lines().filter_map(|line| line.strip_prefix("answer ")?.parse().ok());
        let mut answers: Vec<u32> = answers.collect();
        answers.sort_unstable();
        workers.sort_unstable();
        assert_eq!(answers, workers);
    });
}

/// Runs a program on each driver, and counts it as a body.
fn on_each_driver(name: &str, end: impl Fn(Program)) {
    test_support::run(name, None, async || {
        let driver = test_support::current_driver();
        end(Program::start(name, driver));
    });
}
