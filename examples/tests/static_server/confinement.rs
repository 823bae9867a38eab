//! Nothing outside the root is ever served, and nothing inside it that is not a file or a folder.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::on_both_drivers;
use crate::support::Server;

on_both_drivers! {
    no_path_leads_out_of_the_root,
    links_out_of_the_root_are_refused,
    links_within_the_root_are_followed,
    what_is_no_file_is_refused_and_blocks_nobody,
    files_without_permission_are_403,
}

const SECRET: &str = "the secret outside the root";

fn no_path_leads_out_of_the_root(driver: &str) {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), SECRET).unwrap();
    let name = outside.path().file_name().unwrap().to_str().unwrap();
    let server = Server::start(driver, &[], |root| fs::create_dir(root.join("a")).unwrap());

    let ups = [
        "..",
        "%2e%2e",
        ".%2e",
        "%2E.",
        "..%00",
        "%00..",
        "..%2f",
        "..%5c",
        "..\\",
        "%252e%252e",
        "....",
        "..;",
        "%c0%ae%c0%ae",
        "a/..",
        "./..",
        "/..",
    ];
    let mut client = server.connect();
    for up in ups {
        for prefix in ["/", "//", "/a/", "/a/../", "http://x/"] {
            for depth in 1..3 {
                let ups = format!("{up}/").repeat(depth);
                for target in [
                    format!("{prefix}{ups}{name}/secret"),
                    format!("{prefix}{ups}etc/passwd"),
                    format!("{prefix}{ups}"),
                ] {
                    client.send(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
                    let response = client.response();
                    assert!(matches!(response.status, 400 | 403 | 404), "{target}: {response:?}");
                }
            }
        }
    }
    let secret = outside.path().join("secret");
    for target in [format!("/{}", secret.display()), secret.display().to_string()] {
        assert_eq!(server.get(&target).status, 404, "{target}");
    }
}

fn links_out_of_the_root_are_refused(driver: &str) {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), SECRET).unwrap();
    let name = outside.path().file_name().unwrap();
    let server = Server::start(driver, &[], |root| {
        symlink(outside.path().join("secret"), root.join("absolute")).unwrap();
        symlink(std::path::Path::new("..").join(name).join("secret"), root.join("relative"))
            .unwrap();
        symlink(outside.path(), root.join("folder")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        symlink("circle", root.join("circle")).unwrap();
        symlink("missing", root.join("dangling")).unwrap();
    });
    for target in [
        "/absolute",
        "/relative",
        "/folder",
        "/folder/",
        "/folder/secret",
        "/magic/etc/passwd",
        "/circle",
        "/dangling",
    ] {
        let response = server.get(target);
        assert!(matches!(response.status, 403 | 404), "{target}: {response:?}");
        assert!(!response.text().contains("secret"), "{target}: {response:?}");
    }
}

fn links_within_the_root_are_followed(driver: &str) {
    let server = Server::start(driver, &[], |root| {
        fs::create_dir(root.join("a")).unwrap();
        fs::write(root.join("f"), "here").unwrap();
        symlink("../f", root.join("a/up")).unwrap();
        symlink("a", root.join("b")).unwrap();
    });
    assert_eq!(server.get("/a/up").text(), "here");
    assert_eq!(server.get("/b/up").text(), "here");
}

fn what_is_no_file_is_refused_and_blocks_nobody(driver: &str) {
    let server = Server::start(driver, &[], |root| {
        mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        drop(UnixListener::bind(root.join("socket")).unwrap());
        fs::write(root.join("f"), "here").unwrap();
    });
    // More than the threads of any pool, if each request took one.
    let mut clients: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET /fifo HTTP/1.1\r\nHost: x\r\n\r\nHEAD /fifo HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    assert_eq!(server.get("/f").text(), "here");
    for client in &mut clients {
        assert_eq!(client.response().status, 403);
        assert_eq!(client.response_to("HEAD").status, 403);
    }
    assert_eq!(server.get("/socket").status, 403);
}

fn files_without_permission_are_403(driver: &str) {
    let server = Server::start(driver, &[], |root| {
        fs::write(root.join("private"), SECRET).unwrap();
        fs::set_permissions(root.join("private"), fs::Permissions::from_mode(0o000)).unwrap();
    });
    // Root reads everything; then there is nothing to refuse.
    let is_readable = fs::read(server.root.path().join("private")).is_ok();
    assert_eq!(server.get("/private").status, if is_readable { 200 } else { 403 });
}
