//! How often the heap is asked for memory: not at all per request, at most twice per connection.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::pin;

use corering::buf::IoBuf;
use corering::fs::{self, File};
use corering::io::{Lend, PollWrite};
use corering::net::{TcpListener, TcpStream, UdpSocket};
use corering::task::{CancelToken, JoinSet};
use corering::time::{self, Duration, within};
use corering::{spawn, test_support, yield_now};
use futures_util::poll;
use net::{POLICIES, echo, listener, until_metrics};

/// The system's allocator, with a count for each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no count any more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is the same.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of this thread so far.
fn allocations() -> usize {
    ALLOCATIONS.get()
}

/// Runs a body on both drivers, with each receive policy.
fn on_each_policy<F: Future<Output = io::Result<()>>>(name: &str, body: impl Fn() -> F) {
    for policy in POLICIES {
        let name = format!("{name}, {policy:?}");
        test_support::run_configured(&name, None, |builder| builder.receive_policy(policy), &body);
    }
}

const ROUNDS: usize = 500;

/// Runs so many rounds until everything has its size, and then as many that count.
async fn steady<F: AsyncFnMut() -> io::Result<()>>(
    rounds: usize,
    mut round: F,
) -> io::Result<usize> {
    for _ in 0..rounds {
        round().await?;
    }
    let before = allocations();
    for _ in 0..rounds {
        round().await?;
    }
    Ok(allocations() - before)
}

/// Two ends of a connection that sends at once what it is given.
async fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let (client, server) = net::tcp_pair().await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok((client, server))
}

/// Messages that are received in one way throughout, and such as change a stream over.
const SIZES: [usize; 3] = [64, 1024, 20_000];

#[test]
fn recv_and_write_allocate_nothing() {
    for size in SIZES {
        on_each_policy(&format!("recv_and_write_allocate_nothing, {size} bytes"), || async {
            let (mut client, server) = tcp_pair().await?;
            let server = spawn(echo(server));
            let mut message = Some(vec![7; size]);
            let allocated = steady(ROUNDS, async || {
                message = Some(client.write_all(message.take().expect("it came back")).await?);
                let mut left = size;
                while left > 0 {
                    left -= client.recv().await?.len();
                }
                Ok(())
            });
            assert_eq!(allocated.await?, 0);
            drop(client);
            server.await.expect("it does not panic")
        });
    }
}

#[test]
fn read_and_plain_write_allocate_nothing() {
    for size in SIZES {
        on_each_policy(&format!("read_and_plain_write_allocate_nothing, {size} bytes"), || async {
            let (mut client, mut server) = tcp_pair().await?;
            let mut message = Some(vec![7; size]);
            let mut room = Some(Vec::with_capacity(32 * 1024));
            let allocated = steady(ROUNDS, async || {
                let (mut written, mut read) = (0, 0);
                while written < size {
                    let rest = message.take().expect("it came back").slice(written..);
                    let (count, rest) = client.write(rest).await?;
                    message = Some(rest.into_inner());
                    written += count;
                    while read < written {
                        let (count, buf) = server.read(room.take().expect("it came back")).await?;
                        room = Some(buf);
                        read += count;
                    }
                }
                Ok(())
            });
            assert_eq!(allocated.await?, 0);
            Ok(())
        });
    }
}

#[test]
fn polled_reads_and_writes_allocate_nothing() {
    for size in SIZES {
        on_each_policy(
            &format!("polled_reads_and_writes_allocate_nothing, {size} bytes"),
            || async {
                let (mut client, server) = tcp_pair().await?;
                // The answers of one are gathered with those of others, if they are small.
                let server = spawn(echo(server));
                let mut others = JoinSet::new();
                others.spawn(async {
                    loop {
                        yield_now().await;
                    }
                });
                let message = vec![7; size];
                let allocated = steady(ROUNDS, async || {
                    let (mut sent, mut received) = (0, 0);
                    while received < size {
                        if sent < size {
                            sent += poll_fn(|cx| client.poll_write(cx, &message[sent..])).await?;
                        }
                        received += poll_fn(|cx| client.poll_lend(cx)).await?.len();
                    }
                    Ok(())
                });
                assert_eq!(allocated.await?, 0);
                drop((client, others));
                server.await.expect("it does not panic")
            },
        );
    }
}

