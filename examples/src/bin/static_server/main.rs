//! Serves the files of one folder over HTTP/1.1.
// The connection loop that uses these modules comes with the runtime's sockets and files.
#![allow(dead_code)]
// Reading order: a connection cuts its input into heads, a head becomes a request, its target a
// resource; the answer is decided from the request and the file, and written as a response.
mod answer;
mod body;
mod conditions;
mod fields;
mod input;
mod listing;
mod range;
mod request;
mod resource;
mod response;
mod status;

fn main() {}
