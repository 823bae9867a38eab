//! The report says what the study says, in both of its forms.

use std::fs;
use std::path::Path;

use corering_bench::study::analysis::conclude;
use corering_bench::study::report;

use crate::fixture::{URING_WINS, study};

#[test]
fn the_report_begins_with_the_verdict() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-begins");
    fs::create_dir_all(&directory).expect("the target directory takes a directory");
    let mut study = study(URING_WINS);
    conclude(&mut study);
    report::write(&study, &directory).expect("the directory is there");
    for name in [report::PAGE, report::TEXT] {
        let text = fs::read_to_string(directory.join(name)).expect("it was written");
        let verdict = text.find("io_uring wins 44 of 44").expect("the verdict is in the report");
        let wins = text.find("What io_uring wins").expect("the section is in the report");
        let losses = text.find("What io_uring loses").expect("the section is in the report");
        assert!(verdict < wins && wins < losses, "{name}");
    }
}