#[test]
fn receives_with_a_time_limit_allocate_nothing() {
    on_each_policy("receives_with_a_time_limit_allocate_nothing", || async {
        let (mut client, server) = tcp_pair().await?;
        let server = spawn(echo(server));
        let hour = std::time::Duration::from_secs(3600);
        let mut message = Some(vec![7; 100]);
        let allocated = steady(ROUNDS, async || {
            let sent = within(hour, client.write_all(message.take().expect("it came back")));
            message = Some(sent.await?);
            let mut left = 100;
            while left > 0 {
                left -= within(hour, client.recv()).await?.len();
            }
            Ok(())
        });
        assert_eq!(allocated.await?, 0);
        drop(client);
        server.await.expect("it does not panic")
    });
}

#[test]
fn limits_that_do_not_pass_allocate_and_cancel_nothing() {
    on_each_policy("limits_that_do_not_pass_allocate_and_cancel_nothing", || async {
        let limit = Duration::from_secs(30);
        let (mut client, mut server) = tcp_pair().await?;
        let server = spawn(async move {
            loop {
                let received = time::timeout(limit, server.recv()).await??;
                if received.is_empty() {
                    return io::Result::Ok(());
                }
                server.write_all(received).await?;
            }
        });
        let cancels = corering::metrics().cancels;
        let mut message = Some(vec![7; 100]);
        // Each round is a limited receive on either side: 10,000 of them count.
        let allocated = steady(5_000, async || {
            message = Some(client.write_all(message.take().expect("it came back")).await?);
            let mut left = 100;
            while left > 0 {
                left -= time::timeout(limit, client.recv()).await??.len();
            }
            Ok(())
        });
        assert_eq!(allocated.await?, 0);
        let metrics = corering::metrics();
        assert_eq!((metrics.cancels, metrics.timers), (cancels, 1), "the server waits, limited");
        drop(client);
        server.await.expect("it does not panic")
    });
}

#[test]
fn many_connections_that_echo_allocate_nothing() {
    on_each_policy("many_connections_that_echo_allocate_nothing", || async {
        let mut clients = Vec::new();
        for _ in 0..50 {
            let (client, server) = tcp_pair().await?;
            drop(spawn(echo(server)));
            clients.push(client);
        }
        let mut messages: Vec<_> = clients.iter().map(|_| Some(vec![7; 200])).collect();
        let allocated = steady(ROUNDS / 10, async || {
            for (client, message) in clients.iter_mut().zip(&mut messages) {
                *message = Some(client.write_all(message.take().expect("it came back")).await?);
            }
            for client in &mut clients {
                let mut left = 200;
                while left > 0 {
                    left -= client.recv().await?.len();
                }
            }
            Ok(())
        });
        assert_eq!(allocated.await?, 0);
        Ok(())
    });
}

#[corering::test]
async fn waiting_and_yielding_allocate_nothing() -> io::Result<()> {
    let allocated = steady(ROUNDS, async || {
        corering::io::nop().await?;
        yield_now().await;
        Ok(())
    });
    assert_eq!(allocated.await?, 0);
    Ok(())
}

#[test]
fn accepted_connection_and_its_task_cost_two_allocations() {
    on_each_policy("accepted_connection_and_its_task_cost_two_allocations", || async {
        const CONNECTIONS: usize = 200;
        let (listener, address) = listener().await?;
        // The tables of slots, descriptors and tasks get their sizes.
        for _ in 0..3 {
            let clients = connect(address)?;
            let served = serve(&listener, clients.len()).await?;
            drop(clients);
            for task in served {
                task.await.expect("it does not panic")?;
            }
            until_metrics(|metrics| metrics.group_buffers_out == 0).await;
        }

        let clients = connect(address)?;
        let mut served = Vec::with_capacity(CONNECTIONS);
        let before = allocations();
        for _ in 0..CONNECTIONS {
            served.push(spawn(echo(listener.accept().await?)));
        }
        // Each has begun to receive.
        yield_now().await;
        let allocated = allocations() - before;
        assert!(allocated <= 2 * CONNECTIONS, "{allocated} for {CONNECTIONS} connections");
        drop(clients);
        for task in served {
            task.await.expect("it does not panic")?;
        }
        return Ok(());

        fn connect(address: std::net::SocketAddr) -> io::Result<Vec<std::net::TcpStream>> {
            (0..CONNECTIONS).map(|_| std::net::TcpStream::connect(address)).collect()
        }
    });
}

