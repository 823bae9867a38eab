//! The files of a run: JSON, and histograms in the two forms that other tools read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use super::report::Report;
use crate::outcome::Failure;

/// Where results go beside the table.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Files {
    /// Write the result as JSON; `-` is standard output, and the table goes to standard error.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the quantiles in nanoseconds, as HdrHistogram's plotting tools read them.
    #[arg(long, value_name = "FILE")]
    hgrm: Option<PathBuf>,
}

/// Files that can be written, as far as can be known before.
#[derive(Debug)]
pub(super) struct Checked {
    files: Files,
    hlog: Option<PathBuf>,
    /// They were not there before.
    created: Vec<PathBuf>,
}

impl Files {
    /// Finds out before anything is measured whether the files can be written.
    pub(super) fn check(&self, hlog: Option<&Path>) -> Result<Checked, Failure> {
        let mut checked =
            Checked { files: self.clone(), hlog: hlog.map(Path::to_owned), created: Vec::new() };
        let all =
            [self.json.as_deref().filter(|path| !is_stdout(path)), self.hgrm.as_deref(), hlog];
        for path in all.into_iter().flatten() {
            let is_new = !path.exists();
            // What is there stays there until there is something to replace it by.
            let result = OpenOptions::new().append(true).create(true).open(path);
            if let Err(error) = result {
                checked.discard();
                return Err(cannot_write(path, &error));
            }
            if is_new {
                checked.created.push(path.to_owned());
            }
        }
        Ok(checked)
    }
}

impl Checked {
    /// Leaves no empty file behind.
    pub(super) fn discard(&self) {
        for path in &self.created {
            // It may be gone already, which is what is wanted.
            let _ = fs::remove_file(path);
        }
    }

