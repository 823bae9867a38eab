//! Files from handlers.

use std::cell::RefCell;
use std::rc::Rc;

use axum::body::Body;
use axum::extract::Path;
use axum::{Router, routing};
use corering::compat::{self, FileBody};
use corering::fs::{File, FileCache};
use hyper::StatusCode;

use super::{Failure, Server};

thread_local! {
    /// Each shard has a cache of its own.
    static CACHE: RefCell<Option<Rc<FileCache>>> = const { RefCell::new(None) };
}

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

async fn file(Path(path): Path<String>) -> Result<Body, StatusCode> {
    compat::local(async move {
        let cache = CACHE.with_borrow(|cache| cache.clone().expect("the test has made it"));
        let file = cache.get(path).await.map_err(|_| StatusCode::NOT_FOUND)?;
        Ok(Body::new(FileBody::cached(file, 0..u64::MAX)))
    })
    .await
}

#[corering::test]
async fn handler_answers_with_cached_files() -> Result<(), Failure> {
    let root = File::open(ROOT).await?;
    CACHE.set(Some(Rc::new(FileCache::builder().beneath(&root))));
    let server = Server::start(Router::new().route("/{*path}", routing::get(file))).await?;
    for name in ["Cargo.toml", "Cargo.lock"] {
        let (status, text) = server.get(&format!("/{name}")).await?;
        assert_eq!(status, StatusCode::OK);
        assert!(text == std::fs::read_to_string(format!("{ROOT}/{name}"))?, "{name}");
    }
    assert_eq!(server.get("/none").await?.0, StatusCode::NOT_FOUND);
    server.end().await?;
    CACHE.set(None);
    Ok(())
}
