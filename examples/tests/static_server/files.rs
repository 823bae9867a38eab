//! What is served: files whole and in parts, folders, and nothing twice.

use std::fs;
use std::path::Path;

use crate::on_both_drivers;
use crate::support::{Server, pattern};

on_both_drivers! {
    files_of_any_length_arrive_whole,
    types_and_validators_are_announced,
    head_is_get_without_content,
    ranges_are_parts_of_the_file,
    what_the_client_has_is_not_sent_again,
    a_folder_shows_its_index_page,
    a_folder_without_index_page_is_listed,
    a_folder_without_slash_is_redirected,
    a_slash_after_a_file_is_404,
    names_are_decoded,
    all_shards_serve,
}

fn files_of_any_length_arrive_whole(driver: &str) {
    // Around the length up to which head and content leave together, and well beyond.
    let lengths = [0, 1, 1024, 65_535, 65_536, 65_537, 200_000, 8 * 1024 * 1024 + 1];
    let server = Server::start(driver, &[], |root| {
        for length in lengths {
            fs::write(root.join(length.to_string()), pattern(length)).unwrap();
        }
    });
    let mut client = server.connect();
    for length in lengths {
        client.send(&format!("GET /{length} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status, 200);
        assert!(response.content == pattern(length), "{length} bytes arrive as they are");
    }
}

fn types_and_validators_are_announced(driver: &str) {
    let server = Server::start(driver, &[], |root| {
        for name in ["a.html", "a.css", "a.png", "a"] {
            fs::write(root.join(name), "x").unwrap();
        }
    });
    for (target, content_type) in [
        ("/a.html", "text/html; charset=utf-8"),
        ("/a.css", "text/css; charset=utf-8"),
        ("/a.png", "image/png"),
        ("/a", "application/octet-stream"),
    ] {
        let response = server.get(target);
        assert_eq!(response.field("Content-Type"), Some(content_type));
        let modified = fs::metadata(server.root.path().join(&target[1..])).unwrap().modified();
        let modified = httpdate::fmt_http_date(modified.unwrap());
        assert_eq!(response.field("Last-Modified"), Some(&*modified));
        for name in ["Date", "ETag", "Accept-Ranges"] {
            assert!(response.field(name).is_some(), "{name} in {response:?}");
        }
    }
}

fn head_is_get_without_content(driver: &str) {
    let server = Server::start(driver, &[], |root| {
        fs::write(root.join("small"), pattern(1000)).unwrap();
        fs::write(root.join("large"), pattern(1_000_000)).unwrap();
    });
    let mut client = server.connect();
    for (target, length) in [("/small", "1000"), ("/large", "1000000"), ("/", "")] {
        client.send(&format!("HEAD {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let head = client.response_to("HEAD");
        assert_eq!(head.status, 200);
        if !length.is_empty() {
            assert_eq!(head.field("Content-Length"), Some(length));
        }
    }
    // If a byte of content had been sent, it would stand before this answer.
    client.send("HEAD /missing HTTP/1.1\r\nHost: x\r\n\r\nGET /small HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response_to("HEAD").status, 404);
    assert_eq!(client.response().content, pattern(1000));
}

fn ranges_are_parts_of_the_file(driver: &str) {
    let content = pattern(300_000);
    let server =
        Server::start(driver, &[], |root| fs::write(root.join("f"), pattern(300_000)).unwrap());
    for (range, part) in [
        ("bytes=100-199", 100..200),
        ("bytes=0-0", 0..1),
        ("bytes=299999-", 299_999..300_000),
        ("bytes=-5", 299_995..300_000),
        ("bytes=1000-299999", 1000..300_000),
        ("bytes=65536-131071", 65_536..131_072),
    ] {
        let response = server.get_with("/f", &format!("Range: {range}\r\n"));
        assert_eq!(response.status, 206, "{range}");
        assert_eq!(response.content, content[part.clone()], "{range}");
        let named = format!("bytes {}-{}/300000", part.start, part.end - 1);
        assert_eq!(response.field("Content-Range"), Some(&*named));
    }
    let beyond = server.get_with("/f", "Range: bytes=300000-\r\n");
    assert_eq!((beyond.status, beyond.field("Content-Range")), (416, Some("bytes */300000")));
    let whole = server.get("/f");
    assert_eq!((whole.status, whole.content.len()), (200, content.len()));

    let tag = whole.field("ETag").unwrap();
    let lines = format!("Range: bytes=0-1\r\nIf-Range: {tag}\r\n");
    assert_eq!(server.get_with("/f", &lines).status, 206);
    let lines = "Range: bytes=0-1\r\nIf-Range: \"another\"\r\n";
    assert_eq!(server.get_with("/f", lines).status, 200);
}

fn what_the_client_has_is_not_sent_again(driver: &str) {
    let server = Server::start(driver, &[], |root| fs::write(root.join("f"), "first").unwrap());
    let first = server.get("/f");
    let tag = first.field("ETag").unwrap();
    let same_tag = format!("If-None-Match: {tag}\r\n");
    let same_date = format!("If-Modified-Since: {}\r\n", first.field("Last-Modified").unwrap());
    for lines in [&same_tag, &same_date] {
        let response = server.get_with("/f", lines);
        assert_eq!((response.status, response.field("ETag")), (304, Some(tag)));
        assert!(response.content.is_empty());
    }
    fs::write(server.root.path().join("f"), "second one").unwrap();
    let second = server.get_with("/f", &same_tag);
    assert_eq!((second.status, second.text()), (200, "second one"));
    assert_eq!(server.get_with("/f", &format!("If-Match: {tag}\r\n")).status, 412);
}

fn with_folders(root: &Path) {
    fs::create_dir_all(root.join("with/deep")).unwrap();
    fs::create_dir(root.join("without <index>")).unwrap();
    fs::write(root.join("with/index.html"), "the index").unwrap();
    fs::write(root.join("with/deep/file"), "deep").unwrap();
    fs::write(root.join("without <index>/a & b"), "ab").unwrap();
}

fn a_folder_shows_its_index_page(driver: &str) {
    let server = Server::start(driver, &[], with_folders);
    let response = server.get("/with/");
    assert_eq!((response.status, response.text()), (200, "the index"));
    assert_eq!(response.field("Content-Type"), Some("text/html; charset=utf-8"));
    assert_eq!(server.get("/with/deep/file").text(), "deep");
}

fn a_folder_without_index_page_is_listed(driver: &str) {
    let server = Server::start(driver, &[], with_folders);
    let root = server.get("/");
    assert_eq!((root.status, root.field("Content-Type")), (200, Some("text/html; charset=utf-8")));
    assert!(root.text().contains("<a href=\"./with/\">with/</a>"), "{}", root.text());
    let folder = server.get("/without%20%3Cindex%3E/");
    assert!(folder.text().contains("<a href=\"./a%20%26%20b\">a &amp; b</a>"), "{}", folder.text());
    assert!(!folder.text().contains("<index>"), "{}", folder.text());
    assert_eq!(server.get("/without%20%3Cindex%3E/a%20%26%20b").text(), "ab");
}

fn a_folder_without_slash_is_redirected(driver: &str) {
    let server = Server::start(driver, &[], with_folders);
    for (target, location) in [
        ("/with", "/with/"),
        ("/with?a=b", "/with/?a=b"),
        ("//with", "/with/"),
        ("/without%20%3cindex%3e", "/without%20%3Cindex%3E/"),
        ("http://elsewhere/with", "/with/"),
    ] {
        let response = server.get(target);
        assert_eq!((response.status, response.field("Location")), (301, Some(location)));
    }
}

fn a_slash_after_a_file_is_404(driver: &str) {
    let server = Server::start(driver, &[], with_folders);
    for target in ["/with/index.html/", "/with/index.html/.", "/with/index.html/x", "/missing/"] {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
}

fn names_are_decoded(driver: &str) {
    let names = ["a b", "é", "100%", "a\\b", "a;b=c", "..a", "a?b", "%2e"];
    let server = Server::start(driver, &[], |root| {
        for name in names {
            fs::write(root.join(name), name).unwrap();
        }
    });
    for (target, name) in [
        ("/a%20b", "a b"),
        ("/%C3%A9", "é"),
        ("/100%25", "100%"),
        ("/a%5cb", "a\\b"),
        ("/a;b=c", "a;b=c"),
        ("/..a", "..a"),
        ("/a%3fb", "a?b"),
        ("/%252e", "%2e"),
        ("/./a%20b?query", "a b"),
    ] {
        assert_eq!(server.get(target).text(), name, "{target}");
    }
}

fn all_shards_serve(driver: &str) {
    let server = Server::start(driver, &["--shards", "2"], |root| {
        fs::write(root.join("f"), "here").unwrap();
    });
    // The kernel spreads connections by their ports: among 64, each shard gets some.
    for _ in 0..64 {
        assert_eq!(server.get("/f").text(), "here");
    }
}
