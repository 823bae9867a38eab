//! Bodies in pieces: large ones, peers that stop reading, and handlers that are dropped in the middle.

use std::cell::Cell;
use std::env;
use std::rc::Rc;

use corering::compat::Hyper;
use corering::net::UnixStream;
use futures_util::future::try_join_all;
use futures_util::stream::{self, Stream};
use http_body_util::StreamBody;
use hyper::StatusCode;
use hyper::body::Frame;
use hyper::service::service_fn;

use super::*;

const PIECE: usize = 64 << 10;

/// What an unread answer may hold of its body: hyper's buffers, ours, and those of a Unix socket.
const HELD_MAX: usize = 2 << 20;

/// What hyper's client of the second version lets a server send ahead.
const WINDOW: usize = 2 << 20;

/// What an upload sends: more than all buffers on the way hold. The variable makes it as large as wanted.
fn upload_pieces() -> usize {
    let mebibytes = match env::var("CORERING_TEST_UPLOAD_MIB") {
        Ok(value) => value.parse().expect("CORERING_TEST_UPLOAD_MIB is a number"),
        Err(_) => 256,
    };
    mebibytes * (1 << 20) / PIECE
}

/// So many pieces, counted as they are taken.
fn pieces(count: usize, taken: &Rc<Cell<usize>>) -> Pieces<impl Stream<Item = Piece> + use<>> {
    let (piece, taken) = (Bytes::from(vec![b'x'; PIECE]), Rc::clone(taken));
    StreamBody::new(stream::iter((0..count).map(move |_| {
        taken.set(taken.get() + 1);
        Ok(Frame::data(piece.clone()))
    })))
}

type Pieces<S> = StreamBody<S>;
type Piece = Result<Frame<Bytes>, Infallible>;

/// Answers with the number of bytes that came, and holds none of them.
async fn measure(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let (mut body, mut bytes) = (request.into_body(), 0);
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(Response::new(Full::from(bytes.to_string())))
}

#[corering::test]
async fn http1_upload_streams_through() -> Result<(), Failure> {
    let (client, server) = connection().await?;
    let served = http1_server().serve_connection(Hyper::new(server), service_fn(measure));
    let server = corering::spawn(served);
    let mut client = http1_client(client).await?;
    let body = pieces(upload_pieces(), &Rc::default());
    let answer = text(client.send_request(post("/", body))).await?;
    assert_eq!(answer, (upload_pieces() * PIECE).to_string());
    drop(client);
    server.await??;
    Ok(())
}

#[corering::test]
async fn http2_upload_streams_through() -> Result<(), Failure> {
    let (client, server) = connection().await?;
    let served = http2_server().serve_connection(Hyper::new(server), service_fn(measure));
    let server = corering::spawn(served);
    let mut client = http2_client(client).await?;
    let body = pieces(upload_pieces(), &Rc::default());
    let answer = text(client.send_request(post("/", body))).await?;
    assert_eq!(answer, (upload_pieces() * PIECE).to_string());
    drop(client);
    server.await??;
    Ok(())
}

/// Asks others until a body that nobody reads gives no more, and returns how many pieces it gave.
async fn settled<F>(
    taken: &Cell<usize>,
    mut ask_others: impl FnMut() -> F,
) -> Result<usize, Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    loop {
        let before = taken.get();
        for _ in 0..20 {
            ask_others().await?;
        }
        if before > 0 && taken.get() == before {
            return Ok(before);
        }
    }
}

