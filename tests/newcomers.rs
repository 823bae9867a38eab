//! What a newcomer writes first: it compiles, or the compiler answers with a sentence of ours.
//!
//! One cargo checks all snippets, each a program of one package that depends on this one. So the
//! toolchain, its flags and the versions of all crates are those of this test, and cargo knows which
//! build of the library belongs to it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Bodies of an `async fn` that has a `stream` and returns an `io::Result`; or programs, if they have a
/// `main`.
type Snippet = (&'static str, &'static str);

/// A buffer that is no buffer, and what its author is told.
const NO_BUFFERS: [Snippet; 11] = [
    ("write_a_borrowed_vector", "let buf = vec![1]; stream.write_all(&buf).await?;"),
    ("write_a_borrowed_string", "let text = String::new(); stream.write_all(&text).await?;"),
    ("write_an_array", "stream.write_all([0_u8; 16]).await?;"),
    ("write_a_mutable_slice", "let mut buf = [0_u8; 4]; stream.write(&mut buf[..]).await?;"),
    ("write_borrowed_shared_bytes", "let b: Arc<[u8]> = Arc::new([1]); stream.write(&b).await?;"),
    ("read_into_a_borrowed_vector", "let mut buf = vec![0; 16]; stream.read(&mut buf).await?;"),
    ("read_into_a_borrowed_array", "let mut buf = [0_u8; 16]; stream.read(&mut buf).await?;"),
    ("read_into_a_slice", "let mut buf = vec![0; 16]; stream.read(&mut buf[4..]).await?;"),
    ("read_into_an_array", "stream.read([0_u8; 16]).await?;"),
    (
        "read_a_file_into_a_borrowed_vector",
        "let file = corering::fs::File::open(\"x\").await?; let mut buf = vec![0; 16];
        file.read_at(&mut buf, 0).await?;",
    ),
    ("read_into_a_string", "stream.read_exact(String::new(), 4).await?;"),
];

/// What lives too short to be a buffer: the compiler has said all there is to say.
const BORROWED_BYTES: [Snippet; 3] = [
    ("write_a_part_of_a_vector", "let buf = vec![1]; stream.write_all(&buf[..]).await?;"),
    ("write_a_borrowed_array", "let buf = [0_u8; 16]; stream.write_all(&buf).await?;"),
    ("write_borrowed_text", "let s = String::new(); stream.write_all(s.as_str()).await?;"),
];

const CHANNEL: &str = "use `corering::shard_channel` across threads";
const LOCK: &str = "is for the tasks of one shard; use `std::sync` across threads";
const HANDLE: &str = "the handle of a task stays on the task's shard; await it there";
const TOKEN: &str = "a `CancelToken` stays on its shard; send its `handle()` to other threads";
const GROUP: &str =
    "a group of tasks stays on its shard; send a handle of its token to other threads";
const RECEIVED: &str = "`RecvBuf` is memory of its shard and stays there; send a copy of its bytes";

const IN_MEMORY: &str =
    "a `DuplexStream` stays on its shard; use a `UnixStream::pair` across threads";

const PIPE: &str = "the end of a pipe stays on its shard; its descriptor may go to another";

const STREAM: &str = "a stream stays on its shard; `detach().await` gives what may go to another";

const WATCHER: &str =
    "a `Watcher` and its `Watches` stay on their shard; make a watcher where its events are taken";

const POOL: &str =
    "a `Pool` of processes stays on its shard; other shards call it by `Handle::spawn`";

const CACHE: &str =
    "a `FileCache` and its entries stay on their shard; each shard has a cache of its own";

