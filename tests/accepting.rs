//! Lines of waiting accepts in which some are forgotten, and listeners that another process shares.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::rc::Rc;

use net::{listener, nothing_is_in_flight, poll_once, until_metrics};

/// Polls an accept once and forgets it: its place in the line stays.
async fn forget_accept(listener: &corering::net::TcpListener) {
    let mut accept = listener.accept();
    assert!(poll_once(&mut accept).await.is_pending());
    mem::forget(accept);
}

#[corering::test]
async fn accept_behind_a_forgotten_one_of_its_task_is_served() -> io::Result<()> {
    let (listener, address) = listener().await?;
    forget_accept(&listener).await;
    let client = std::net::TcpStream::connect(address)?;
    let accepted = listener.accept().await?;
    assert_eq!(accepted.peer_addr()?, client.local_addr()?);
    Ok(())
}

#[corering::test]
async fn accept_behind_forgotten_ones_of_ended_tasks_is_served() -> io::Result<()> {
    let (listener, address) = listener().await?;
    let listener = Rc::new(listener);
    for _ in 0..3 {
        let forgetful = listener.clone();
        let task = corering::spawn(async move { forget_accept(&forgetful).await });
        task.await.expect("it does not panic");
    }
    let accepting = {
        let listener = listener.clone();
        corering::spawn(async move { listener.accept().await?.peer_addr() })
    };
    corering::yield_now().await;
    let client = std::net::TcpStream::connect(address)?;
    assert_eq!(accepting.await.expect("it does not panic")?, client.local_addr()?);
    Ok(())
}

#[corering::test]
async fn accept_dropped_after_it_was_called_calls_the_next() -> io::Result<()> {
    let (listener, address) = listener().await?;
    let listener = Rc::new(listener);
    let mut first = listener.accept();
    assert!(poll_once(&mut first).await.is_pending());
    let second = {
        let listener = listener.clone();
        corering::spawn(async move { listener.accept().await?.peer_addr() })
    };
    corering::yield_now().await;
    let client = std::net::TcpStream::connect(address)?;
    // Now, or not yet, the first is called.
    until_metrics(|metrics| metrics.completions > 0).await;
    drop(first);
    assert_eq!(second.await.expect("it does not panic")?, client.local_addr()?);
    nothing_is_in_flight_but_the_accept().await;
    Ok(())
}

async fn nothing_is_in_flight_but_the_accept() {
    until_metrics(|metrics| metrics.operations_in_flight <= 1).await;
}

#[corering::test]
async fn many_waiting_accepts_are_polled_once_for_each_connection() -> io::Result<()> {
    const WAITING: usize = 1_000;
    let (listener, address) = listener().await?;
    let listener = Rc::new(listener);
    let polls = Rc::new(std::cell::Cell::new(0));
    let accepting: Vec<_> = (0..WAITING)
        .map(|_| {
            let (listener, polls) = (listener.clone(), polls.clone());
            corering::spawn(async move {
                let mut accept = listener.accept();
                std::future::poll_fn(|cx| {
                    polls.set(polls.get() + 1);
                    std::pin::Pin::new(&mut accept).poll(cx)
                })
                .await
                .map(drop)
            })
        })
        .collect();
    corering::yield_now().await;
    for _ in 0..WAITING {
        drop(std::net::TcpStream::connect(address)?);
        corering::yield_now().await;
    }
    for task in accepting {
        task.await.expect("it does not panic")?;
    }
    // One to wait, one to take a connection, and one in vain for some: the next is called with each
    // that was taken, and another that is not quick.
    assert!(polls.get() <= 5 * WAITING, "{} polls", polls.get());
    Ok(())
}

#[corering::test]
async fn listener_made_nonblocking_elsewhere_accepts_without_spinning() -> io::Result<()> {
    let (listener, address) = listener().await?;
    let shared = listener.as_fd().try_clone_to_owned()?;
    std::net::TcpListener::from(shared).set_nonblocking(true)?;
    for _ in 0..3 {
        let mut accept = listener.accept();
        assert!(poll_once(&mut accept).await.is_pending());
        // Were it to spin, completions would come by themselves.
        for _ in 0..100 {
            corering::yield_now().await;
        }
        let completions = corering::metrics().completions;
        corering::time::sleep(std::time::Duration::from_millis(20)).await;
        let spun = corering::metrics().completions - completions;
        assert!(spun < 20, "{spun} completions while nothing came");
        let client = std::net::TcpStream::connect(address)?;
        assert_eq!(accept.await?.peer_addr()?, client.local_addr()?);
    }
    drop(listener);
    nothing_is_in_flight().await;
    Ok(())
}