type Served = corering::JoinHandle<io::Result<()>>;

async fn serve(listener: &TcpListener, count: usize) -> io::Result<Vec<Served>> {
    let mut served = Vec::new();
    for _ in 0..count {
        let stream: TcpStream = listener.accept().await?;
        served.push(spawn(echo(stream)));
    }
    yield_now().await;
    Ok(served)
}

/// Runs a body on both drivers with a pool of one thread. Where there may be more, one is started, which
/// allocates, whenever the pool happens to be busy still.
fn with_one_thread<F: Future<Output = io::Result<()>>>(name: &str, body: impl Fn() -> F) {
    test_support::run_configured(name, None, |builder| builder.blocking_threads(1), body);
}

#[test]
fn reads_and_writes_of_a_file_allocate_nothing() {
    with_one_thread("reads_and_writes_of_a_file_allocate_nothing", || async {
        let path =
            std::env::temp_dir().join(format!("corering-allocations-{}", std::process::id()));
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).open(&path).await?;
        fs::remove_file(&path).await?;
        let mut page = Some(vec![7; 4096]);
        let mut parts = Some(vec![vec![1; 100], vec![2; 100]]);
        let allocated = steady(ROUNDS, async || {
            let buf = file.write_all_at(page.take().expect("it came back"), 8192).await?;
            let (_, buf) = file.write_at(buf, 0).await?;
            let (_, buf) = file.read_at(buf, 8192).await?;
            page = Some(file.read_exact_at(buf, 4096, 0).await?);
            let (_, bufs) =
                file.write_vectored_at(parts.take().expect("it came back"), 100).await?;
            parts = Some(file.read_vectored_at(bufs, 0).await?.1);
            file.sync_data().await?;
            file.metadata().await.map(drop)
        });
        assert_eq!(allocated.await?, 0);
        io::Result::Ok(())
    });
}

#[test]
fn opening_and_closing_a_file_allocates_its_shared_descriptor_alone() {
    with_one_thread("opening_and_closing_a_file_allocates_its_shared_descriptor_alone", || async {
        let allocated = steady(ROUNDS, async || {
            let file = File::open("/dev/null").await?;
            fs::metadata("/dev/null").await?;
            file.close().await
        });
        assert_eq!(allocated.await?, ROUNDS);
        io::Result::Ok(())
    });
}

#[corering::test]
async fn datagrams_allocate_nothing() -> io::Result<()> {
    let server = UdpSocket::bind("127.0.0.1:0").await?;
    let client = UdpSocket::bind("127.0.0.1:0").await?;
    let address = server.local_addr()?;
    let mut datagram = Some(vec![7; 100]);
    let mut room = Some(Vec::with_capacity(1500));
    let allocated = steady(ROUNDS, async || {
        let sent = client.send_to(datagram.take().expect("it came back"), address).await?;
        datagram = Some(sent.1);
        let (_, buf) = server.recv_from(room.take().expect("it came back")).await?;
        room = Some(buf);
        Ok(())
    });
    assert_eq!(allocated.await?, 0);
    Ok(())
}

#[corering::test]
async fn timers_allocate_nothing() -> io::Result<()> {
    let mut beat = time::interval(Duration::from_micros(1));
    let allocated = steady(ROUNDS, async || {
        time::sleep(Duration::ZERO).await;
        beat.tick().await;
        assert!(time::timeout(Duration::ZERO, std::future::pending::<()>()).await.is_err());
        Ok(())
    });
    assert_eq!(allocated.await?, 0);
    Ok(())
}

#[corering::test]
async fn children_of_a_cancel_token_allocate_nothing() -> io::Result<()> {
    let stop = CancelToken::new();
    let allocated = steady(ROUNDS, async || {
        let child = stop.child();
        let mut run = pin!(child.run(pending::<()>()));
        assert!(poll!(&mut run).is_pending());
        child.cancel();
        assert!(run.await.is_err());
        Ok(())
    });
    assert_eq!(allocated.await?, 0);
    Ok(())
}
