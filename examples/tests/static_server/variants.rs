//! Compressed files that lie beside the file they were made of, by raw bytes and by curl.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::on_both_drivers;
use crate::programs::is_left_out;
use crate::support::{Client, Server, pattern};

on_both_drivers! {
    variants_go_to_clients_that_accept_them,
    variants_appear_and_go_with_their_files,
    variants_older_than_their_file_are_ignored,
    variants_that_are_no_files_are_ignored,
    variants_have_validators_and_lengths_of_their_own,
    ranges_of_a_variant_are_parts_of_it,
    index_pages_have_variants,
    a_variant_by_its_own_name_is_a_file_like_any,
    curl_decodes_what_it_gets,
}

/// Of different lengths. They need not be compressed for these tests.
const FORMS: [(&str, &str); 4] = [("", "plain"), (".br", "brotli"), (".zst", "zst"), (".gz", "gz")];

fn write_forms(root: &Path, name: &str) {
    for (suffix, content) in FORMS {
        fs::write(root.join(format!("{name}{suffix}")), content).unwrap();
    }
}

fn serve(driver: &str) -> Server {
    Server::start(driver, &[], |root| write_forms(root, "f.html"))
}

fn variants_go_to_clients_that_accept_them(driver: &str) {
    let server = serve(driver);
    let mut tags = Vec::new();
    for (accepted, coding, content) in [
        ("gzip, deflate, br, zstd", Some("br"), "brotli"),
        ("gzip, zstd", Some("zstd"), "zst"),
        ("gzip, br;q=0.9", Some("gzip"), "gz"),
        ("deflate, gzip;q=0, br;q=0", None, "plain"),
    ] {
        for method in ["GET", "HEAD"] {
            let mut client = server.connect();
            let lines = format!("Host: x\r\nAccept-Encoding: {accepted}\r\n");
            client.send(&format!("{method} /f.html HTTP/1.1\r\n{lines}\r\n"));
            let response = client.response_to(method);
            assert_eq!((response.status, response.field("Content-Encoding")), (200, coding));
            assert_eq!(response.field("Content-Type"), Some("text/html; charset=utf-8"));
            assert_eq!(response.field("Vary"), Some("Accept-Encoding"));
            assert_eq!(response.field("Content-Length"), Some(&*content.len().to_string()));
            if method == "GET" {
                assert_eq!(response.text(), content, "{accepted}");
                tags.push(response.field("ETag").unwrap().to_owned());
            }
        }
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), FORMS.len(), "each form has a tag of its own");
    let whoever = server.get("/f.html");
    assert_eq!((whoever.text(), whoever.field("Vary")), ("plain", Some("Accept-Encoding")));
    let several =
        server.get_with("/f.html", "Accept-Encoding: br;q=0\r\nAccept-Encoding: gzip\r\n");
    assert_eq!(several.text(), "gz");
}

/// Asks as a client that takes them all, until the answer is the expected one: what is known of a file
/// may be a second old.
fn wait_for(client: &mut Client, status: u16, content: &str) {
    loop {
        client.send("GET /f.html HTTP/1.1\r\nHost: x\r\nAccept-Encoding: *\r\n\r\n");
        let response = client.response();
        if response.status == status && response.text().contains(content) {
            return;
        }
    }
}

fn variants_appear_and_go_with_their_files(driver: &str) {
    let server =
        Server::start(driver, &[], |root| fs::write(root.join("f.html"), "plain").unwrap());
    let path = |suffix: &str| server.root.path().join(format!("f.html{suffix}"));
    let mut client = server.connect();
    wait_for(&mut client, 200, "plain");
    fs::write(path(".gz"), "gz").unwrap();
    wait_for(&mut client, 200, "gz");
    fs::write(path(".br"), "brotli").unwrap();
    wait_for(&mut client, 200, "brotli");
    fs::remove_file(path(".br")).unwrap();
    wait_for(&mut client, 200, "gz");
    fs::remove_file(path(".gz")).unwrap();
    wait_for(&mut client, 200, "plain");
    // A variant alone is none.
    fs::write(path(".gz"), "gz").unwrap();
    fs::remove_file(path("")).unwrap();
    wait_for(&mut client, 404, "");
}

fn variants_older_than_their_file_are_ignored(driver: &str) {
    let base = SystemTime::UNIX_EPOCH + Duration::from_secs(1_612_325_106);
    let at = |root: &Path, name: &str, millis| {
        let file = File::options().write(true).open(root.join(name)).unwrap();
        file.set_modified(base + Duration::from_millis(millis)).unwrap();
    };
    let server = Server::start(driver, &[], |root| {
        write_forms(root, "f.html");
        at(root, "f.html", 1500);
        at(root, "f.html.br", 999);
        // Some programs copy the time without its fraction.
        at(root, "f.html.zst", 1000);
        at(root, "f.html.gz", 9999);
    });
    let response = server.get_with("/f.html", "Accept-Encoding: br, zstd, gzip\r\n");
    assert_eq!(response.text(), "zst");
    let response = server.get_with("/f.html", "Accept-Encoding: br\r\n");
    assert_eq!((response.text(), response.field("Content-Encoding")), ("plain", None));
}

