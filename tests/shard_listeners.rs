//! Listeners that are bound before the shards run, one for each.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod common;

use std::collections::HashSet;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{drop_in_flight, until};
use corering::net::{
    self, ByteStream, Family, Listener, ShardListeners, TcpListener, TcpStream, Unix, UnixListener,
    UnixStream,
};
use corering::test_support::drivers;
use corering::{Builder, Driver, Runtime, Shard, metrics, spawn, spawn_blocking, time};
use socket2::{Domain, SockRef, Socket, Type};

fn runtime(driver: Driver, shards: usize) -> Builder {
    Runtime::builder().driver(driver).shards(shards).oversubscribe(true)
}

fn pairs_of_drivers() -> Vec<(Driver, Driver)> {
    let pairs = |first| drivers().into_iter().map(move |second| (first, second));
    drivers().into_iter().flat_map(pairs).collect()
}

/// Runs `main` on each of so many shards of each driver, with listeners that are bound before.
fn on_shards<F: Family, Fut: Future<Output = io::Result<()>>>(
    shards: usize,
    bind: impl Fn() -> io::Result<ShardListeners<F>>,
    main: impl Fn(Shard, &'static ShardListeners<F>) -> Fut + Sync + Send,
) {
    for driver in drivers() {
        let listeners: &_ = Box::leak(Box::new(bind().expect("the address is free")));
        let in_time = |shard| time::timeout(Duration::from_secs(20), main(shard, listeners));
        let ends = runtime(driver, shards).max_queued_accepts(1).run(in_time);
        for end in ends.expect("shards can be started") {
            end.expect("it hangs").unwrap_or_else(|error| panic!("on {driver}: {error}"));
        }
    }
}

/// Tells every connection the number of the shard that has it.
async fn serve<F: Family>(listener: Listener<F>, shard: usize) -> io::Result<()> {
    loop {
        listener.accept().await?.write_all(vec![shard as u8]).await?;
    }
}

/// Which shard has this connection.
async fn server_of<F: Family>(stream: io::Result<ByteStream<F>>) -> io::Result<usize> {
    Ok(stream?.read_exact(vec![0; 1], 1).await?[0].into())
}

/// Connects until each of these shards has been seen, and no other.
async fn see(address: SocketAddr, shards: &[usize]) -> io::Result<()> {
    let mut seen = HashSet::new();
    while seen.len() < shards.len() {
        let shard = server_of(TcpStream::connect(address).await).await?;
        assert!(shards.contains(&shard), "shard {shard} has not taken its listener");
        seen.insert(shard);
    }
    Ok(())
}

/// A path for a socket.
fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("corering-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

#[test]
fn every_shard_gets_connections_of_one_port() {
    on_shards(
        4,
        || net::bind_shards("127.0.0.1:0", 4),
        |shard, listeners| async move {
            let listener = listeners.take(&shard)?;
            let address = listener.local_addr()?;
            assert_ne!(address.port(), 0);
            assert_eq!(address, listeners.local_addr());
            spawn(serve(listener, shard.id()));
            see(address, &[0, 1, 2, 3]).await
        },
    );
}

#[test]
fn listener_never_taken_gets_no_connection() {
    on_shards(
        3,
        || net::bind_shards("127.0.0.1:0", 3),
        |shard, listeners| async move {
            let address = listeners.local_addr();
            if shard.id() == 1 {
                return Ok(());
            }
            spawn(serve(listeners.take(&shard)?, shard.id()));
            see(address, &[0, 2]).await?;
            for _ in 0..100 {
                assert_ne!(server_of(TcpStream::connect(address).await).await?, 1);
            }
            Ok(())
        },
    );
}

#[test]
fn bound_address_refuses_until_a_shard_takes_it() -> io::Result<()> {
    let listeners = net::bind_shards("localhost:0", 2)?;
    let refused = std::net::TcpStream::connect(listeners.local_addr()).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    Ok(())
}

#[test]
fn listeners_of_ipv6_share_a_port() {
    // An IPv6 address that machines without an IPv6 network have, too.
    let mapped = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 0));
    let bind = || TcpListener::builder().v6only(false).bind_shards(mapped, 2);
    on_shards(2, bind, |shard, listeners| async move {
        spawn(serve(listeners.take(&shard)?, shard.id()));
        assert!(listeners.local_addr().is_ipv6());
        see(listeners.local_addr(), &[0, 1]).await
    });
}

