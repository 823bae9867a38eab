//! What handlers and middleware of axum do, with corering's own files, timers and channels.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::error_handling::HandleErrorLayer;
use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use bytes::Bytes;
use corering::compat::tokio::Guest;
use corering::compat::{self, local};
use corering::fs::{self, File};
use corering::sync::channel;
use corering::time::{self, Duration};
use futures_util::stream::{self, Stream, StreamExt};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceBuilder;
use tower::timeout::TimeoutLayer;

use super::{Failure, Server, request};

#[corering::test]
async fn json_is_extracted_and_answered() -> Result<(), Failure> {
    async fn double(Json(body): Json<Value>) -> Json<Value> {
        Json(json!({ "doubled": body["n"].as_i64().map(|n| n * 2) }))
    }

    let server = Server::start(Router::new().route("/double", post(double))).await?;
    let mut asked = request("POST", "/double", r#"{"n": 21}"#);
    asked.headers_mut().insert("content-type", "application/json".parse()?);
    let (status, answer) = server.answer(asked).await?;
    assert_eq!((status, answer.as_str()), (StatusCode::OK, r#"{"doubled":42}"#));
    let (status, _) = server.answer(request("POST", "/double", "no JSON")).await?;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    Ok(server.end().await?)
}

#[corering::test]
async fn path_query_headers_and_state_are_extracted() -> Result<(), Failure> {
    async fn all(
        State(state): State<Arc<str>>,
        Path((name, number)): Path<(String, u32)>,
        Query(query): Query<HashMap<String, String>>,
        headers: HeaderMap,
    ) -> String {
        format!("{state} {name} {number} {} {:?}", query["q"], headers["host"])
    }

    let router = Router::new().route("/{name}/{number}", get(all)).with_state("state".into());
    let server = Server::start(router).await?;
    let (_, answer) = server.get("/name/7?q=asked").await?;
    assert_eq!(answer, r#"state name 7 asked "test""#);
    assert_eq!(server.get("/name/seven").await?.0, StatusCode::BAD_REQUEST);
    assert_eq!(server.get("/name").await?.0, StatusCode::NOT_FOUND);
    Ok(server.end().await?)
}

#[corering::test]
async fn parts_of_form_are_received_one_by_one() -> Result<(), Failure> {
    async fn lengths(mut form: Multipart) -> Result<String, MultipartError> {
        let mut lengths = String::new();
        while let Some(field) = form.next_field().await? {
            let name = field.name().unwrap_or("nameless").to_owned();
            lengths += &format!("{name}: {}\n", field.bytes().await?.len());
        }
        Ok(lengths)
    }

    let server = Server::start(Router::new().route("/form", post(lengths))).await?;
    let part = |name: &str, content: &str| {
        let head = format!("content-disposition: form-data; name=\"{name}\"");
        format!("--edge\r\n{head}\r\n\r\n{content}\r\n")
    };
    let form = part("first", "text") + &part("second", &"x".repeat(100_000)) + "--edge--\r\n";
    let mut asked = request("POST", "/form", form);
    asked.headers_mut().insert("content-type", "multipart/form-data; boundary=edge".parse()?);
    assert_eq!(server.answer(asked).await?.1, "first: 4\nsecond: 100000\n");
    Ok(server.end().await?)
}

/// Receives a body piece by piece into a file.
async fn store(State(path): State<PathBuf>, body: Body) -> Result<String, StatusCode> {
    let stored = local(async move {
        let file = File::create(path).await?;
        let (mut pieces, mut length) = (body.into_data_stream(), 0);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(io::Error::other)?;
            length += piece.len() as u64;
            file.write_all_at(piece.clone(), length - piece.len() as u64).await?;
        }
        file.close().await?;
        Ok::<_, io::Error>(length)
    });
    let length = stored.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(format!("{length} bytes"))
}

/// Sends a file piece by piece.
async fn fetch(State(path): State<PathBuf>) -> Result<Body, StatusCode> {
    let pieces = async move {
        let file = File::open(path).await?;
        Ok::<_, io::Error>(stream::try_unfold((file, 0), async |(file, offset)| {
            let (length, piece) = file.read_at(Vec::with_capacity(4096), offset).await?;
            Ok::<_, io::Error>((length > 0).then(|| (piece, (file, offset + length as u64))))
        }))
    };
    let pieces = local(pieces).await.map_err(|_| StatusCode::NOT_FOUND)?;
    Ok(Body::from_stream(local(pieces)))
}

#[corering::test]
async fn upload_goes_to_file_and_comes_back_streamed() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("stored");
    let router = Router::new().route("/", put(store).get(fetch)).with_state(path.clone());
    let server = Server::start(router).await?;

    assert_eq!(server.get("/").await?.0, StatusCode::NOT_FOUND);
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| b'a' + (n % 23) as u8).collect();
    let pieces = bytes.chunks(10_000).map(|piece| Ok::<_, Infallible>(piece.to_vec()));
    let upload = Body::from_stream(stream::iter(pieces.collect::<Vec<_>>()));
    let (status, answer) = server.answer(request("PUT", "/", upload)).await?;
    assert_eq!((status, answer.as_str()), (StatusCode::OK, "1000000 bytes"));
    assert!(fs::read(&path).await? == bytes, "the file differs from what was sent");

    let (status, answer) = server.get("/").await?;
    assert_eq!(status, StatusCode::OK);
    assert!(answer.as_bytes() == bytes, "what was fetched differs from the file");
    Ok(server.end().await?)
}

#[corering::test]
async fn event_is_sent_before_next_one_exists() -> Result<(), Failure> {
    let (sender, receiver) = channel::bounded::<&str>(1);
    // A channel of the shard, in a handler that any thread may call.
    let receiver = Arc::new(std::sync::Mutex::new(Some(local(receiver))));
    let events = move || async move {
        let receiver = receiver.lock().expect("no panic").take().expect("one request");
        Sse::new(receiver.map(|word| Ok::<_, Infallible>(Event::default().data(word))))
    };
    let server = Server::start(Router::new().route("/events", get(events))).await?;
    let mut client = server.http1().await?;
    let mut answer = client.send_request(super::get("/events")).await?;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    for word in ["one", "two"] {
        sender.send(word).await?;
        let event = answer.frame().await.expect("the events go on")?;
        assert_eq!(event.into_data().expect("it is no trailer"), format!("data: {word}\n\n"));
    }
    drop(sender);
    assert!(answer.frame().await.is_none());
    Ok(server.end().await?)
}

/// What the guide shows in place of `Sse::keep_alive`.
fn kept_alive<E>(
    events: impl Stream<Item = Result<Event, E>>,
    every: Duration,
) -> impl Stream<Item = Result<Event, E>> {
    stream::unfold(Box::pin(events), move |mut events| async move {
        let event = match time::timeout(every, events.next()).await {
            Ok(event) => event?,
            Err(_) => Ok(Event::default().comment("")),
        };
        Some((event, events))
    })
}

#[corering::test]
async fn comments_keep_silent_events_alive() -> Result<(), Failure> {
    let events = || async {
        let silent = stream::pending::<Result<Event, Infallible>>();
        Sse::new(local(kept_alive(silent, Duration::from_millis(1))))
    };
    let server = Server::start(Router::new().route("/events", get(events))).await?;
    let mut answer = server.http1().await?.send_request(super::get("/events")).await?;
    for _ in 0..3 {
        let event = answer.frame().await.expect("the events go on")?;
        assert_eq!(event.into_data().expect("it is no trailer"), ": \n\n");
    }
    drop(answer);
    Ok(server.end().await?)
}

/// What the guide shows in place of the timeout of tower and tower-http.
async fn limited(request: Request, next: Next) -> Response {
    match local(time::timeout(Duration::from_millis(1), next.run(request))).await {
        Ok(response) => response,
        Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
    }
}

#[corering::test]
async fn middleware_ends_slow_handler_by_timer_of_shard() -> Result<(), Failure> {
    let router = Router::new()
        .route("/slow", get(std::future::pending::<()>))
        .route("/fast", get("fast"))
        .layer(from_fn(limited));
    let server = Server::start(router).await?;
    assert_eq!(server.get("/slow").await?.0, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(server.get("/fast").await?, (StatusCode::OK, "fast".to_owned()));
    Ok(server.end().await?)
}

#[corering::test]
async fn timers_of_axum_and_tower_work_beside_guest() -> Result<(), Failure> {
    async fn events() -> impl IntoResponse {
        let silent = stream::pending::<Result<Event, Infallible>>();
        Sse::new(silent).keep_alive(KeepAlive::new().interval(Duration::from_millis(1)))
    }

    async fn late(_: tower::BoxError) -> StatusCode {
        StatusCode::GATEWAY_TIMEOUT
    }

    let guest = Guest::new()?;
    let tokio = guest.enter();
    let limit = TimeoutLayer::new(Duration::from_millis(1));
    let limited = get(std::future::pending::<()>)
        .layer(ServiceBuilder::new().layer(HandleErrorLayer::new(late)).layer(limit));
    let router = Router::new().route("/events", get(events)).route("/slow", limited);
    let server = Server::start(router).await?;
    let mut answer = server.http1().await?.send_request(super::get("/events")).await?;
    for _ in 0..3 {
        let event = answer.frame().await.expect("the events go on")?;
        assert_eq!(event.into_data().expect("it is no trailer"), ":\n\n");
    }
    drop(answer);
    assert_eq!(server.get("/slow").await?.0, StatusCode::GATEWAY_TIMEOUT);
    server.end().await?;
    drop(tokio);
    Ok(())
}

#[corering::test]
async fn handler_asks_another_server_over_stream_of_shard() -> Result<(), Failure> {
    let behind = Server::start(Router::new().route("/", get("from behind"))).await?;
    let address = behind.address;
    let ask = move || {
        local(async move {
            let stream = corering::net::TcpStream::connect(address).await.expect("it listens");
            let mut client = super::http1(stream).await.expect("it speaks HTTP");
            let answer = client.send_request(super::get("/")).await.expect("it answers");
            let body = answer.into_body().collect().await.expect("the whole");
            body.to_bytes()
        })
    };
    let server = Server::start(Router::new().route("/", get(ask))).await?;
    assert_eq!(server.get("/").await?.1, "from behind");
    server.end().await?;
    Ok(behind.end().await?)
}

#[corering::test]
async fn any_tower_service_is_served() -> Result<(), Failure> {
    let listener = corering::net::TcpListener::bind("127.0.0.1:0").await?;
    let stream = corering::net::TcpStream::connect(listener.local_addr()?);
    // Neither it nor its futures are `Send`.
    let counter = std::rc::Rc::new(std::cell::Cell::new(0));
    let service = tower::service_fn(move |_: hyper::Request<hyper::body::Incoming>| {
        let counter = counter.clone();
        async move {
            counter.set(counter.get() + 1);
            let body = http_body_util::Full::new(Bytes::from(format!("call {}", counter.get())));
            Ok::<_, Infallible>(hyper::Response::new(body))
        }
    });
    let server = corering::spawn(compat::serve(listener, service).into_future());
    let mut client = super::http1(stream.await?).await?;
    for call in 1..=3 {
        let answer = super::whole(client.send_request(super::get("/")).await?).await?;
        assert_eq!(answer.1, format!("call {call}"));
        client.ready().await?;
    }
    server.abort();
    Ok(())
}
