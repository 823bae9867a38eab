//! Sends bytes through `cat` and checks what comes back, for `scripts/processes.sh`: as a stream, of which
//! the process must never hold more than a bound, and by `communicate`, which must not deadlock.
//!
//! ```console
//! $ child_pipes --driver epoll stream --megabytes 5000 --resident-max-mib 32
//! $ child_pipes --driver uring communicate --megabytes 100
//! ```
//!
//! Exit status: 0 done and right; 1 a byte is wrong or missing, or there was too much in memory; 3 the
//! environment refuses.

use std::fs;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use corering::buf::IoBuf;
use corering::io::{PipeReader, PipeWriter};
use corering::process::{Command, Stdio, shell};
use corering::time::timeout;
use corering::{Driver, Runtime};

/// Sends bytes through `cat`, checks what comes back, and says how long that took.
#[derive(Debug, Parser)]
#[command(name = "child_pipes")]
struct Arguments {
    /// How the kernel is reached.
    #[arg(long, default_value_t = Driver::Auto)]
    driver: Driver,

    #[command(subcommand)]
    way: Way,
}

#[derive(Debug, Subcommand)]
enum Way {
    /// Writes and reads at the same time, and keeps nothing.
    Stream {
        /// Bytes, in millions.
        #[arg(long, default_value_t = 5_000)]
        megabytes: u64,

        /// The most that may ever be in memory of this process, in MiB.
        #[arg(long, default_value_t = 32)]
        resident_max_mib: u64,
    },
    /// Has `communicate` write and collect.
    Communicate {
        /// Bytes each way, in millions.
        #[arg(long, default_value_t = 100)]
        megabytes: usize,
    },
}

/// Nothing here takes so long unless it hangs.
const LIMIT: Duration = Duration::from_secs(300);

/// A prime, so that no piece of the stream stands at the place of another.
const BLOCK_LEN: usize = 262_139;

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

async fn feed(mut stdin: PipeWriter, block: Rc<[u8]>, bytes: u64) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let count = left.min(block.len() as u64) as usize;
        stdin.write_all(block.clone().slice(..count)).await?;
        left -= count as u64;
    }
    stdin.close().await
}

/// Reads to the end, and returns how many bytes came. The first that differs is an error.
async fn check(mut stdout: PipeReader, block: &[u8]) -> io::Result<u64> {
    let mut count = 0;
    loop {
        let received = stdout.recv().await?;
        if received.is_empty() {
            return Ok(count);
        }
        let mut rest = &received[..];
        while !rest.is_empty() {
            let wanted = &block[(count % block.len() as u64) as usize..];
            let len = wanted.len().min(rest.len());
            if rest[..len] != wanted[..len] {
                return Err(io::Error::other(format!("a byte behind the first {count} is wrong")));
            }
            count += len as u64;
            rest = &rest[len..];
        }
    }
}

async fn stream(bytes: u64) -> io::Result<()> {
    let mut child =
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        unreachable!("both are piped")
    };
    let block: Rc<[u8]> = pattern(BLOCK_LEN).into();
    let (fed, checked) =
        futures_util::future::join(feed(stdin, block.clone(), bytes), check(stdout, &block)).await;
    let count = checked?;
    fed?;
    let status = child.wait().await?;
    if count != bytes || !status.success() {
        return Err(io::Error::other(format!("{count} of {bytes} bytes came back; {status}")));
    }
    Ok(())
}

/// By a child that writes when it has read, and by one that fills its standard error before it reads.
async fn communicate(len: usize) -> io::Result<()> {
    let input = Rc::new(pattern(len));
    for (line, of_stderr) in
        [("exec cat".to_owned(), 0), (format!("head -c {len} /dev/zero >&2; exec cat"), len)]
    {
        let mut command = shell(&line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().await?;
        let output = child.communicate(input.clone()).time_limit(LIMIT).await?;
        let is_right = output.status.success()
            && output.stdout[..] == input[..]
            && output.stderr.len() == of_stderr
            && output.stderr.iter().all(|byte| *byte == 0);
        if !is_right {
            let (stdout, stderr) = (output.stdout.len(), output.stderr.len());
            let text = format!("of {len} bytes came {stdout}, and {stderr} of {of_stderr}");
            return Err(io::Error::other(text));
        }
    }
    Ok(())
}

/// The most that was ever in memory of this process, in bytes.
fn resident_max() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("the kernel tells no VmHWM"))
}

fn run(arguments: &Arguments, runtime: &Runtime) -> io::Result<()> {
    let driver = runtime.driver();
    let start = Instant::now();
    match arguments.way {
        Way::Stream { megabytes, resident_max_mib } => {
            runtime.block_on(timeout(LIMIT, stream(megabytes * 1_000_000)))??;
            let seconds = start.elapsed().as_secs_f64();
            let resident = resident_max()? as f64 / f64::from(1 << 20);
            println!(
                "{driver}: {megabytes} MB through cat in {seconds:.2} s, {:.0} MB/s; \
                 at most {resident:.1} MiB in memory",
                megabytes as f64 / seconds
            );
            if resident > resident_max_mib as f64 {
                let text = format!("more than {resident_max_mib} MiB were in memory");
                return Err(io::Error::other(text));
            }
        }
        Way::Communicate { megabytes } => {
            runtime.block_on(communicate(megabytes * 1_000_000))?;
            let seconds = start.elapsed().as_secs_f64();
            // In, out, and a second time with as much on the standard error.
            println!(
                "{driver}: {megabytes} MB by communicate, and again behind a full standard error, in \
                 {seconds:.2} s, {:.0} MB/s",
                5.0 * megabytes as f64 / seconds
            );
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match Runtime::builder().driver(arguments.driver).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("child_pipes: {error}");
            return ExitCode::from(3);
        }
    };
    match run(&arguments, &runtime) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("child_pipes: {error}");
            ExitCode::FAILURE
        }
    }
}
