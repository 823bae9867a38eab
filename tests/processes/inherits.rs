//! What a process has of the program that starts it: what the program was started with, and nothing of
//! what the runtime has made of it.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use corering::net::{TcpListener, TcpStream};
use corering::process::Command;
use corering::{Runtime, test_support};

use crate::{alone, child, endless, shell};

/// What a program prints.
async fn output_of(command: &mut Command) -> io::Result<String> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("corering-output-{}-{number}", std::process::id());
    let path: PathBuf = std::env::temp_dir().join(name);
    command.stdout(File::create(&path)?);
    let status = command.spawn().await?.wait().await?;
    let text = fs::read_to_string(&path)?;
    fs::remove_file(&path)?;
    assert!(status.success(), "{status}: {text}");
    Ok(text)
}

/// The numbers of the descriptors that a child lists. One of them is that of the list itself.
fn descriptors_in(listed: &str) -> Vec<u32> {
    listed.lines().map(|number| number.parse().expect("a number")).collect()
}

#[test]
fn descriptors_are_not_inherited() {
    alone("inherits::descriptors_are_not_inherited", |driver| {
        let list = "ls /proc/self/fd";
        // Those that the program itself was started with.
        let mut before = std::process::Command::new("/bin/sh");
        let before = before.args(["-c", list]).stdin(std::process::Stdio::null()).output()?;
        let before = descriptors_in(&child::text(&before.stdout));
        assert!(before.len() >= 4, "{before:?}");
        Runtime::builder().driver(driver).build()?.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let client = TcpStream::connect(listener.local_addr()?).await?;
            let mut sleeper = endless().kill_on_drop(true).spawn().await?;
            let stop = corering::signal::shutdown();
            let mut pipes = Vec::new();
            for _ in 0..50 {
                pipes.push(io::pipe()?);
            }
            let file = corering::fs::File::open("/proc/self/exe").await?;
            let listed = descriptors_in(&output_of(&mut shell(list)).await?);
            assert_eq!(listed, before);
            drop((client, file, stop));
            sleeper.kill().await
        })
    });
}

#[test]
fn mask_and_cpus_are_those_of_program() {
    let test = "inherits::mask_and_cpus_are_those_of_program";
    if !child::is_child() {
        return child::Child::of(test).passes();
    }
    let fields = |status: &str| -> Vec<String> {
        let wanted = |line: &&str| line.starts_with("SigBlk") || line.starts_with("Cpus_allowed:");
        status.lines().filter(wanted).map(str::to_owned).collect()
    };
    let own = fields(&fs::read_to_string("/proc/thread-self/status").expect("proc is mounted"));
    for driver in test_support::drivers() {
        let ended = Runtime::builder().driver(driver).run(|_| async {
            let told = output_of(Command::new("cat").arg("/proc/self/status")).await?;
            // By fork, as well.
            let forked =
                Command::new("cat").arg("/proc/self/status").new_session().to_output().await?;
            io::Result::Ok((fields(&told), fields(&forked)))
        });
        for told in ended.expect("the driver is there") {
            let (told, forked) = told.expect("cat is everywhere");
            assert_eq!((&told, &forked), (&own, &own), "on {driver}");
        }
    }
}

trait ToOutput {
    async fn to_output(&mut self) -> io::Result<String>;
}

impl ToOutput for Command {
    async fn to_output(&mut self) -> io::Result<String> {
        output_of(self).await
    }
}

fn set_soft_limit(soft: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer leads to an rlimit that outlives the call.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
    limit.rlim_cur = soft;
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    limit.rlim_max
}

/// The limits of descriptors that a child has, soft and hard.
async fn limits_of_a_child() -> io::Result<(u64, u64)> {
    let told = output_of(&mut shell("ulimit -Sn; ulimit -Hn")).await?;
    let limits: Vec<u64> = told.lines().map(|line| line.parse().expect("a number")).collect();
    Ok((limits[0], limits[1]))
}

/// How often the program has forked. `posix_spawn` runs no such handler.
static FORKS: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn count_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn raised_descriptor_limit_is_put_back_in_child() {
    alone("inherits::raised_descriptor_limit_is_put_back_in_child", |driver| {
        let hard = set_soft_limit(200);
        let runtime = Runtime::builder().driver(driver).build()?;
        runtime.block_on(async {
            assert_eq!(limits_of_a_child().await?, (200, hard));
            let mut again = shell("test $(ulimit -Sn) = 200");
            for _ in 0..3 {
                assert!(again.spawn().await?.wait().await?.success());
            }
            // The program's own choice is left alone.
            set_soft_limit(300);
            assert_eq!(limits_of_a_child().await?, (300, hard));
            io::Result::Ok(())
        })
    });
}

#[test]
fn limit_not_raised_needs_no_fork() {
    alone("inherits::limit_not_raised_needs_no_fork", |driver| {
        FORKS.store(0, Ordering::Relaxed);
        // SAFETY: the handler is a function for the life of the program and adds to an atomic.
        assert_eq!(unsafe { libc::pthread_atfork(Some(count_fork), None, None) }, 0);
        let hard = set_soft_limit(200);
        let builder = Runtime::builder().driver(driver).raise_descriptor_limit(false);
        builder.build()?.block_on(async {
            assert_eq!(limits_of_a_child().await?, (200, hard));
            let mut child = endless().process_group(0).current_dir("/").spawn().await?;
            child.kill().await
        })?;
        assert_eq!(FORKS.load(Ordering::Relaxed), 0, "the standard library would not have");
        Ok(())
    });
}
