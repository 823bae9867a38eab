//! A server of both versions on a thousand simulated kernels, with clients that ask, dawdle and leave as a
//! seed decides. No date is in its answers, since that is the one thing that no seed decides.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use corering::compat::Hyper;
use corering::sim::Simulation;
use corering::sync::oneshot;
use corering::task::{CancelToken, JoinSet};
use futures_util::StreamExt;
use futures_util::future::{self, join_all, select};
use futures_util::stream::{self, LocalBoxStream};
use http_body_util::{Either, StreamBody};
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::server::conn::auto;

use super::*;
use crate::echo::configuration;
use crate::simulated::{Numbers, drop_after, pause, run, run_in};

/// A thousand seeds, in parts that test threads can share.
const SEEDS_PER_TEST: u64 = 250;

/// How long a client may take for its headers.
const HEADER_LIMIT: Duration = Duration::from_secs(10);

macro_rules! hyper_on_seeds {
    ($($name:ident: $part:literal,)*) => {
        $(#[test]
        fn $name() {
            for seed in $part * SEEDS_PER_TEST..($part + 1) * SEEDS_PER_TEST {
                let mut numbers = Numbers::new(seed);
                run(seed, configuration(&mut numbers), serve_clients(numbers));
            }
        })*
    };
}

hyper_on_seeds! {
    every_request_is_answered_on_seeds_0_to_249: 0,
    every_request_is_answered_on_seeds_250_to_499: 1,
    every_request_is_answered_on_seeds_500_to_749: 2,
    every_request_is_answered_on_seeds_750_to_999: 3,
}

#[test]
fn same_seed_gives_same_trace() {
    let hash = |seed| {
        let sim = Simulation::new(seed);
        let mut numbers = Numbers::new(seed);
        run_in(&sim, seed, configuration(&mut numbers), serve_clients(numbers));
        (sim.trace_hash(), sim.elapsed())
    };
    let mut hashes = Vec::new();
    for seed in 0..20 {
        let (first, second) = (hash(seed), hash(seed));
        assert_eq!(first, second, "seed {seed} gave two different runs");
        hashes.push(first.0);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 20, "two seeds gave the same run");
}

/// Clients of all kinds, and then a graceful end.
async fn serve_clients(mut numbers: Numbers) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let server = corering::spawn(serve(listener, stopped, numbers.fork()));
    let count = numbers.within(1..6);
    let clients = (0..count).map(|_| corering::spawn(client(address, numbers.fork())));
    for client in join_all(clients.collect::<Vec<_>>()).await {
        client.unwrap();
    }
    stop.send(()).unwrap();
    server.await.unwrap();
}

async fn serve(listener: TcpListener, stopped: oneshot::Receiver<()>, numbers: Numbers) {
    let mut builder = auto::Builder::new(HyperExecutor);
    builder.http1().timer(HyperTimer).header_read_timeout(HEADER_LIMIT).auto_date_header(false);
    builder.http2().timer(HyperTimer).auto_date_header(false);
    // Not `GracefulShutdown`: it wakes connections in an order that tokio draws at random.
    let (stop, mut connections) = (CancelToken::new(), JoinSet::new());
    let numbers = Rc::new(RefCell::new(numbers));
    let mut stopped = pin!(stopped);
    loop {
        let accepted = match select(pin!(listener.accept()), stopped.as_mut()).await {
            future::Either::Left((accepted, _)) => accepted,
            future::Either::Right(_) => break,
        };
        let numbers = Rc::clone(&numbers);
        let service = service_fn(move |request| answer(request, numbers.borrow_mut().fork()));
        let stream = Hyper::new(accepted.unwrap());
        let served = builder.serve_connection_with_upgrades(stream, service).into_owned();
        let ended = stop.cancelled();
        connections.spawn(async move {
            let mut served = pin!(served);
            // A client that leaves in the middle is no failure of the server's.
            if let future::Either::Right(_) = select(served.as_mut(), ended).await {
                served.as_mut().graceful_shutdown();
                let _ = served.await;
            }
        });
    }
    drop(listener);
    stop.cancel();
    while connections.join_next().await.is_some() {}
}

/// Whole, or in pieces.
type Answer = Either<Full<Bytes>, StreamBody<LocalBoxStream<'static, Piece>>>;
type Piece = Result<Frame<Bytes>, Infallible>;

/// Repeats the body of the request, after a while, whole or in pieces.
async fn answer(
    request: Request<Incoming>,
    mut numbers: Numbers,
) -> hyper::Result<Response<Answer>> {
    if numbers.once_in(2) {
        pause(numbers.moment()).await;
    }
    let body = request.into_body().collect().await?.to_bytes();
    if numbers.once_in(2) {
        return Ok(Response::new(Either::Left(Full::from(body))));
    }
    let piece = numbers.within(1..2_000);
    let pieces = stream::unfold(body, move |mut rest| async move {
        let next = rest.split_to(piece.min(rest.len()));
        corering::yield_now().await;
        (!next.is_empty()).then(|| (Ok(Frame::data(next)), rest))
    });
    Ok(Response::new(Either::Right(StreamBody::new(pieces.boxed_local()))))
}

async fn client(address: SocketAddr, mut numbers: Numbers) {
    pause(numbers.moment()).await;
    let stream = TcpStream::connect(address).await.unwrap();
    match numbers.within(0..6) {
        0 => leave(stream, &mut numbers).await,
        1 => dawdle(stream).await,
        2 | 3 => {
            let mut client = http1_client(stream).await.unwrap();
            for _ in 0..numbers.within(1..10) {
                client.ready().await.unwrap();
                let (request, body) = question(&mut numbers);
                assert_eq!(text(client.send_request(request)).await.unwrap(), body);
                pause(numbers.moment()).await;
            }
        }
        _ => {
            let client = http2_client(stream).await.unwrap();
            let asked = (0..numbers.within(1..10)).map(|_| ask(client.clone(), numbers.fork()));
            join_all(asked.collect::<Vec<_>>()).await;
        }
    }
}

fn question(numbers: &mut Numbers) -> (Request<Full<Bytes>>, String) {
    let len = numbers.of(&[1, 100, 20_000]);
    let body = "x".repeat(numbers.within(0..len));
    (post("/", Full::from(body.clone())), body)
}

/// Asks once, or gives up in the middle.
async fn ask(mut client: client2::SendRequest<Full<Bytes>>, mut numbers: Numbers) {
    let (request, body) = question(&mut numbers);
    let answer = text(client.send_request(request));
    if numbers.once_in(3) {
        drop_after(numbers.moment(), answer).await;
    } else {
        assert_eq!(answer.await.unwrap(), body);
    }
}

/// Leaves in the middle of a request, or of its answer.
async fn leave(mut stream: TcpStream, numbers: &mut Numbers) {
    let request = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n0123456789";
    let sent = &request[..numbers.within(0..request.len() + 1)];
    stream.write_all(sent.to_owned()).await.unwrap();
    pause(numbers.moment()).await;
}

/// Never ends its headers, for which the server waits so long and no longer.
async fn dawdle(mut stream: TcpStream) {
    let begin = corering::time::now();
    stream.write_all("POST / HTTP/1.1\r\nhost: ").await.unwrap();
    receive_all(&mut stream).await.unwrap();
    assert!(corering::time::now() - begin >= HEADER_LIMIT);
}
