//! Standard streams of children: pipelines, files, sockets, and what children do not inherit.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use corering::Runtime;
use corering::fs::File;
use corering::io::pipe;
use corering::net::{TcpListener, TcpStream, UnixStream};
use corering::process::{Child, Command, Stdio, shell};
use futures_util::future::try_join_all;

use crate::alone;

/// Whether a child's standard input may answer that it would have to wait.
async fn child_sees_nonblocking(stdio: impl Into<Stdio>) -> io::Result<bool> {
    let mut command = shell("exec grep flags /proc/self/fdinfo/0");
    let output = command.stdin(stdio).output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let flags = text.trim_start_matches("flags:").trim();
    let flags = i32::from_str_radix(flags, 8).unwrap_or_else(|_| panic!("flags: {text:?}"));
    Ok(flags & libc::O_NONBLOCK != 0)
}

async fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    Ok((client, listener.accept().await?))
}

#[corering::test]
async fn output_of_one_child_is_input_of_the_next() -> io::Result<()> {
    let mut first = Command::new("printf").arg("b\na\n").stdout(Stdio::piped()).spawn().await?;
    let between = first.stdout.take().expect("it is piped");
    let mut second = Command::new("sort").stdin(between).stdout(Stdio::piped()).spawn().await?;
    let between = second.stdout.take().expect("it is piped");
    let output = Command::new("tr").args(["a-z", "A-Z"]).stdin(between).output().await?;
    assert_eq!(output.stdout, b"A\nB\n");
    assert!(first.wait().await?.success() && second.wait().await?.success());
    Ok(())
}

#[corering::test]
async fn input_of_one_child_is_output_of_another() -> io::Result<()> {
    let mut last =
        Command::new("sort").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
    let between = last.stdin.take().expect("it is piped");
    let status = Command::new("printf").arg("b\na\n").stdout(between).status().await?;
    assert!(status.success());
    assert_eq!(last.wait_with_output().await?.stdout, b"a\nb\n");
    Ok(())
}

#[corering::test]
async fn files_are_standard_streams() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("corering-stdio-{}", std::process::id()));
    let ours = File::create(&path).await?;
    assert!(Command::new("echo").arg("ours").stdout(ours).status().await?.success());
    let output = Command::new("cat").stdin(File::open(&path).await?).output().await?;
    assert_eq!(output.stdout, b"ours\n");
    let theirs = fs::File::create(&path)?;
    assert!(Command::new("echo").arg("theirs").stdout(theirs).status().await?.success());
    let descriptor = OwnedFd::from(fs::File::open(&path)?);
    let output = Command::new("cat").stdin(descriptor).output().await?;
    assert_eq!(output.stdout, b"theirs\n");
    fs::remove_file(&path)
}

#[corering::test]
async fn streams_of_the_standard_library_are_standard_streams() -> io::Result<()> {
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(b"through a pipe")?;
    drop(writer);
    let output = Command::new("cat").stdin(reader).output().await?;
    assert_eq!(output.stdout, b"through a pipe");

    let (mut reader, writer) = io::pipe()?;
    assert!(Command::new("echo").arg("hello").stdout(writer).status().await?.success());
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    assert_eq!(text, "hello\n");

    let null = std::process::Stdio::null();
    assert!(Command::new("cat").stdin(null).status().await?.success());
    Ok(())
}

#[corering::test]
async fn sockets_are_standard_streams() -> io::Result<()> {
    let (mut client, server) = tcp_pair().await?;
    let mut command = Command::new("tr");
    command.args(["a-z", "A-Z"]).stdin(server).stdout(Stdio::piped());
    let child = command.spawn().await?;
    client.write_all("shout").await?;
    client.close().await?;
    assert_eq!(child.wait_with_output().await?.stdout, b"SHOUT");

    let (mut client, server) = UnixStream::pair()?;
    assert!(Command::new("echo").arg("hello").stdout(server).status().await?.success());
    assert_eq!(client.recv().await?, "hello\n");
    assert!(client.recv().await?.is_empty());
    Ok(())
}

