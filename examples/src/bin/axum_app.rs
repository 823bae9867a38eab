//! A small site by axum, on corering: JSON, files that come and go, a WebSocket, server-sent events.
//! Handlers are axum's own; what stays on its shard, such as a file or a timer, goes through
//! `compat::local`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{self, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use clap::Parser;
use corering::compat::axum::WebSocketUpgrade;
use corering::compat::{self, local};
use corering::fs::{self, File};
use corering::{net, signal, time};
use corering_examples::{ShardOptions, complain, say};
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};

/// Serves a small site until Ctrl-C or SIGTERM, by HTTP/1.1 and HTTP/2. Prints "listening on ADDR".
///
/// GET /greet/NAME and POST /sum answer with JSON; PUT and GET /files/NAME store a file and fetch it;
/// /ws sends WebSocket messages back; GET /ticks?count=3&millis=100 sends events.
#[derive(Debug, Parser)]
struct Arguments {
    /// The address to listen on, such as 127.0.0.1:8080. Port 0 lets the kernel choose one.
    #[arg(long, value_name = "ADDR")]
    addr: SocketAddr,
    /// The folder that files are stored in.
    #[arg(long, value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    #[command(flatten)]
    shards: ShardOptions,
}

/// How long answers may take that have begun when the program is to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        complain(format_args!("axum_app: {error}"));
        std::process::exit(1);
    }
}

fn run(Arguments { addr, folder, shards }: &Arguments) -> io::Result<()> {
    let listeners = net::bind_shards(*addr, shards.shards)?;
    let router = router(Arc::from(folder.as_path()));
    let stop = signal::shutdown();
    let ended = shards.runtime().try_run(async |shard| {
        let server = compat::serve(listeners.take(&shard)?, router.clone());
        if shard.id() == 0 {
            say(format_args!("listening on {}", listeners.local_addr()));
        }
        server.with_graceful_shutdown(stop.clone()).drain_timeout(DRAIN_TIMEOUT).await
    });
    ended.map(drop)
}

type Folder = Arc<path::Path>;

fn router(folder: Folder) -> Router {
    Router::new()
        .route("/greet/{name}", get(greet))
        .route("/sum", post(sum))
        .route("/files/{name}", get(fetch).put(store))
        .route("/ws", any(echo))
        .route("/ticks", get(ticks))
        .with_state(folder)
}

#[derive(Serialize)]
struct Greeting {
    hello: String,
}

async fn greet(Path(name): Path<String>) -> Json<Greeting> {
    Json(Greeting { hello: name })
}

#[derive(Deserialize)]
struct Numbers {
    numbers: Vec<f64>,
}

#[derive(Serialize)]
struct Sum {
    sum: f64,
}

async fn sum(Json(Numbers { numbers }): Json<Numbers>) -> Json<Sum> {
    Json(Sum { sum: numbers.iter().sum() })
}

/// Why there is no file.
enum FileError {
    /// The name is none of a file in the folder.
    Name,
    Io(io::Error),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        FileError::Io(error)
    }
}

impl IntoResponse for FileError {
    fn into_response(self) -> Response {
        let status = match &self {
            FileError::Name => StatusCode::BAD_REQUEST,
            FileError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                StatusCode::NOT_FOUND
            }
            FileError::Io(error) => {
                complain(format_args!("axum_app: {error}"));
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        status.into_response()
    }
}

/// Where a file is. Segments of a URL may have slashes and dots in them once they are decoded.
fn path_in(folder: &Folder, name: &str) -> Result<PathBuf, FileError> {
    let mut parts = path::Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(path::Component::Normal(part)), None) if part == name => Ok(folder.join(name)),
        _ => Err(FileError::Name),
    }
}

/// Bytes of a file that are read, and sent, at a time.
const PIECE: usize = 64 * 1024;

async fn fetch(
    State(folder): State<Folder>,
    Path(name): Path<String>,
) -> Result<Response, FileError> {
    let path = path_in(&folder, &name)?;
    let opened = local(async move {
        let file = File::open(path).await?;
        let length = file.metadata().await?.len();
        let pieces = stream::try_unfold((file, 0), async |(file, offset)| {
            let (read, piece) = file.read_at(Vec::with_capacity(PIECE), offset).await?;
            Ok::<_, io::Error>((read > 0).then(|| (piece, (file, offset + read as u64))))
        });
        Ok::<_, io::Error>((length, local(pieces)))
    });
    let (length, pieces) = opened.await?;
    Ok(([("content-length", length.to_string())], Body::from_stream(pieces)).into_response())
}

async fn store(
    State(folder): State<Folder>,
    Path(name): Path<String>,
    body: Body,
) -> Result<StatusCode, FileError> {
    let path = path_in(&folder, &name)?;
    let stored = local(async move {
        let written = write(&path, body).await;
        if written.is_err() {
            // What is there is no whole file.
            fs::remove_file(path).await?;
        }
        written
    });
    stored.await?;
    Ok(StatusCode::CREATED)
}

/// Writes each piece where it was received: they are not copied.
async fn write(path: &path::Path, body: Body) -> io::Result<()> {
    let file = File::create(path).await?;
    let mut offset = 0;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(io::Error::other)?;
        let length = piece.len() as u64;
        file.write_all_at(piece, offset).await?;
        offset += length;
    }
    file.close().await
}

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        while let Some(Ok(message)) = socket.recv().await {
            // tungstenite answers what else there is.
            let is_data = message.is_text() || message.is_binary();
            if is_data && socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

#[derive(Deserialize)]
struct Ticks {
    #[serde(default = "three")]
    count: u64,
    #[serde(default)]
    millis: u64,
}

fn three() -> u64 {
    3
}

async fn ticks(Query(Ticks { count, millis }): Query<Ticks>) -> impl IntoResponse {
    let ticks = stream::iter(1..=count).then(move |tick| async move {
        time::sleep(Duration::from_millis(millis)).await;
        Ok::<_, Infallible>(Event::default().data(tick.to_string()))
    });
    Sse::new(local(ticks))
}
