//! The report says what the study says, in both of its forms.

use std::fs;
use std::path::PathBuf;

use corering_bench::study::analysis::conclude;
use corering_bench::study::report;
use corering_bench::study::schema::Study;

use crate::fixture::{EPOLL_WINS, TIES, URING_WINS, mixed, study};

const SECTIONS: [&str; 9] = [
    "The verdict",
    "What io_uring wins",
    "What io_uring loses",
    "Ties",
    "Cost beside speed",
    "Latency at fixed rates",
    "How it was measured, and what was thrown out",
    "The machine",
    "To repeat it",
];

/// The page and the text of `study`, written into a folder of the test called `name`.
fn written(name: &str, mut study: Study) -> [String; 2] {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).expect("the target directory takes a directory");
    conclude(&mut study);
    report::write(&study, &directory).expect("the directory is there");
    let names = fs::read_dir(&directory).expect("it was just made").count();
    assert_eq!(names, 2, "nothing is left behind in {}", directory.display());
    [report::PAGE, report::TEXT]
        .map(|name| fs::read_to_string(directory.join(name)).expect("it was written"))
}

/// What stands between the heading `from` and the next one.
fn section<'a>(text: &'a str, from: &str) -> &'a str {
    let start = [format!("<h2>{from}</h2>"), format!("## {from}")].into_iter();
    let start = start.filter_map(|heading| text.find(&heading)).next();
    let rest = &text[start.unwrap_or_else(|| panic!("no section {from}")) + 3..];
    let end = [rest.find("<h2>"), rest.find("\n## ")].into_iter().flatten().min();
    &rest[..end.unwrap_or(rest.len())]
}

#[test]
fn the_sections_stand_in_the_order_of_reading() {
    for text in written("report-order", mixed()) {
        let places: Vec<usize> = SECTIONS
            .iter()
            .map(|title| text.find(section(&text, title)).expect("it is a part of the text"))
            .collect();
        assert!(places.is_sorted(), "{places:?}");
    }
}

#[test]
fn whoever_wins_is_said_to_win() {
    for text in written("report-uring", study(URING_WINS)) {
        assert!(section(&text, SECTIONS[0]).contains("io_uring wins 44 of 44"));
        assert!(section(&text, SECTIONS[0]).contains("epoll wins none of 44"));
        assert!(section(&text, SECTIONS[2]).contains("Nothing that is larger than the noise."));
    }
    for text in written("report-epoll", study(EPOLL_WINS)) {
        assert!(section(&text, SECTIONS[0]).contains("io_uring wins none of 44"));
        assert!(section(&text, SECTIONS[0]).contains("epoll wins 44 of 44"));
        assert!(section(&text, SECTIONS[1]).contains("Nothing that is larger than the noise."));
        assert!(section(&text, SECTIONS[2]).contains("Where epoll is better than io_uring"));
        // Neither in a sentence nor in a chart is anything to the credit of io_uring.
        assert!(!text.contains("% less CPU") && !text.contains("better io_uring is"));
    }
    for text in written("report-ties", study(TIES)) {
        assert!(section(&text, SECTIONS[0]).contains("All 44 are ties"));
        assert!(section(&text, SECTIONS[3]).contains("Where neither is better"));
    }
}

#[test]
fn what_was_left_out_is_listed() {
    let mut study = mixed();
    study.is_partial = true;
    study.handicaps_ns.insert("epoll".to_owned(), 20_000);
    for text in written("report-partial", study) {
        assert!(section(&text, SECTIONS[0]).contains("interrupted before its end"));
        let method = section(&text, SECTIONS[6]);
        assert!(method.contains("1 of 2 runs: client saturated: 99% of its CPU"));
        assert!(method.contains("RLIMIT_NOFILE: 100,064 descriptors"));
        assert!(method.contains("Slowed down on purpose: epoll by 20"));
    }
}

#[test]
fn a_study_without_a_valid_run_has_a_report() {
    let mut study = study(URING_WINS);
    for cell in &mut study.cells {
        cell.curve.clear();
        cell.runs.iter_mut().for_each(|run| run.invalid = Some("bytes were lost".to_owned()));
    }
    for text in written("report-invalid", study) {
        assert!(section(&text, SECTIONS[0]).contains("Nothing can be said"));
        assert!(section(&text, SECTIONS[4]).contains("No run is valid."));
        assert!(section(&text, SECTIONS[6]).contains("bytes were lost"));
        assert!(!text.contains("<svg"));
    }
}

#[test]
fn text_of_the_machine_is_text() {
    let mut study = mixed();
    let hostile = "</style><script>alert(1)</script> | `x` & \"y\" 'z'";
    study.fingerprint.0.insert("cpu".to_owned(), hostile.to_owned());
    study.cells[0].title = hostile.to_owned();
    study.cells[1].runs[4].server = hostile.to_owned();
    study.cells[8].curve[0].server = hostile.to_owned();
    study.command = format!("bench ``` {hostile}");
    study.not_run[0].reason = hostile.to_owned();
    let [page, text] = written("report-hostile", study);
    assert!(!page.contains("<script") && page.matches("</style>").count() == 1);
    assert!(page.contains("&lt;script&gt;alert(1)"));
    assert!(!text.contains("\n<script"));
    // Each row of a table has as many cells as its title, whatever stands in them.
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    for pair in rows.windows(2).filter(|pair| text.contains(&pair.join("\n"))) {
        assert_eq!(cells(pair[0]), cells(pair[1]), "{pair:?}");
    }
    assert!(text.contains("\n````console\n"));
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let [page, _] = written("report-alone", mixed());
    for word in ["http://", "https://", "src=", "@import", "url(", "<link", "<script", "NaN"] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let error = report::write(&mixed(), &PathBuf::from("/proc/no-such-folder"));
    let text = error.expect_err("nobody can write there").to_string();
    assert!(text.starts_with("/proc/no-such-folder/report.html: "), "{text}");
}