    /// Shows the table and writes the files.
    pub(super) fn write(
        &self,
        report: &Report,
        latency: &Histogram<u64>,
        intervals: &[(Duration, Duration, Histogram<u64>)],
    ) -> Result<(), Failure> {
        let table = report.table();
        let json = serde_json::to_string_pretty(report)
            .map_err(|error| Failure::environment("the result as JSON", error))?
            + "\n";
        match &self.files.json {
            Some(path) if is_stdout(path) => {
                eprint!("{table}");
                let mut output = io::stdout().lock();
                output
                    .write_all(json.as_bytes())
                    .and_then(|()| output.flush())
                    .map_err(|error| cannot_write(path, &error))?;
            }
            Some(path) => {
                print(&table)?;
                put(path, json.as_bytes())?;
            }
            None => print(&table)?,
        }
        if let Some(path) = &self.files.hgrm {
            put(path, quantile_distribution(latency).as_bytes())?;
        }
        if let Some(path) = &self.hlog {
            put(path, &interval_log(intervals).map_err(|error| cannot_write(path, &error))?)?;
        }
        Ok(())
    }
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn print(table: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    output
        .write_all(table.as_bytes())
        .and_then(|()| output.flush())
        .map_err(|error| Failure::environment("standard output", error))
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::Environment(format!("cannot write {path}: {error}; choose another file"))
}

/// The form of `AbstractHistogram#outputPercentileDistribution`, in nanoseconds.
pub fn quantile_distribution(latency: &Histogram<u64>) -> String {
    let mut lines = vec![format!(
        "{:>14} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )];
    let mut count = 0;
    for step in latency.iter_quantiles(5) {
        count += step.count_since_last_iteration();
        let quantile = step.quantile_iterated_to();
        let odds = if quantile < 1.0 {
            format!("{:.2}", 1.0 / (1.0 - quantile))
        } else {
            "inf".to_owned()
        };
        lines.push(format!(
            "{:>14} {quantile:>14.12} {count:>10} {odds:>14}",
            step.value_iterated_to()
        ));
    }
    lines.push(format!(
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]",
        latency.mean(),
        latency.stdev()
    ));
    lines.push(format!("#[Max     = {:12}, Total count    = {:12}]", latency.max(), latency.len()));
    lines.push(format!("#[Buckets = {:12}, SubBuckets     = {:12}]\n", latency.buckets(), 2048));
    lines.join("\n")
}

/// Histograms with when they began and how long they lasted, as `HistogramLogReader` reads them.
///
/// # Errors
///
/// If an interval is not within the bounds of the form.
pub fn interval_log(intervals: &[(Duration, Duration, Histogram<u64>)]) -> io::Result<Vec<u8>> {
    let mut log = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let now = SystemTime::now();
    let whole = intervals.last().map_or(Duration::ZERO, |(start, length, _)| *start + *length);
    let base = now - whole;
    // The maximum in the third column is in milliseconds, as is the custom.
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment("latencies in nanoseconds, from the intended start of a request")
        .with_start_time(base)
        .with_base_time(base)
        .with_max_value_divisor(1e6)
        .begin_log_with(&mut log, &mut serializer)?;
    for (start, length, latency) in intervals {
        writer.write_histogram(latency, *start, *length, None).map_err(io::Error::other)?;
    }
    Ok(log)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::{interval_log, quantile_distribution};
    use crate::load::report::{decode, encode};
    use crate::load::work::{Recorded, Work, histogram, quantiles};
    use crate::stats::Random;

    /// Latencies as they come: most are near the middle, few are far out.
    fn latencies(seed: u64, count: usize) -> Vec<u64> {
        let mut random = Random::new(seed);
        (0..count).map(|_| 20_000 + random.below(30_000) as u64 * (1 << random.below(12))).collect()
    }

    fn recorded(values: &[u64]) -> Histogram<u64> {
        let mut histogram = histogram();
        values.iter().for_each(|value| histogram.record(*value).expect("within the bounds"));
        histogram
    }

    fn work(values: &[u64], interval: u64) -> Work {
        let latency = recorded(values);
        let intervals = [(interval, Recorded::of(&latency))].into();
        Work { requests: values.len() as u64, latency, intervals, ..Work::none() }
    }

    #[test]
    fn joined_clients_have_the_quantiles_of_all_their_values() {
        let parts = [latencies(1, 5_000), latencies(2, 50_000), latencies(3, 1)];
        let mut joined = work(&parts[0], 0);
        joined.join(work(&parts[1], 0));
        joined.join(work(&parts[2], 7));
        let all = recorded(&parts.concat());
        assert_eq!(joined.latency, all);
        assert_eq!(joined.intervals[&0].latency(), recorded(&parts[..2].concat()));
        // The same to three digits, which is what the histogram promises, for the values themselves.
        let mut sorted = parts.concat();
        sorted.sort_unstable();
        let shown = quantiles(&joined.latency);
        for (quantile, value) in [(0.5, shown.p50), (0.99, shown.p99), (0.999, shown.p999)] {
            let exact = sorted[(quantile * sorted.len() as f64).ceil() as usize - 1] as f64;
            assert!((value as f64 / exact - 1.0).abs() < 1e-3, "{quantile}: {value} for {exact}");
        }
    }

    #[test]
    fn a_histogram_reads_back_from_json() {
        let histogram = recorded(&latencies(4, 10_000));
        assert_eq!(decode(&encode(&histogram)).expect("it was just encoded"), histogram);
    }

    #[test]
    fn an_interval_log_reads_back_as_what_was_recorded() {
        let second = Duration::from_secs(1);
        let parts = [latencies(5, 1_000), latencies(6, 2_000)].map(|values| recorded(&values));
        let intervals: Vec<_> =
            (0..).zip(&parts).map(|(k, one)| (second * k, second, one.clone())).collect();
        let log = interval_log(&intervals).expect("memory takes everything");
        let read: Vec<_> = IntervalLogIterator::new(&log)
            .filter_map(|entry| match entry.expect("a log that reads") {
                LogEntry::Interval(interval) => {
                    let histogram = decode(interval.encoded_histogram()).expect("a histogram");
                    Some((interval.start_timestamp(), interval.duration(), histogram))
                }
                _ => None,
            })
            .collect();
        assert_eq!(read, intervals);
    }

    #[test]
    fn the_quantile_table_has_the_quantiles_of_the_histogram() {
        let mut values = latencies(7, 10_000);
        let histogram = recorded(&values);
        values.sort_unstable();
        let table = quantile_distribution(&histogram);
        let mut rows = 0;
        for line in table.lines().skip(2).filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let value: u64 = fields[0].parse().expect("a value");
            let quantile: f64 = fields[1].parse().expect("a quantile");
            let count: usize = fields[2].parse().expect("a count");
            let share = count as f64 / values.len() as f64;
            assert!(share >= quantile - 1e-9, "{line}");
            assert!(histogram.equivalent(value, values[count - 1]), "{line}");
            assert!(values.get(count).is_none_or(|next| *next > value), "{line}");
            rows += 1;
        }
        assert!(rows > 20, "{table}");
        assert!(table.contains(&format!("Total count    = {:12}", histogram.len())), "{table}");
    }
}
