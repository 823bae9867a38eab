//! Several ranges in one request, by raw bytes and by curl.

use std::fs;
use std::io::Read;
use std::ops::Range;
use std::process::Command;

use crate::on_both_drivers;
use crate::programs::is_left_out;
use crate::support::{Response, Server, pattern, write_sparse};

on_both_drivers! {
    several_ranges_come_in_parts_of_one_answer,
    parts_of_any_length_arrive_whole,
    bytes_asked_for_twice_get_the_whole_file,
    ranges_that_the_file_lacks_are_left_out,
    several_ranges_obey_conditions,
    a_part_that_is_gone_ends_the_connection,
    curl_gets_the_ranges_it_asks_for,
}

/// The content that the parts of an answer make, as RFC 9110 writes it, section 14.6.
fn multipart(content: &[u8], ranges: &[Range<usize>], boundary: &str) -> Vec<u8> {
    let mut expected = Vec::new();
    for range in ranges {
        let (first, last, all) = (range.start, range.end - 1, content.len());
        let head = format!(
            "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Range: bytes {first}-{last}/{all}\r\n\r\n"
        );
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&content[range.clone()]);
        expected.extend_from_slice(b"\r\n");
    }
    expected.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    expected
}

fn boundary(response: &Response) -> &str {
    let content_type = response.field("Content-Type").expect("the content has a type");
    content_type.strip_prefix("multipart/byteranges; boundary=").expect("there are parts")
}

fn serve(driver: &str, bytes: usize) -> Server {
    Server::start(driver, &[], |root| fs::write(root.join("f.txt"), pattern(bytes)).unwrap())
}

fn several_ranges_come_in_parts_of_one_answer(driver: &str) {
    let server = serve(driver, 1000);
    let mut client = server.connect();
    // More requests follow, so a length that is wrong would be noticed.
    for _ in 0..2 {
        client.send("GET /f.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=5-9,-1, 0-0\r\n\r\n");
        let response = client.response();
        assert_eq!(response.status, 206);
        assert_eq!(response.field("Content-Range"), None);
        for name in ["ETag", "Last-Modified", "Accept-Ranges"] {
            assert!(response.field(name).is_some(), "{name} in {response:?}");
        }
        let ranges = [5..10, 999..1000, 0..1];
        assert!(response.content == multipart(&pattern(1000), &ranges, boundary(&response)));
    }
    client.send("HEAD /f.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=0-0,5-5\r\n\r\n");
    let head = client.response_to("HEAD");
    assert_eq!((head.status, head.field("Content-Length")), (200, Some("1000")));
}

fn parts_of_any_length_arrive_whole(driver: &str) {
    // Around the length up to which answers gather, and beyond.
    let ranges = [700_000..765_537, 0..1, 100..65_635, 65_635..131_171, 200_000..699_999];
    let server = serve(driver, 1_000_000);
    let list: Vec<_> =
        ranges.iter().map(|range| format!("{}-{}", range.start, range.end - 1)).collect();
    let response = server.get_with("/f.txt", &format!("Range: bytes={}\r\n", list.join(",")));
    assert_eq!(response.status, 206);
    let expected = multipart(&pattern(1_000_000), &ranges, boundary(&response));
    assert!(response.content == expected, "every part arrives as it is");
}

fn bytes_asked_for_twice_get_the_whole_file(driver: &str) {
    let server = serve(driver, 1000);
    let many: Vec<_> = (0..100).map(|n| format!("{n}-{n}")).collect();
    for list in ["0-5,5-9", "0-,-1", "0-0,0-0", &many.join(","), &"0-".repeat(2000)] {
        let response = server.get_with("/f.txt", &format!("Range: bytes={list}\r\n"));
        assert_eq!((response.status, response.content.len()), (200, 1000), "{list}");
    }
}

fn ranges_that_the_file_lacks_are_left_out(driver: &str) {
    let server = serve(driver, 1000);
    let one = server.get_with("/f.txt", "Range: bytes=1-2,1000-\r\n");
    assert_eq!((one.status, one.field("Content-Range")), (206, Some("bytes 1-2/1000")));
    assert!(one.content == pattern(1000)[1..3]);
    let none = server.get_with("/f.txt", "Range: bytes=1000-,2000-3000\r\n");
    assert_eq!((none.status, none.field("Content-Range")), (416, Some("bytes */1000")));
}

fn several_ranges_obey_conditions(driver: &str) {
    let server = serve(driver, 1000);
    let tag = server.get("/f.txt").field("ETag").unwrap().to_owned();
    for (condition, status) in [
        (format!("If-Range: {tag}"), 206),
        ("If-Range: \"another\"".to_owned(), 200),
        (format!("If-None-Match: {tag}"), 304),
        (format!("If-Match: {tag}"), 206),
        ("If-Match: \"another\"".to_owned(), 412),
    ] {
        let lines = format!("Range: bytes=0-1,5-6\r\n{condition}\r\n");
        assert_eq!(server.get_with("/f.txt", &lines).status, status, "{condition}");
    }
}

fn a_part_that_is_gone_ends_the_connection(driver: &str) {
    const MIB: u64 = 1 << 20;
    let server = Server::start(driver, &[], |root| write_sparse(&root.join("f"), 64 * MIB));
    let mut client = server.connect();
    let ranges = format!("bytes=0-{},{}-{}", 32 * MIB - 1, 40 * MIB, 40 * MIB + 9);
    client.send(&format!("GET /f HTTP/1.1\r\nHost: x\r\nRange: {ranges}\r\n\r\n"));
    // The first part is under way, and more than all buffers hold: the second is not read yet.
    client.stream.read_exact(&mut [0]).expect("the answer begins");
    let file = fs::OpenOptions::new().write(true).open(server.root.path().join("f")).unwrap();
    file.set_len(32 * MIB).unwrap();
    let mut content = Vec::new();
    client.stream.read_to_end(&mut content).expect("the connection ends in order");
    assert!(content.len() as u64 > 32 * MIB, "the first part arrives");
    let text = String::from_utf8_lossy(&content[32 * MIB as usize..]);
    assert!(!text.contains("HTTP/1.1"), "no other answer stands in this one: {text}");
    assert!(!content.ends_with(b"--\r\n"), "the answer does not end as if it were whole");
}

fn curl_gets_the_ranges_it_asks_for(driver: &str) {
    if is_left_out("curl") {
        return;
    }
    let server = serve(driver, 1000);
    let url = format!("http://{}/f.txt", server.address);
    let curl = |ranges: &str| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "60", "-r", ranges, "-D", "-", &url]);
        let output = command.output().expect("curl is there: scripts/test installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let at = output.stdout.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        (String::from_utf8(output.stdout[..at].to_vec()).unwrap(), output.stdout[at..].to_vec())
    };
    let (head, content) = curl("0-1,5-9");
    assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
    let (_, boundary) = head.split_once("boundary=").expect("there are parts");
    let boundary = boundary.lines().next().unwrap();
    assert!(content == multipart(&pattern(1000), &[0..2, 5..10], boundary), "{head}");
    let (head, content) = curl("-3");
    assert!(head.contains("Content-Range: bytes 997-999/1000\r\n"), "{head}");
    assert!(content == pattern(1000)[997..]);
}