#[test]
fn shards_of_one_unix_path_each_accept() {
    let path = path("shards");
    let bind = || {
        let _ = std::fs::remove_file(&path);
        UnixListener::bind_shards(&path, 3)
    };
    on_shards(3, bind, |shard, listeners| async move {
        let (listener, id) = (listeners.take(&shard)?, shard.id());
        let path = listeners.local_addr().expect("it has a path");
        assert_eq!(listener.local_addr()?.as_ref(), Some(&path));
        // Each accepts one connection, and has others left for the others.
        let accepting = spawn(async move {
            listener.accept().await?.write_all(vec![id as u8]).await?;
            Ok(())
        });
        if id == 0 {
            let mut seen = HashSet::new();
            while seen.len() < 3 {
                assert!(seen.insert(server_of(UnixStream::connect(&path).await).await?));
            }
        }
        accepting.await.expect("it does not panic")
    });
    std::fs::remove_file(path).expect("it is ours");
}

#[test]
fn listener_that_a_shard_drops_leaves_no_trace_on_others() {
    static DROPPED: AtomicBool = AtomicBool::new(false);
    let path = path("dropped");
    let bind = || {
        let _ = std::fs::remove_file(&path);
        UnixListener::bind_shards(&path, 2)
    };
    on_shards(2, bind, |shard, listeners| async move {
        let listener = listeners.take(&shard)?;
        if shard.id() == 0 {
            drop_in_flight(listener.accept()).await;
            drop(listener);
            DROPPED.store(true, Ordering::Release);
            return Ok(());
        }
        until(|| DROPPED.swap(false, Ordering::Acquire)).await;
        assert_eq!(SockRef::from(&listener).nonblocking()?, shard.driver() == Driver::Epoll);
        let told = || shard.submit_to(0, async || metrics().completions);
        let before = told().await.expect("the shard serves");
        spawn(serve(listener, 1));
        let path = listeners.local_addr().expect("it has a path");
        let mut after = before;
        for _ in 0..50 {
            assert_eq!(server_of(UnixStream::connect(&path).await).await?, 1);
            after = told().await.expect("the shard serves");
        }
        // It was told of what it was asked, and not of each connection.
        assert!(after - before < 65, "shard 0 was told of {} things", after - before);
        Ok(())
    });
    std::fs::remove_file(path).expect("it is ours");
}

#[test]
fn listener_is_taken_once() {
    on_shards(
        2,
        || net::bind_shards("127.0.0.1:0", 2),
        |shard, listeners| async move {
            let taken = listeners.take(&shard)?;
            for _ in 0..2 {
                let told = listeners.take(&shard).expect_err("it is taken").to_string();
                assert!(told.contains(&format!("shard {} has taken", shard.id())), "{told}");
            }
            drop(taken);
            listeners.take(&shard).expect_err("it was taken");
            Ok(())
        },
    );
}

#[test]
fn wrong_number_of_listeners_is_told_with_both_numbers() {
    for bound in [0, 2, 4] {
        on_shards(
            3,
            || net::bind_shards("127.0.0.1:0", bound),
            |shard, listeners| async move {
                let error = listeners.take(&shard).expect_err("there is not one for each");
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                let told = error.to_string();
                assert!(told.contains(&format!("{bound} listeners")), "{told}");
                assert!(told.contains("3 shards"), "{told}");
                Ok(())
            },
        );
    }
}

#[test]
fn listeners_never_taken_are_closed() -> io::Result<()> {
    let listeners = net::bind_shards("127.0.0.1:0", 3)?;
    let address = listeners.local_addr().into();
    // Without SO_REUSEADDR it is refused for any socket of the address.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    assert_eq!(socket.bind(&address).expect_err("it is bound").kind(), ErrorKind::AddrInUse);
    drop(listeners);
    socket.bind(&address)?;

    let path = path("closed");
    let listeners = UnixListener::bind_shards(&path, 3)?;
    std::os::unix::net::UnixStream::connect(&path)?;
    drop(listeners);
    let refused = std::os::unix::net::UnixStream::connect(&path).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    std::fs::remove_file(path)
}

