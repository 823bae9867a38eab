//! Files as bodies: from memory, and piece by piece.

use std::fs;
use std::path::Path;
use std::rc::Rc;

use corering::compat::FileBody;
use corering::fs::{File, FileCache};
use hyper::service::service_fn;

use super::*;

/// Serves parts of the files of this project on one connection, and receives them.
async fn received(path: &str, range: std::ops::Range<u64>) -> Result<Bytes, Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cache: Rc<FileCache> = Rc::new(FileCache::builder().beneath(&File::open(root).await?));
    let (client, server) = connection().await?;
    let answer = service_fn(move |request: Request<Incoming>| {
        let (cache, range) = (cache.clone(), range.clone());
        async move {
            let file = cache.get(&request.uri().path()[1..]).await?;
            IoResult::Ok(Response::new(FileBody::cached(file, range)))
        }
    });
    corering::spawn(http1_server().serve_connection(Hyper::new(server), answer));
    let mut client = http1_client(client).await?;
    let request = Request::get(format!("/{path}")).body(Full::<Bytes>::default())?;
    let response = client.send_request(request).await?;
    let announced = response.headers().get("content-length").expect("the length is known").clone();
    let bytes = response.into_body().collect().await?.to_bytes();
    assert_eq!(announced, bytes.len().to_string());
    Ok(bytes)
}

#[corering::test]
async fn cached_files_of_every_size_arrive_in_parts_and_whole() -> Result<(), Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // They were there before this was compiled, so the small one is in memory.
    for path in ["Cargo.toml", "Cargo.lock"] {
        let expected = fs::read(root.join(path))?;
        let len = expected.len() as u64;
        for range in [0..u64::MAX, 5..len - 5, len..len + 1, 7..7] {
            let part = range.start as usize..range.end.min(len).max(range.start) as usize;
            assert!(received(path, range.clone()).await? == expected[part], "{path} {range:?}");
        }
    }
    Ok(())
}

#[corering::test]
async fn file_that_is_shorter_than_announced_ends_the_body() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("file");
    fs::write(&path, vec![7; 100_000])?;
    let file = Rc::new(File::open(&path).await?);
    let whole = FileBody::new(file.clone(), 0..100_000).collect().await?.to_bytes();
    assert!(whole == vec![7; 100_000]);
    let error = FileBody::new(file, 50_000..200_000).collect().await.expect_err("it has fewer");
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    Ok(())
}