fn variants_that_are_no_files_are_ignored(driver: &str) {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let server = Server::start(driver, &[], |root| {
        fs::write(root.join("f.html"), "plain").unwrap();
        fs::create_dir(root.join("f.html.br")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), root.join("f.html.zst")).unwrap();
        let fifo = rustix::fs::Mode::from_raw_mode(0o666);
        rustix::fs::mkfifoat(rustix::fs::CWD, root.join("f.html.gz"), fifo).unwrap();
    });
    for coding in ["br", "zstd", "gzip", "*"] {
        let response = server.get_with("/f.html", &format!("Accept-Encoding: {coding}\r\n"));
        assert_eq!((response.status, response.text()), (200, "plain"), "{coding}");
    }
}

fn variants_have_validators_and_lengths_of_their_own(driver: &str) {
    let server = serve(driver);
    let plain = server.get("/f.html").field("ETag").unwrap().to_owned();
    let lines = "Accept-Encoding: gzip\r\n";
    let gzip = server.get_with("/f.html", lines).field("ETag").unwrap().to_owned();
    for (condition, status) in [
        (format!("If-None-Match: {gzip}"), 304),
        (format!("If-None-Match: {plain}"), 200),
        (format!("If-Match: {gzip}"), 200),
        (format!("If-Match: {plain}"), 412),
    ] {
        let response = server.get_with("/f.html", &format!("{lines}{condition}\r\n"));
        assert_eq!(response.status, status, "{condition}");
        if status == 304 {
            assert_eq!(response.field("ETag"), Some(&*gzip));
            assert_eq!(response.field("Vary"), Some("Accept-Encoding"));
        }
    }
    let lines = format!("{lines}Range: bytes=0-1\r\n");
    for (tag, status) in [(gzip, 206), (plain, 200)] {
        let response = server.get_with("/f.html", &format!("{lines}If-Range: {tag}\r\n"));
        assert_eq!(response.status, status, "{tag}");
    }
}

fn ranges_of_a_variant_are_parts_of_it(driver: &str) {
    let server = Server::start(driver, &[], |root| {
        fs::write(root.join("f.html"), "plain").unwrap();
        fs::write(root.join("f.html.gz"), pattern(200_000)).unwrap();
    });
    let get = |ranges: &str| {
        let lines = format!("Accept-Encoding: gzip\r\nRange: bytes={ranges}\r\n");
        server.get_with("/f.html", &lines)
    };
    let one = get("100000-199999");
    assert_eq!((one.status, one.field("Content-Encoding")), (206, Some("gzip")));
    assert_eq!(one.field("Content-Range"), Some("bytes 100000-199999/200000"));
    assert!(one.content == pattern(200_000)[100_000..]);
    // The parts are compressed, and what holds them is not.
    let several = get("0-1,5-6");
    assert_eq!((several.status, several.field("Content-Encoding")), (206, None));
    let content = String::from_utf8_lossy(&several.content);
    assert_eq!(content.matches("Content-Encoding: gzip\r\n").count(), 2, "{content}");
    assert_eq!(
        content.matches("Content-Type: text/html; charset=utf-8\r\n").count(),
        2,
        "{content}"
    );
    assert_eq!(get("200000-").field("Content-Range"), Some("bytes */200000"));
}

fn index_pages_have_variants(driver: &str) {
    let server = Server::start(driver, &[], |root| write_forms(root, "index.html"));
    let response = server.get_with("/", "Accept-Encoding: br\r\n");
    assert_eq!((response.status, response.text()), (200, "brotli"));
    assert_eq!(response.field("Content-Type"), Some("text/html; charset=utf-8"));
}

fn a_variant_by_its_own_name_is_a_file_like_any(driver: &str) {
    let server = serve(driver);
    for lines in ["", "Accept-Encoding: gzip\r\n"] {
        // In both orders, so that what is remembered of the file is not mixed up.
        for (target, coding, content_type) in [
            ("/f.html.gz", None, "application/gzip"),
            ("/f.html", (!lines.is_empty()).then_some("gzip"), "text/html; charset=utf-8"),
            ("/f.html.gz", None, "application/gzip"),
        ] {
            let response = server.get_with(target, lines);
            assert_eq!(response.field("Content-Encoding"), coding, "{target}");
            assert_eq!(response.field("Content-Type"), Some(content_type));
        }
    }
}

fn curl_decodes_what_it_gets(driver: &str) {
    if is_left_out("curl") {
        return;
    }
    let text = "What is compressed, and what is not.\n".repeat(5000);
    let server = Server::start(driver, &[], |root| {
        fs::write(root.join("f.txt"), &text).unwrap();
        let gzip = Command::new("gzip").arg("--keep").arg(root.join("f.txt")).status();
        assert!(gzip.expect("every Linux has gzip").success());
    });
    let url = format!("http://{}/f.txt", server.address);
    for (flags, bytes) in [
        (&[][..], text.len() as u64),
        (&["--compressed"], fs::metadata(server.root.path().join("f.txt.gz")).unwrap().len()),
    ] {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "60", "-w", "%{stderr}%{size_download}"]).args(flags);
        let output = command.arg(&url).output().expect("curl is there: scripts/test installs it");
        assert!(output.stdout == text.as_bytes(), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(String::from_utf8_lossy(&output.stderr), bytes.to_string());
    }
}