#[test]
fn address_in_use_is_told_with_address() -> io::Result<()> {
    let other = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = other.local_addr()?;
    let error = net::bind_shards(address, 2).expect_err("the other listens");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&format!("cannot listen on {address}")), "{error}");

    let path = path("in-use");
    let _other = UnixListener::bind_shards(&path, 1)?;
    let error = UnixListener::bind_shards(&path, 2).expect_err("the file is there");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
    std::fs::remove_file(path)
}

#[test]
fn programs_that_bind_one_address_do_not_share_it() {
    on_shards(
        1,
        || net::bind_shards("127.0.0.1:0", 1),
        |shard, listeners| async move {
            let address = listeners.local_addr();
            let others = net::bind_shards(address, 1)?;
            let first = listeners.take(&shard)?;
            let error = others.take(&shard).expect_err("the first listens");
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
            assert!(error.to_string().contains(&address.to_string()), "{error}");
            drop(first);
            spawn(serve(others.take(&shard)?, 0));
            see(address, &[0]).await
        },
    );
}

#[test]
fn what_one_runtime_has_left_another_takes() -> io::Result<()> {
    for (first, second) in pairs_of_drivers() {
        let tcp = net::bind_shards("127.0.0.1:0", 2)?;
        taken_in_two_runtimes(first, second, &tcp, || TcpStream::connect(tcp.local_addr()))?;
        let path = path("runtimes");
        let unix = UnixListener::bind_shards(&path, 2)?;
        taken_in_two_runtimes(first, second, &unix, || UnixStream::connect(&path))?;
        std::fs::remove_file(path)?;
    }
    Ok(())
}

fn taken_in_two_runtimes<F: Family, C>(
    first: Driver,
    second: Driver,
    listeners: &ShardListeners<F>,
    connect: impl Fn() -> C + Send + Sync,
) -> io::Result<()>
where
    C: Future<Output = io::Result<ByteStream<F>>>,
{
    let connect = &connect;
    for (driver, takes) in [(first, 0), (second, 1)] {
        runtime(driver, 2).try_run(|shard| async move {
            if shard.id() == takes {
                spawn(serve(listeners.take(&shard)?, takes));
                for _ in 0..10 {
                    assert_eq!(server_of(connect().await).await?, takes);
                }
            }
            if takes == 1 && shard.id() == 0 {
                listeners.take(&shard).expect_err("the first runtime has taken it");
            }
            io::Result::Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn runtimes_of_two_drivers_serve_one_unix_path() -> io::Result<()> {
    let path = path("drivers");
    for (first, second) in pairs_of_drivers() {
        let listeners = UnixListener::bind_shards(&path, 2)?;
        let (listeners, path): (&'static ShardListeners<Unix>, _) =
            (Box::leak(Box::new(listeners)), &path);
        runtime(first, 2).try_run(|shard| async move {
            if shard.id() == 1 {
                return io::Result::Ok(());
            }
            spawn(serve(listeners.take(&shard)?, 0));
            server_of(UnixStream::connect(path).await).await?;
            let path = path.clone();
            let other = move || {
                runtime(second, 2).try_run(|shard| {
                    let path = &path;
                    async move {
                        if shard.id() == 1 {
                            spawn(serve(listeners.take(&shard)?, 1));
                            for _ in 0..100 {
                                server_of(UnixStream::connect(path).await).await?;
                            }
                        }
                        io::Result::Ok(())
                    }
                })
            };
            spawn_blocking(other).await.expect("it does not panic").map(drop)
        })?;
        std::fs::remove_file(path)?;
    }
    Ok(())
}

#[test]
fn listeners_go_to_any_thread() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<ShardListeners>();
    is_shared::<ShardListeners<Unix>>();
}

#[test]
fn options_of_builder_hold_for_all_listeners() {
    let bind = || TcpListener::builder().nodelay(true).bind_shards("127.0.0.1:0", 3);
    on_shards(3, bind, |shard, listeners| async move {
        let listener = listeners.take(&shard)?;
        assert!(SockRef::from(&listener).tcp_nodelay()?);
        Ok(())
    });
}