/// What stays on its shard, sent to a thread, and what its author is told.
const SENT_TO_THREADS: [(&str, &str, &str); 23] = [
    (
        "send_a_file_cache",
        "let folder = corering::fs::File::open(\".\").await?;
        let cache: corering::fs::FileCache = corering::fs::FileCache::builder().beneath(&folder);
        thread::spawn(move || drop(cache));",
        CACHE,
    ),
    (
        "send_a_cached_file",
        "let folder = corering::fs::File::open(\".\").await?;
        let cache: corering::fs::FileCache = corering::fs::FileCache::builder().beneath(&folder);
        let file = std::rc::Rc::into_inner(cache.get(\"Cargo.toml\").await?);
        thread::spawn(move || drop(file));",
        CACHE,
    ),
    (
        "send_a_pool_of_processes",
        "let pool = corering::process::Pool::new(corering::process::functions![])?;
        thread::spawn(move || drop(pool));",
        POOL,
    ),
    (
        "send_a_sender",
        "let (sender, _receiver) = sync::channel::bounded(1);
        thread::spawn(move || sender.try_send(1));",
        CHANNEL,
    ),
    (
        "send_a_receiver",
        "let (_sender, mut receiver) = sync::channel::unbounded::<u8>();
        corering::spawn_blocking(move || receiver.try_recv()).await;",
        CHANNEL,
    ),
    (
        "lend_a_sender_of_one_value",
        "let (sender, _receiver) = sync::oneshot::channel::<u8>();
        thread::scope(|scope| { scope.spawn(|| sender.is_closed()); });",
        CHANNEL,
    ),
    (
        "send_a_future_with_a_sender",
        "fn spawn(_: impl Future + Send) {}
        let (sender, _receiver) = sync::channel::bounded(1);
        spawn(async move { std::future::ready(1).await; sender.try_send(1) });",
        CHANNEL,
    ),
    (
        "share_a_mutex",
        "let lock = Arc::new(sync::Mutex::new(1)); thread::spawn(move || drop(lock.try_lock()));",
        LOCK,
    ),
    (
        "share_a_notify",
        "let notify = Arc::new(sync::Notify::new()); thread::spawn(move || notify.notify_one());",
        LOCK,
    ),
    (
        "share_a_semaphore",
        "let permits = Arc::new(sync::Semaphore::new(1)); thread::spawn(move || permits.close());",
        LOCK,
    ),
    (
        "send_the_handle_of_a_task",
        "let task = corering::spawn(async {}); thread::spawn(move || task.abort());",
        HANDLE,
    ),
    (
        "send_the_handles_of_tasks",
        "let tasks = task::JoinSet::<()>::new(); thread::spawn(move || drop(tasks));",
        HANDLE,
    ),
    (
        "send_a_cancel_token",
        "let token = task::CancelToken::new(); thread::spawn(move || token.cancel());",
        TOKEN,
    ),
    (
        "send_a_group",
        "let group = task::TaskGroup::<()>::new(); thread::spawn(move || group.cancel());",
        GROUP,
    ),
    (
        "send_a_scope_of_a_group",
        "let scope = task::TaskGroup::<()>::new().scope(); thread::spawn(move || scope.cancel());",
        GROUP,
    ),
    ("send_a_stream", "thread::spawn(move || drop(stream));", STREAM),
    (
        "send_a_stream_to_the_pool",
        "corering::spawn_blocking(move || stream.set_nodelay(true)).await.ok();",
        STREAM,
    ),
    (
        "send_a_stream_to_another_shard",
        "let to = |shard: corering::Shard| shard.submit_to(1, move || async move { drop(stream) });",
        STREAM,
    ),
    (
        "send_a_half",
        "let (reader, _writer) = stream.into_split(); thread::spawn(move || drop(reader));",
        STREAM,
    ),
    (
        "send_a_stream_in_memory",
        "let (one, _other) = corering::io::duplex(1); thread::spawn(move || drop(one));",
        IN_MEMORY,
    ),
    (
        "send_an_end_of_a_pipe",
        "let (reader, _writer) = corering::io::pipe()?; thread::spawn(move || drop(reader));",
        PIPE,
    ),
    (
        "send_a_watcher",
        "let watcher = corering::fs::Watcher::new()?; thread::spawn(move || drop(watcher));",
        WATCHER,
    ),
    (
        "send_what_was_received",
        "let received = stream.recv().await?;
        corering::spawn_blocking(move || received.len()).await;",
        RECEIVED,
    ),
];

/// What stays on its shard with its streams, which say so, too.
const SENT_WITH_STREAMS: (&str, &str, &str) = (
    "send_a_child",
    "let mut child = corering::process::Command::new(\"true\").spawn().await?;
    thread::spawn(move || child.try_wait());",
    "a `Child` stays on its shard; start and await the process on one shard",
);

const OPERATION: &str = "an operation does nothing until it is awaited";

/// Futures without an `.await`.
const NOT_AWAITED: [(&str, &str, &str); 8] = [
    ("forget_to_await_recv", "stream.recv();", OPERATION),
    ("forget_to_await_read", "stream.read(vec![0; 4]);", OPERATION),
    ("forget_to_await_write", "stream.write(\"x\");", OPERATION),
    ("forget_to_await_write_all", "stream.write_all(\"x\");", OPERATION),
    (
        "forget_to_await_read_at",
        "corering::fs::File::open(\"x\").await?.read_at(vec![0; 4], 0);",
        OPERATION,
    ),
    ("forget_to_await_within", "corering::time::within(Duration::ZERO, stream.recv());", OPERATION),
    (
        "forget_to_await_sleep",
        "corering::time::sleep(Duration::ZERO);",
        "a sleep does nothing until it is awaited",
    ),
    (
        "forget_to_await_accept",
        "let listener = corering::net::TcpListener::bind(\"127.0.0.1:0\").await?; listener.accept();",
        "nothing is accepted until this is awaited",
    ),
];

/// The attributes, through the crate that re-exports them; macros/tests has the others.
const ATTRIBUTES: [(&str, &str, &str); 3] = [
    ("main_without_async", "#[corering::main] fn main() {}", "write `async` before `fn`"),
    (
        "main_on_an_unknown_driver",
        "#[corering::main(driver = \"x\")] async fn main() {}",
        "expected `driver = \"uring\" | \"epoll\" | \"auto\"`",
    ),
    (
        "main_on_several_shards",
        "#[corering::main(shards = 4)] async fn main() {}",
        "`corering::Runtime::builder().shards(n).run(..)`",
    ),
];

const ACCEPTED: [Snippet; 21] = [
    ("lock_what_is_unsized", "let _lock: Rc<sync::Mutex<[u8]>> = Rc::new(sync::Mutex::new([1]));"),
    ("take_a_string", "let _text: String = stream.write_all(String::from(\"x\")).await?;"),
    ("take_text", "let _text: &str = stream.write_all(\"x\").await?;"),
    ("take_a_literal_of_bytes", "let _four: &[u8; 4] = stream.write_all(b\"four\").await?;"),
    ("take_a_constant_array", "const A: [u8; 2] = [1, 2]; stream.write_all(&A).await?;"),
    ("take_an_array_in_place", "stream.write_all(&[1, 2, 3]).await?;"),
    ("take_a_boxed_text", "stream.write_all(Box::<str>::from(\"x\")).await?;"),
    ("take_boxed_bytes", "stream.write_all(Box::<[u8]>::from([1])).await?;"),
    ("take_shared_bytes", "stream.write_all(Arc::<[u8]>::from([1])).await?;"),
    ("take_shared_text", "stream.write_all(Arc::<str>::from(\"x\")).await?;"),
    ("take_a_shared_vector", "stream.write_all(Arc::new(vec![1])).await?;"),
    ("take_bytes_of_one_thread", "stream.write_all(Rc::<[u8]>::from([1])).await?;"),
    ("take_text_of_one_thread", "stream.write_all(Rc::<str>::from(\"x\")).await?;"),
    ("take_a_vector_of_one_thread", "stream.write_all(Rc::new(vec![1])).await?;"),
    ("take_bytes", "stream.write_all(bytes::Bytes::from_static(b\"x\")).await?;"),
    ("take_a_part", "stream.write_all(b\"hello\".slice(1..3)).await?;"),
    ("take_what_was_received", "let bytes = stream.recv().await?; stream.write_all(bytes).await?;"),
    (
        "compare_what_was_received",
        "let received = stream.recv().await?;
        let _same = received == \"x\" || received == b\"x\" || received == [1] || received == vec![1];",
    ),
    (
        "keep_what_was_received",
        "let kept: Vec<u8> = stream.recv().await?.into();
        let more = bytes::Bytes::from(stream.recv().await?);
        thread::spawn(move || kept.len() + more.len());",
    ),
    (
        "return_an_io_error",
        "#[corering::main] async fn main() -> std::io::Result<()> {
            let mut stream = corering::net::TcpStream::connect(\"127.0.0.1:1\").await?;
            let (_count, _buf) = stream.read(Vec::with_capacity(1)).await?;
            Ok(())
        }",
    ),
    (
        "return_any_error",
        "#[corering::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
            let mut stream = corering::net::TcpStream::connect(\"127.0.0.1:1\").await?;
            let (_count, _buf) = stream.read(Vec::with_capacity(1)).await?;
            Ok(())
        }",
    ),
];

#[test]
fn what_is_no_buffer_is_answered_with_what_to_pass() {
    for (name, _) in NO_BUFFERS {
        refused_with(name, "pass the buffer by value, for instance");
        refused_with(name, "the documentation of `corering::buf` lists what is a buffer");
    }
}

#[test]
fn buffer_that_is_lent_as_to_tokio_is_led_to_the_wrappers() {
    for name in ["read_into_a_borrowed_vector", "read_into_a_borrowed_array"] {
        refused_with(name, "instead of `&mut buf` write `buf`");
        refused_with(name, "passes `&mut buf` to a wrapper of the stream");
        refused_with(name, "`corering::compat::Tokio`, or `stream.compat()`");
    }
    refused_with("write_a_borrowed_vector", "passes `&buf` to a wrapper of the stream");
}

#[test]
fn bytes_that_are_borrowed_for_too_short_are_refused() {
    for (name, _) in BORROWED_BYTES {
        refused_with(name, "");
    }
}

#[test]
fn what_stays_on_its_shard_says_in_one_error_what_to_send() {
    for (name, _, sentence) in SENT_TO_THREADS {
        refused_with(name, sentence);
        assert_eq!(errors(name), 1, "{}", said_of(name));
    }
}

#[test]
fn child_says_what_to_send_instead_and_so_do_its_streams() {
    let (name, _, sentence) = SENT_WITH_STREAMS;
    refused_with(name, sentence);
    refused_with(name, PIPE);
    assert_eq!(errors(name), 2, "{}", said_of(name));
}

#[test]
fn future_that_is_not_awaited_says_what_does_not_happen() {
    NOT_AWAITED.iter().for_each(|(name, _, sentence)| refused_with(name, sentence));
}

#[test]
fn attribute_says_what_it_stands_on() {
    for (name, _, sentence) in ATTRIBUTES {
        refused_with(name, sentence);
        assert_eq!(errors(name), 1, "{}", said_of(name));
    }
}

#[test]
fn buffers_and_errors_pass_as_newcomers_write_them() {
    for (name, _) in ACCEPTED {
        assert!(checked().accepted.contains(&name), "{}", said_of(name));
        assert_eq!(said_of(name), "", "it is accepted, and should be without a word");
    }
}

fn refused_with(name: &str, sentence: &str) {
    let said = said_of(name);
    assert!(!checked().accepted.contains(&name), "`{name}` is accepted");
    assert!(said.contains(sentence), "`{name}` should be answered: {sentence}\nsaid: {said}");
}

fn said_of(name: &str) -> &'static str {
    checked().said.get(name).map_or("", String::as_str)
}

/// How many errors there are, without the one that counts them.
fn errors(name: &str) -> usize {
    let is_error = |line: &&str| line.starts_with("error") && !line.contains("aborting due to");
    said_of(name).lines().filter(is_error).count()
}

/// What came of the snippets, by name.
#[derive(Default)]
struct Checked {
    accepted: Vec<&'static str>,
    said: HashMap<&'static str, String>,
}

fn checked() -> &'static Checked {
    static CHECKED: OnceLock<Checked> = OnceLock::new();
    CHECKED.get_or_init(|| {
        let snippets = snippets();
        read_messages(&snippets, &check(&snippets))
    })
}