#[corering::test]
async fn http1_peer_that_stops_reading_holds_little() -> Result<(), Failure> {
    let (client, server) = UnixStream::pair()?;
    let taken = Rc::new(Cell::new(0));
    let endless = service_fn(async |_: Request<Incoming>| {
        Ok::<_, Infallible>(Response::new(pieces(usize::MAX, &taken)))
    });
    let (other, others_server) = connection().await?;
    let served = http1_server().serve_connection(Hyper::new(others_server), service_fn(greet));
    corering::spawn(served);
    let other = Rc::new(corering::sync::Mutex::new(http1_client(other).await?));
    let ask_others = || async {
        let mut other = other.lock().await;
        other.ready().await?;
        assert_eq!(text(other.send_request(post("/", String::new()))).await?, "Hello, World!");
        Ok(())
    };

    let served = http1_server().serve_connection(Hyper::new(server), endless);
    let reads = async {
        let mut client = http1_client(client).await?;
        let mut body = client.send_request(post("/", String::new())).await?.into_body();
        let held = settled(&taken, ask_others).await?;
        assert!(held * PIECE <= HELD_MAX, "{held} pieces are held for a peer that does not read");
        // It goes on where it was, and gives more only as it is read.
        let mut read = 0;
        while read <= 2 * HELD_MAX {
            let frame = body.frame().await.ok_or("the body ended")??;
            read += frame.data_ref().map_or(0, Bytes::len);
            assert!(taken.get() * PIECE <= read + HELD_MAX);
        }
        Ok::<(), Failure>(())
    };
    let (served, read) = corering::join!(served, reads);
    read?;
    // The client left in the middle of the answer.
    served.expect_err("the answer has no end");
    Ok(())
}

#[corering::test]
async fn http2_peer_that_stops_reading_holds_little() -> Result<(), Failure> {
    let (client, server) = UnixStream::pair()?;
    let taken = Rc::new(Cell::new(0));
    let counted = Rc::clone(&taken);
    let endless = service_fn(move |request: Request<Incoming>| {
        let body = match request.uri().path() {
            "/endless" => pieces(usize::MAX, &counted),
            _ => pieces(1, &Rc::default()),
        };
        async { Ok::<_, Infallible>(Response::new(body)) }
    });
    let served = http2_server().serve_connection(Hyper::new(server), endless);
    let reads = async {
        let client = http2_client(client).await?;
        let mut own = client.clone();
        let body = own.send_request(post("/endless", String::new())).await?.into_body();
        // Other requests of the same connection.
        let ask_others = || {
            let mut client = client.clone();
            async move {
                let answer = text(client.send_request(post("/", String::new()))).await?;
                assert_eq!(answer.len(), PIECE);
                Ok(())
            }
        };
        let held = settled(&taken, ask_others).await?;
        assert!(
            held * PIECE <= WINDOW + HELD_MAX,
            "{held} pieces are held for a peer that does not read"
        );
        drop(body);
        Ok::<(), Failure>(())
    };
    let (served, read) = corering::join!(served, reads);
    read?;
    served?;
    Ok(())
}

#[corering::test]
async fn handler_that_drops_a_body_in_the_middle_still_answers() -> Result<(), Failure> {
    async fn refuse(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
        let mut body = request.into_body();
        body.frame().await.expect("there is a first piece")?;
        let answer = Response::builder().status(StatusCode::PAYLOAD_TOO_LARGE);
        Ok(answer.body(Full::from("too large")).expect("it has no bad headers"))
    }

    let (client, server) = connection().await?;
    let served = http1_server().serve_connection(Hyper::new(server), service_fn(refuse));
    corering::spawn(served);
    let mut client = http1_client(client).await?;
    let answer = client.send_request(post("/", pieces(usize::MAX, &Rc::default()))).await?;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    drop(answer);

    let (client, server) = connection().await?;
    let served = http2_server().serve_connection(Hyper::new(server), service_fn(refuse));
    let server = corering::spawn(served);
    let client = http2_client(client).await?;
    let answers = (0..10).map(|_| {
        let mut client = client.clone();
        async move { client.send_request(post("/", pieces(usize::MAX, &Rc::default()))).await }
    });
    for answer in try_join_all(answers).await? {
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    drop(client);
    server.await??;
    Ok(())
}

#[corering::test]
async fn connection_that_is_dropped_in_the_middle_of_a_body_is_closed() -> Result<(), Failure> {
    let (client, server) = connection().await?;
    let served = http1_server().serve_connection(Hyper::new(server), service_fn(measure));
    let server = corering::spawn(served);
    let mut client = http1_client(client).await?;
    let taken = Rc::new(Cell::new(0));
    let answer = client.send_request(post("/", pieces(usize::MAX, &taken)));
    let answer = corering::spawn(answer);
    until(|| taken.get() > 100).await;
    server.abort();
    answer.await?.expect_err("the server is gone");
    Ok(())
}