#[corering::test]
async fn children_wait_for_streams_that_ours_did_not() -> io::Result<()> {
    let (_client, server) = tcp_pair().await?;
    assert!(!child_sees_nonblocking(server).await?);
    let (_client, server) = UnixStream::pair()?;
    assert!(!child_sees_nonblocking(server).await?);
    // One that has waited, by which epoll has made it so at the latest.
    let (mut client, mut server) = UnixStream::pair()?;
    client.write_all("question").await?;
    assert_eq!(server.recv().await?, "question");
    assert!(!child_sees_nonblocking(server).await?);
    let (mut reader, mut writer) = pipe()?;
    writer.write_all("hello").await?;
    assert_eq!(reader.recv().await?, "hello");
    assert!(!child_sees_nonblocking(reader).await?);
    Ok(())
}

#[corering::test]
async fn standard_error_goes_where_standard_output_goes() -> io::Result<()> {
    let line = "echo 1; echo 2 >&2; echo 3; echo 4 >&2";
    let output = shell(line).stderr_to_stdout().output().await?;
    assert_eq!((&*output.stdout, &*output.stderr), (&b"1\n2\n3\n4\n"[..], &b""[..]));

    let child = shell(line).stdout(Stdio::piped()).stderr_to_stdout().spawn().await?;
    assert!(child.stderr.is_none());
    assert_eq!(child.wait_with_output().await?.stdout, b"1\n2\n3\n4\n");

    let (mut reader, writer) = pipe()?;
    assert!(shell(line).stdout(writer).stderr_to_stdout().status().await?.success());
    let mut read = Vec::new();
    loop {
        let bytes = reader.recv().await?;
        if bytes.is_empty() {
            break;
        }
        read.extend_from_slice(&bytes);
    }
    assert_eq!(read, b"1\n2\n3\n4\n");
    Ok(())
}

/// Fifty children at once, each of which writes what it reads.
async fn fifty() -> io::Result<Vec<Child>> {
    let children = (0..50).map(async |_| {
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await
    });
    try_join_all(children).await
}

#[corering::test]
async fn children_started_together_do_not_share_pipes() -> io::Result<()> {
    // Any of the others that had inherited the end that is written to would keep this one waiting.
    let mut children = fifty().await?;
    while let Some(child) = children.pop() {
        let output = child.communicate("its own").await?;
        assert!(output.status.success());
        assert_eq!(output.stdout, b"its own");
    }
    Ok(())
}

/// What the descriptors of `ls -l /proc/self/fd` lead to, without the standard ones and the folder's.
fn more_than_standard(listed: &[u8]) -> Vec<String> {
    let listed = String::from_utf8_lossy(listed);
    let links = listed.lines().filter_map(|line| line.split_once(" -> "));
    let more = links.filter(|(line, link)| {
        let is_standard = [" 0", " 1", " 2"].iter().any(|end| line.ends_with(end));
        !is_standard && !link.ends_with("/fd")
    });
    let mut more: Vec<_> = more.map(|(_, link)| link.to_owned()).collect();
    more.sort();
    more
}

#[test]
fn child_inherits_standard_streams_only() {
    alone("stdio::child_inherits_standard_streams_only", |driver| {
        let mut list = std::process::Command::new("ls");
        list.args(["-l", "/proc/self/fd"]);
        // Those that this process was started with, and that nobody closed.
        let before = more_than_standard(&list.output()?.stdout);
        Runtime::builder().driver(driver).build()?.block_on(async {
            let (_client, _server) = tcp_pair().await?;
            let (_reader, _writer) = pipe()?;
            let _file = File::open("/dev/null").await?;
            let others = fifty().await?;
            let listed = Command::from(list).output().await?;
            assert_eq!(more_than_standard(&listed.stdout), before);
            for mut child in others {
                child.kill().await?;
            }
            Ok(())
        })
    });
}