fn snippets() -> Vec<Snippet> {
    let mut all = Vec::new();
    all.extend(NO_BUFFERS.into_iter().chain(BORROWED_BYTES).chain(ACCEPTED));
    let answered =
        SENT_TO_THREADS.into_iter().chain(NOT_AWAITED).chain(ATTRIBUTES).chain([SENT_WITH_STREAMS]);
    all.extend(answered.map(|(name, code, _)| (name, code)));
    all
}

/// Has cargo check all snippets in a package below the target folder. Nothing is downloaded: the
/// library's own build has left everything there.
fn check(snippets: &[Snippet]) -> Output {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("newcomers");
    let library = Path::new(env!("CARGO_MANIFEST_DIR"));
    let programs = package.join("src/bin");
    fs::create_dir_all(&programs).expect("the folder for temporary files is writable");
    let lock = File::create(package.join("lock")).expect("the folder is writable");
    lock.lock().expect("a local file can be locked");

    let mut manifest = format!(
        "[workspace]\n[package]\nname = 'newcomers'\nedition = '2024'\nautobins = false\n\
         [dependencies]\nbytes = '1'\n\
         corering = {{ path = '{}', features = ['bytes', 'process-pool'] }}\n",
        library.display()
    );
    for (name, code) in snippets {
        manifest += &format!("[[bin]]\nname = '{name}'\npath = 'src/bin/{name}.rs'\n");
        write(&programs.join(format!("{name}.rs")), &program(code));
    }
    write(&package.join("Cargo.toml"), &manifest);
    let versions = fs::read(library.join("Cargo.lock")).expect("cargo has written it");
    fs::write(package.join("Cargo.lock"), versions).expect("the folder is writable");

    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    Command::new(cargo)
        .args(["check", "--offline", "--keep-going", "--bins", "--message-format=json"])
        .arg("--manifest-path")
        .arg(package.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(package.join("target"))
        .current_dir(library)
        .output()
        .expect("cargo runs where cargo test runs")
}

/// Only what has changed is written, and so only that is compiled again.
fn write(file: &Path, text: &str) {
    if fs::read_to_string(file).is_ok_and(|present| present == text) {
        return;
    }
    fs::write(file, text).expect("the folder is writable");
}

fn program(code: &str) -> String {
    if code.contains("fn main()") {
        return format!("{code}\n");
    }
    format!(
        "#![allow(unused_imports, unused_mut, unused_variables)]
#![deny(unused_must_use)]
use std::{{io, rc::Rc, sync::Arc, thread, time::Duration}};
use corering::{{buf::IoBuf, net::TcpStream, sync, task}};

fn main() {{
    let _body = body;
}}

async fn body(mut stream: TcpStream) -> io::Result<()> {{
    {code}
    Ok(())
}}
"
    )
}

/// Reads what cargo reports in lines of JSON: a message of the compiler each, or a program that it has
/// accepted.
fn read_messages(snippets: &[Snippet], output: &Output) -> Checked {
    let report = String::from_utf8_lossy(&output.stdout);
    let of = |line: &str, name: &str| line.contains(&format!("\"name\":\"{name}\""));
    let is_artifact = |line: &str| line.contains("\"reason\":\"compiler-artifact\"");
    let mut checked = Checked::default();
    for line in report.lines() {
        let Some((name, _)) = snippets.iter().find(|(name, _)| of(line, name)) else { continue };
        if is_artifact(line) {
            checked.accepted.push(name);
        } else if let Some(said) = rendered(line) {
            checked.said.entry(name).or_default().push_str(&said);
        }
    }
    assert!(
        report.lines().any(|line| is_artifact(line) && of(line, "corering")),
        "the library itself is not accepted: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    checked
}

/// The field `rendered` of a message: what a person reads.
fn rendered(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("\"rendered\":\"")?;
    let mut text = String::new();
    let mut letters = rest.chars();
    loop {
        match letters.next()? {
            '"' => return Some(text),
            '\\' => match letters.next()? {
                'n' => text.push('\n'),
                letter => text.push(letter),
            },
            letter => text.push(letter),
        }
    }
}
